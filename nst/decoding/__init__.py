"""From the bytes of an image file to its samples at full depth, and from there to upright 8-bit sRGB.

`decode.py` gives the order of the steps. This package knows nothing of tensors.
"""
