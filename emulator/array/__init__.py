"""The behavioural analog array: what stands behind the tile's port."""
