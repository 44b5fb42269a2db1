"""Crosspoint's emulator: the golden integer model, the compiled engine and the training around them."""
