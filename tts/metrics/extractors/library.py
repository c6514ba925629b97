"""torch-fidelity, an optional package."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from tts.errors import SettingError


def torch_fidelity(module: str) -> Any:
    """One of the library's modules.

    Raises:
        SettingError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(f"torch_fidelity.{module}")
    except ImportError:
        raise SettingError(
            "features: inception and clip need the package torch-fidelity; pip install 'diffusion-tts-bench[metrics]'"
        ) from None
