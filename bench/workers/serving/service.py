"""Answers of a server of rewards, in a plain process or on Ray Serve."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.store.manifest import versions
from bench.study.named import without_alias
from bench.workers.scorers.batcher import Batcher
from bench.workers.scorers.judge import Answer, Judge
from bench.workers.serving.form import MOST_IMAGES, Asked, Refusal, read
from bench.workers.serving.served import Served
from tts.errors import TTSError
from tts.registry import REWARDS
from tts.rewards.remote.formats import PROTOCOL

WAITING = 64
"""Full requests that may wait for the rewards, before others wait to be read."""


class RewardService:
    """Answers requests; several threads may ask, and what they ask of one reward is scored together.

    Args:
        served: what.

    Raises:
        TTSError: a reward cannot be loaded.
    """

    def __init__(self, served: Served) -> None:
        import torch

        torch.set_num_threads(served.threads)
        self._served, self._settings = served, served.settings()
        loaded = {name: settings.load(served.device) for name, settings in self._settings.items()}
        self._batcher = Batcher([Judge(loaded, served.batch).score], served.batch, WAITING * MOST_IMAGES)
        self._said = {name: self._says(name, given) for name, given in zip(loaded, served.rewards, strict=True)}

    def _says(self, name: str, given: str | dict[str, Any]) -> dict[str, Any]:
        settings, served = self._settings[name], self._served
        identity = {
            "reward": REWARDS.identified(without_alias(given), settings.identity()),
            "name": given if isinstance(given, str) else given["name"],
            "batch": served.batch,
            "threads": served.threads,
            "device": served.device,
        }
        return {"reward": name, "settings": settings.record(), "identity": identity}

    def answer(self, method: str, path: str, body: bytes, bearer: str | None = None) -> tuple[int, bytes]:
        """Status and JSON: ``{"error": sentence}`` where the status is not 200.

        Args:
            method, path: of HTTP, the path without a query.
            bearer: the ``Authorization`` header.
        """
        if (refused := self.refusal(bearer)) is not None:
            return refused
        try:
            found = self._answered(method, path.partition("?")[0].strip("/").split("/"), body)
        except Refusal as refusal:
            return refusal.status, _json({"error": str(refusal)})
        except MemoryError:
            return 503, _json({"error": "the server has too little memory for the request at present"})
        return 200, _json(found)

    def refusal(self, bearer: str | None) -> tuple[int, bytes] | None:
        """The answer to a request without the token, whatever it asks; None: it bears the token, or none is needed.

        A server asks before it reads a body, so that only those who have the token can fill its memory.

        Args:
            bearer: the ``Authorization`` header.
        """
        token = self._served.token
        if token is None or hmac.compare_digest((bearer or "").encode(), f"Bearer {token}".encode()):
            return None
        words = "the request bears no token, or another one; set key to the variable that holds it"
        return 401, _json({"error": words})

    def _answered(self, method: str, path: list[str], body: bytes) -> dict[str, Any]:
        *where, last = path
        if last not in ("health", "score") or len(where) > 1 or (where and where[0] not in self._said):
            names = ", ".join(f"/{name}/score" for name in self._said)
            raise Refusal(404, f"nothing is here; there are /health and {names}")
        wanted = "GET" if last == "health" else "POST"
        if method != wanted:
            raise Refusal(405, f"/{last} is asked by {wanted}")
        only = next(iter(self._said)) if len(self._said) == 1 else None
        name = where[0] if where else only
        if last == "health":
            return self._health(name)
        if name is None:
            raise Refusal(400, f"several rewards are served; ask /NAME/score of {', '.join(self._said)}")
        return self._score(name, read(body, self._served.most_bytes))

    def _health(self, name: str | None) -> dict[str, Any]:
        said: Mapping[str, Any] = {} if name is None else self._said[name]
        return {"protocol": PROTOCOL, "rewards": list(self._said), "versions": versions(), **said}

    def _score(self, name: str, asked: Asked) -> dict[str, Any]:
        answers = self._answers(name, asked)
        if all(answer.error is not None for answer in answers):
            raise Refusal(422, answers[0].error or "")
        scores = [_item(id_, answer) for id_, answer in zip(asked.ids, answers, strict=True)]
        return {"protocol": PROTOCOL, "identity": self._said[name]["identity"], "scores": scores}

    def _answers(self, name: str, asked: Asked) -> list[Answer]:
        """Answers in the request's order; images of one size are scored together."""
        found: dict[int, Answer] = {}
        for size in sorted({image.shape for image in asked.images}):
            places = [k for k, image in enumerate(asked.images) if image.shape == size]
            images, captions = np.stack([asked.images[k] for k in places]), [asked.captions[k] for k in places]
            try:
                found |= zip(places, self._batcher.ask(name, images, captions), strict=True)
            except TTSError as error:
                raise Refusal(503, str(error)) from None
        return [found[k] for k in range(len(asked.images))]

    def close(self) -> None:
        """Stop answering."""
        self._batcher.close()


def _item(id_: str, answer: Answer) -> dict[str, Any]:
    item = {"id": id_, "score": answer.score}
    return item if answer.error is None else {**item, "error": answer.error}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).encode()
