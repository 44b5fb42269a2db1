"""Variants of blocks that do one thing after the other, for the smallest FPGAs: parts of those blocks, with no page of their own."""
