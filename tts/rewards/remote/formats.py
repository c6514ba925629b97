"""What is sent to a service, and how its answers are read. Answers are data: nothing in them is called or unpickled."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tts.errors import EngineError
from tts.rewards.base import Score
from tts.rewards.remote.numbers import numbers
from tts.rewards.remote.wire import Service, Unreadable, printable

PROTOCOL = 1
"""Of ``tts-bench serve``."""


@dataclass(frozen=True)
class Question:
    """An image with what it should show: the PNG file's bytes, and the caption."""

    png: bytes
    caption: str

    @property
    def id(self) -> str:
        """Names it in question and answer."""
        return hashlib.sha256(self.caption.encode() + b"\0" + self.png).hexdigest()[:16]

    @property
    def base64(self) -> str:
        """The PNG, for JSON."""
        return base64.b64encode(self.png).decode()


class Format(ABC):
    """A way of asking."""

    batch: int | None = None
    """Most questions that one request may hold; None: any number."""

    @abstractmethod
    def identity(self, service: Service) -> dict[str, Any]:
        """What the service says of itself: whatever it computes with.

        Raises:
            SettingError: it does not answer.
        """

    @abstractmethod
    def ask(self, service: Service, questions: Sequence[Question], identity: dict[str, Any]) -> list[Score]:
        """Values, in the questions' order.

        Args:
            identity: as it was when the run began.

        Raises:
            Unreadable: the answer is none.
            EngineError: the service refuses, or is not the one that it was.
        """


class JsonFormat(Format):
    """The form of ``tts-bench serve``: PNG files in JSON, every answer with the question's id."""

    def identity(self, service: Service) -> dict[str, Any]:
        """Its ``/health``."""
        found = _object(service.get("/health"))
        if found.get("protocol") != PROTOCOL:
            raise Unreadable(f"protocol {found.get('protocol')!r}, and {PROTOCOL} is spoken here")
        return {"service": found.get("identity")}

    def ask(self, service: Service, questions: Sequence[Question], identity: dict[str, Any]) -> list[Score]:
        """One request to ``/score``; an image on which the reward failed there fails here, in the same words."""
        images = [{"id": each.id, "png": each.base64, "caption": each.caption} for each in questions]
        found = _object(service.post("/score", json={"protocol": PROTOCOL, "images": images}))
        if found.get("identity") != identity["service"]:
            raise Unreadable("the service is not the one that it was when the run began")
        scores = found.get("scores")
        if not isinstance(scores, list) or len(scores) != len(questions):
            raise Unreadable(f"{len(questions)} scores were asked for")
        if [each.get("id") if isinstance(each, dict) else None for each in scores] != [each.id for each in questions]:
            raise Unreadable("its scores are in another order, or of other images")
        for each in scores:
            if each.get("error") is not None:
                raise EngineError(printable(str(each["error"])))
        return [_score(each.get("score")) for each in scores]


@dataclass(frozen=True)
class OpenAIFormat(Format):
    """A chat with an image, as vLLM, SGLang and providers have it.

    Args:
        model: its name there.
        template: the question; ``{caption}`` stands for what the image should show.
        pattern: whose first group in the answer is the score; None: the score is a probability.
        answers: words whose probability as the answer's first token is the score (VQAScore, arXiv 2404.01291: "yes").
        scale: by which a score that is read is multiplied.
    """

    model: str
    template: str
    pattern: str | None
    answers: tuple[str, ...]
    scale: float = 1.0
    batch: int | None = 1

    def identity(self, service: Service) -> dict[str, Any]:
        """The model, as the service lists it."""
        found = _object(service.get("/models")).get("data")
        known = {each.get("id"): each for each in found if isinstance(each, dict)} if isinstance(found, list) else {}
        if self.model not in known:
            raise Unreadable(f"it has no model {self.model}; it has {', '.join(map(str, known)) or 'none'}")
        return {"model": self.model, "root": known[self.model].get("root")}

    def ask(self, service: Service, questions: Sequence[Question], identity: dict[str, Any]) -> list[Score]:
        """One request for one image."""
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
        except (KeyError, TypeError, ValueError, IndexError):
            raise Unreadable("its answer has not the form of a chat") from None
        found = re.search(self.pattern, text) if isinstance(text, str) else None
        return None if found is None else _score(self.scale * float(found.group(1)))

    def _probability(self, tokens: list[dict[str, Any]]) -> Score:
        wanted = {answer.lower() for answer in self.answers}
        return math.fsum(math.exp(each["logprob"]) for each in tokens if str(each["token"]).strip().lower() in wanted)


PROBABILITIES = {"max_tokens": 1, "logprobs": True, "top_logprobs": 20}


class FlowGrpoFormat(Format):
    """The servers of Flow-GRPO (arXiv 2505.05470), which take and give pickles; ours is written, theirs never loaded.

    Of an answer only lists of numbers are read; an answer of other objects is refused.
    """

    def identity(self, service: Service) -> dict[str, Any]:
        """They say nothing of themselves."""
        return {}

    def ask(self, service: Service, questions: Sequence[Question], identity: dict[str, Any]) -> list[Score]:
        """One request."""
        import pickle

        content = {"images": [each.png for each in questions], "prompts": [each.caption for each in questions]}
        found = numbers(service.post("", content=pickle.dumps(content, protocol=4)), "scores")
        if len(found) != len(questions):
            raise Unreadable(f"{len(found)} scores, and {len(questions)} were asked for")
        return [_score(each) for each in found]


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        raise Unreadable("its answer is no JSON") from None
    if not isinstance(found, dict):
        raise Unreadable("its answer is no JSON object")
    return found


def _score(value: Any) -> Score:
    """A finite number, or None for an image that could not be scored."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unreadable("a score is no finite number")
    return float(value)
