"""The digital periphery: one stream component per block, of the same name as its model in emulator/periphery."""
