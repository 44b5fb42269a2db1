"""Simulation: the RTL held to the golden model, in Amaranth's simulator and in others on the exported Verilog."""
