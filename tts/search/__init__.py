"""Search algorithms over the injected noise, one file each.

A search is a generator: it yields lists of segments and receives their evaluations in the same order. It knows no
model, no device, no clock and no global randomness.
"""
