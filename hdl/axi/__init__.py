"""The network behind AXI4-Lite and AXI4-Stream, for systems on a chip."""
