"""A PNG file whose data end early and are followed by what is no chunk; Pillow raises a SyntaxError for it."""

from __future__ import annotations

DATA = 33
"""Place of the chunk of pixels, after the signature and the header."""


def broken(png: bytes) -> bytes:
    """The file with its first 300 bytes of pixels alone; it must have more."""
    return png[:DATA] + (300).to_bytes(4, "big") + png[DATA + 4 : DATA + 8 + 300] + b"\xff" * 12
