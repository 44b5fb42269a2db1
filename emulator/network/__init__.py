"""The golden network: tiles composed of periphery blocks, and the network composed of tiles."""
