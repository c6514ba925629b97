"""Zero-order local search of each step's noise (Ramesh and Mardani 2025, arXiv 2506.03164)."""

from __future__ import annotations

from tts.search.eps_greedy import LocalSearch


class ZeroOrder(LocalSearch):
    """Local moves around a pivot only: epsilon-greedy with eps = 0."""
