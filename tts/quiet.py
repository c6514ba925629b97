"""Libraries without their own messages and progress bars: what matters of them, we say ourselves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Silence diffusers and transformers."""
    import diffusers.utils.logging as diffusers
    import transformers.utils.logging as transformers

    levels = [(library, library.get_verbosity()) for library in (diffusers, transformers)]
    for library, _ in levels:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level in levels:
            library.set_verbosity(level)
            library.enable_progress_bar()


@contextmanager
def hushed(logger: str) -> Iterator[None]:
    """Let one logger speak of errors only."""
    speaker = logging.getLogger(logger)
    level = speaker.level
    speaker.setLevel(logging.ERROR)
    try:
        yield
    finally:
        speaker.setLevel(level)
