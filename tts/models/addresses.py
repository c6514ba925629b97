"""Settings that name a file, or an address from which it is fetched once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field


def _file_or_address(value: object) -> object:
    scheme, separator, _ = str(value).partition("://")
    if separator and scheme not in ("http", "https"):
        raise ValueError("name a file or an https address")
    return str(value) if isinstance(value, Path) else value


FileOrAddress: TypeAlias = Annotated[str, BeforeValidator(_file_or_address)]
"""Path of a file, or an https address."""

Digest: TypeAlias = Annotated[str, Field(pattern="^[0-9a-fA-F]{8,64}$")]
"""A SHA-256 in hexadecimal, or its first 8 digits or more."""
