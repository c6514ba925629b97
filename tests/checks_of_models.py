"""What of models and samplers is held against what; see :mod:`checks`."""

from __future__ import annotations

from checks import Check

MODELS: dict[str, Check] = {}
"""Rows by key."""
