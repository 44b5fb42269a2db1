"""FPGA boards: the network behind a serial line, and the host's side of that line."""
