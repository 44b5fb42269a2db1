"""The emulated array in logic: what stands behind the tile where no chip does."""
