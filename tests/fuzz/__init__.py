"""Inputs made at random: what people write by mistake, what is torn on its way, what is meant to harm.

``make test`` plays a small share, always the same; ``make fuzz`` plays ``FUZZ_EXAMPLES`` of each kind, new ones each
time.
"""

from __future__ import annotations

import os

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Examples of each kind; 0: the share of ``make test``."""
