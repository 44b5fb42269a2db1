"""The FPGA's side of the link: UART, frames, the reliable streams, the command interpreter, and the top level."""
