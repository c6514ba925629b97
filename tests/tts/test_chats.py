"""Families that chat with their text encoder count the tokens of the chat that the pipeline has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tiny_flow_pipelines import z_image
from tiny_flux import flux2_klein
from transformers import Qwen2Tokenizer

from tts.registry import MODELS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("name", "make"), [("flux2-klein", flux2_klein), ("z-image", z_image)])
def test_a_chat_with_a_prompt_is_its_pipelines(
    name: str, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Z-Image's asks for thoughts, and klein's for an answer without them."""
    pipeline, settings, read = make(), MODELS.make(name)[1], list[str]()
    real: Any = Qwen2Tokenizer.__call__

    def watched(self: Any, text: Any, *args: Any, **options: Any) -> Any:
        read.extend([text] if isinstance(text, str) else text)
        return real(self, text, *args, **options)

    monkeypatch.setattr(Qwen2Tokenizer, "__call__", watched)
    found: Any = settings
    found.encode(pipeline, "a cat", "cpu")
    found.tokens(pipeline.tokenizer, "a cat")
    assert len(read) == 2
    assert read[0] == read[1]
