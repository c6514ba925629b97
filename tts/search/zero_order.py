"""Zero-order local search of each step's noise (Ramesh and Mardani 2025, arXiv 2506.03164)."""

from __future__ import annotations

from typing import ClassVar

from tts.search.eps_greedy import LocalSearch


class ZeroOrder(LocalSearch):
    """Local moves around a pivot only: epsilon-greedy with eps = 0."""

    advice: ClassVar[str] = (
        "To repeat the paper: small moves around one noise improve slowly, and fresh candidates beat most of them."
    )
