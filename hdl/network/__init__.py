"""Blocks composed: the tile of an array, and the network. Same names as in emulator/network."""
