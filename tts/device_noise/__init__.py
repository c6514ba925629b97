"""Noises made where states are, by operations that give the same bits on every device.

Nothing but integer arithmetic and the additions, multiplications, divisions and square roots of IEEE 754, each a
rounded operation of its own in a fixed order: no logarithm or cosine of a library, no sum whose order a kernel chooses,
and no multiplication that a compiler may join with an addition, as each of torch's operations is a kernel of its own.
Division by a Python number is avoided, too: on a GPU torch multiplies by its reciprocal.
"""
