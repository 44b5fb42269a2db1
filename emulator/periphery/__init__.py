"""The digital periphery: one model per block, of the same name as its RTL, integer arrays in and out.

Arrays carry vectors along their last axis; leading axes are independent vectors. No floating point anywhere.
"""
