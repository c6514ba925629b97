"""Silence the messages, progress bars and questions of libraries; this package reports what matters."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

REGISTRATIONS = "torch.utils._pytree"
"""Torch's logger that warns of how torchao registers its own types, whenever that is imported."""


@contextmanager
def hushed(logger: str) -> Iterator[None]:
    """Context in which a logger reports only errors."""
    speaker = logging.getLogger(logger)
    level = speaker.level
    speaker.setLevel(logging.ERROR)
    try:
        yield
    finally:
        speaker.setLevel(level)


@contextmanager
def unasked() -> Iterator[None]:
    """Context in which transformers refuses the code of a checkpoint; else it asks on a terminal whether to run it."""
    from transformers import dynamic_module_utils as library

    seconds, library.TIME_OUT_REMOTE_CODE = library.TIME_OUT_REMOTE_CODE, 0  # in which an answer would be awaited
    try:
        yield
    finally:
        library.TIME_OUT_REMOTE_CODE = seconds


@contextmanager
def quiet() -> Iterator[None]:
    """Context in which diffusers, transformers and the packages that they import are silent and ask nothing."""
    import diffusers.utils.logging as diffusers
    import transformers.utils.logging as transformers

    before = [(each, each.get_verbosity(), each.is_progress_bar_enabled()) for each in (diffusers, transformers)]
    for library, _, _ in before:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        with hushed(REGISTRATIONS), unasked():
            yield
    finally:
        for library, level, shown in before:  # restore them as they were: this may be inside another such block
            library.set_verbosity(level)
            if shown:
                library.enable_progress_bar()
