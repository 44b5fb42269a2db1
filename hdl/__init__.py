"""Amaranth RTL of the digital periphery. Imports nothing of the emulator but its config and its fixed point."""
