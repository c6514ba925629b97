"""Noises made on the device, by operations that give the same bits on every device.

Only integer arithmetic and IEEE 754 additions, multiplications, divisions and square roots are used, each rounded by
itself in a fixed order. There is no library's logarithm or cosine and no sum whose order a kernel chooses. No compiler
can fuse a multiplication with an addition, as each torch operation is a separate kernel. Division by a Python number
is avoided, too, since torch on a GPU multiplies by its reciprocal.
"""
