"""Turn errors of a device and of torch's compiler into one-line errors of this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tts.errors import DeviceError, DeviceMemoryError, EngineError, first_line, text_of

MEMORY = ("out of memory", "can't allocate memory")
NO_KERNEL = ("No available kernel", "No viable backend for scaled_dot_product_attention")
COMPILERS = ("torch._dynamo.", "torch._inductor.")


def of_the_device(error: BaseException) -> bool:
    """Whether an error is the device's and not the image's: then nothing else can be computed either."""
    return isinstance(error, RuntimeError) and any(word in text_of(error) for word in ("CUDA", *MEMORY))


def device_error(whose: str, error: BaseException) -> BaseException:
    """An error of the device that names the part in which it occurred.

    An out-of-memory error stays as it is, as the engine's settings cause it.
    """
    return error if _of_memory(error) else DeviceError(f"{whose}: {first_line(error)}")


@contextmanager
def named(batch: int) -> Iterator[None]:
    """Context that turns errors of a device and of torch's compiler into errors that name the settings to change.

    Raises:
        DeviceMemoryError: the device's memory is too small for the batch.
        DeviceError: the device cannot go on.
        EngineError: the network cannot be compiled, or no kernel for its attention is allowed.
    """
    try:
        yield
    except EngineError:
        raise
    except RuntimeError as error:
        if _of_memory(error):
            raise DeviceMemoryError(
                f"out of memory with engines.batch = {batch}; set engines.batch lower, engines.score_batch if it is "
                "the images that are large, or the model's precision to fp16"
            ) from None
        if any(kind.__module__.startswith(COMPILERS) for kind in type(error).__mro__):
            raise EngineError(
                f"engines.compile: torch cannot compile the network ({first_line(error)}); it needs a C++ compiler "
                "(g++, or the one that CXX names; for a GPU also a C compiler), or set engines.compile=false"
            ) from None
        if any(words in str(error) for words in NO_KERNEL):
            raise EngineError(
                "engines.attention: the kernel that is named cannot compute this network's attention here; set "
                "engines.attention=auto"
            ) from None
        if of_the_device(error):
            raise device_error("the engine's device failed", error) from None
        raise


def _of_memory(error: BaseException) -> bool:
    """Whether memory was too small: torch has an error class for GPUs; other errors are recognised by their text."""
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in MEMORY)
