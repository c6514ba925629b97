"""Requests to a service, and the reading of its answers. Answers are data: nothing in them is called or unpickled."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tts.errors import EngineError
from tts.rewards.base import Score
from tts.rewards.remote.numbers import numbers
from tts.rewards.remote.wire import Service, Unreadable, printable
from tts.rewards.written import written

PROTOCOL = 1
"""Version of the protocol of ``tts-bench serve``."""


@dataclass(frozen=True)
class Question:
    """An image with what it should show: the PNG file's bytes, and the caption."""

    png: bytes
    caption: str

    @property
    def id(self) -> str:
        """Identifier that question and answer share."""
        return hashlib.sha256(self.caption.encode() + b"\0" + self.png).hexdigest()[:16]

    @property
    def base64(self) -> str:
        """The PNG file's bytes in base64, for JSON."""
        return base64.b64encode(self.png).decode()


class Format(ABC):
    """A protocol of a service."""

    batch: int | None = None
    """Most questions in one request; None: any number."""

    @abstractmethod
    def identity(self, service: Service) -> dict[str, Any]:
        """The service's description of itself: what it computes with.

        Raises:
            SettingError: the service does not answer.
        """

    @abstractmethod
    def ask(self, service: Service, questions: Sequence[Question], identity: dict[str, Any]) -> list[Score]:
        """Ask for values, in the order of the questions.

        Args:
            identity: the service's description when the run began.

        Raises:
            Unreadable: the answer cannot be read.
            EngineError: the service refuses.
        """


class JsonFormat(Format):
    """The protocol of ``tts-bench serve``: PNG files in JSON; every answer has the question's id."""

    def identity(self, service: Service) -> dict[str, Any]:
        """The answer of ``/health``."""
        found = _object(service.get("/health"))
        if found.get("protocol") != PROTOCOL:
            raise Unreadable(f"its protocol is {found.get('protocol')!r}, but must be {PROTOCOL}")
        return {"service": found.get("identity")}

    def ask(self, service: Service, questions: Sequence[Question], identity: dict[str, Any]) -> list[Score]:
        """Send one request to ``/score``; if the reward failed there, its message is raised here."""
        images = [{"id": each.id, "png": each.base64, "caption": each.caption} for each in questions]
        found = _object(service.post("/score", json={"protocol": PROTOCOL, "images": images}))
        if found.get("identity") != identity["service"]:
            raise Unreadable("the service is no longer the one with which the run began")
        scores = found.get("scores")
        if not isinstance(scores, list) or len(scores) != len(questions):
            raise Unreadable(f"it must have {len(questions)} scores")
        if [each.get("id") if isinstance(each, dict) else None for each in scores] != [each.id for each in questions]:
            raise Unreadable("its scores are in another order, or of other images")
        for each in scores:
            if each.get("error") is not None:
                raise EngineError(printable(str(each["error"])))
        return [_score(each.get("score")) for each in scores]


@dataclass(frozen=True)
class OpenAIFormat(Format):
    """A chat with an image, in the form of OpenAI's API (vLLM, SGLang and providers).

    Words without a number where ``pattern`` looks for one give None.

    Args:
        model: the model's name at the service.
        template: the question; ``{caption}`` stands for what the image should show.
        pattern: regular expression whose first group in the answer is the score; None: the score is a probability.
        answers: the score is the probability that the answer's first token is one of these words (VQAScore, arXiv
            2404.01291: "yes").
        scale: factor of a score read by ``pattern``.
    """

    model: str
    template: str
    pattern: str | None
    answers: tuple[str, ...]
    scale: float = 1.0
    batch: int | None = 1

    def identity(self, service: Service) -> dict[str, Any]:
        """The model's entry in the service's list."""
        found = _object(service.get("/models")).get("data")
        entries = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        known = {each["id"]: each for each in entries if isinstance(each.get("id"), str)}
        if self.model not in known:
            raise Unreadable(f"it has no model {self.model}; it has {printable(', '.join(known) or 'none')}")
        return {"model": self.model, "root": known[self.model].get("root")}

    def ask(self, service: Service, questions: Sequence[Question], identity: dict[str, Any]) -> list[Score]:
        """Send one request for one image."""
        [question] = questions
        words = {"type": "text", "text": self.template.replace("{caption}", question.caption)}
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{question.base64}"}}
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": [image, words]}],
            "temperature": 0,
        }
        asked |= {"max_tokens": 256} if self.pattern is not None else PROBABILITIES
        return [self._read(_object(service.post("/chat/completions", json=asked)))]

    def _read(self, answer: dict[str, Any]) -> Score:
        try:
            [choice] = answer["choices"]
            if self.pattern is None:
                return self._probability(choice["logprobs"]["content"][0]["top_logprobs"])
            text = choice["message"]["content"]
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            raise Unreadable("its answer does not have the form of a chat") from None
        value = written(self.pattern, text) if isinstance(text, str) else None
        return None if value is None else _score(self.scale * value)

    def _probability(self, tokens: list[dict[str, Any]]) -> Score:
        wanted = {answer.lower() for answer in self.answers}
        told = [each["logprob"] for each in tokens if str(each["token"]).strip().lower() in wanted]
        return _score(math.fsum(math.exp(logarithm) for logarithm in told))


PROBABILITIES = {"max_tokens": 1, "logprobs": True, "top_logprobs": 20}


class FlowGrpoFormat(Format):
    """The servers of Flow-GRPO (arXiv 2505.05470), which exchange pickles; answers are never unpickled.

    Only lists of numbers are read from an answer; other objects are refused.
    """

    def identity(self, service: Service) -> dict[str, Any]:
        """Empty: these servers do not describe themselves."""
        return {}

    def ask(self, service: Service, questions: Sequence[Question], identity: dict[str, Any]) -> list[Score]:
        """Send one request."""
        import pickle

        content = {"images": [each.png for each in questions], "prompts": [each.caption for each in questions]}
        found = numbers(service.post("", content=pickle.dumps(content, protocol=4)), "scores")
        if len(found) != len(questions):
            raise Unreadable(f"{len(found)} scores for {len(questions)} images")
        return [_score(each) for each in found]


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise Unreadable("its answer is not JSON") from None
    if not isinstance(found, dict):
        raise Unreadable("its answer is not a JSON object")
    return found


def _score(value: Any) -> Score:
    """A finite number, or None for an image that could not be scored."""
    if value is None:
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(found := float(value)):
            return found
    except OverflowError:  # whole numbers have no greatest one
        pass
    raise Unreadable("a score is not a finite number")
