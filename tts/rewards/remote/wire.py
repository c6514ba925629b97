"""HTTP requests to a service, which are repeated while it does not answer."""

from __future__ import annotations

import json as jsons
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tts.errors import EngineError, SettingError, first_line
from tts.files.addresses import shown

if TYPE_CHECKING:
    import urllib3

log = logging.getLogger(__name__)

AGAIN = {408, 425, 429}
"""Statuses, beside 5xx, after which the same request is sent again."""

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
"""Seconds between two attempts: doubled each time, with a random change of up to a half."""

LONGEST_NAP = 0.5
"""Most seconds that a pause continues after :attr:`Service.waits` is set to false."""

CONNECTIONS = 64
"""Most connections kept open."""

ANSWER_BYTES = 16 << 20
"""Largest answer that is read; no list of scores is longer."""


class Unreadable(Exception):
    """An answer that does not fit the question."""


@dataclass
class Service:
    """A client of a service.

    Args:
        address: ``http`` or ``https``.
        timeout: seconds for one answer.
        patience: seconds for which a request to a service that does not answer is repeated; the engine waits.
        key: environment variable that holds the service's bearer token; None: no token.
        name: the reward's name, for messages.
        sleep: function that waits; replaced in tests.

    Attributes:
        waits: whether to wait for a service that does not answer; may change during the wait.
    """

    address: str
    timeout: float
    patience: float
    key: str | None
    name: str
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def __post_init__(self) -> None:
        self._pool: urllib3.PoolManager | None = None
        self.waits = True

    def get(self, path: str) -> bytes:
        """Send one GET request and return the answer's bytes.

        Raises:
            SettingError: there is no answer.
        """
        import urllib3

        try:
            status, found, _ = self._request("GET", path, None, {})
        except urllib3.exceptions.HTTPError as error:
            raise self._silent(path, first_line(error)) from None
        if status != 200:
            raise self._silent(path, f"status {status}")
        return found

    def _silent(self, path: str, reason: str) -> SettingError:
        where = f"{shown(self.address)}{path}"
        return SettingError(f"reward {self.name}: {where} does not answer ({reason}); is the service running?")

    def post(self, path: str, json: Any = None, content: bytes = b"") -> bytes:
        """Send a POST request and return the answer's bytes; repeat it while the service does not answer.

        Args:
            path: the path below the service's address.
            json: the request's body, as plain values; None: the body is ``content``.
            content: the request's body, as bytes.

        Raises:
            EngineError: the service refuses the request, or has not answered for :attr:`patience` seconds.
        """
        body, kind = (content, "octet-stream") if json is None else (jsons.dumps(json).encode(), "json")
        start, pause, told = time.monotonic(), FIRST_PAUSE, False
        while True:
            reason, wait = self._asked(path, body, {"Content-Type": f"application/{kind}"})
            if isinstance(reason, bytes):
                if told:
                    log.warning("reward %s: %s answers again", self.name, shown(self.address))
                return reason
            if time.monotonic() - start > self.patience:
                raise EngineError(
                    f"{shown(self.address)} has not answered for {self.patience:.0f} s ({reason}); set patience "
                    "to wait longer"
                )
            if not told:
                log.warning("reward %s: %s: %s; waiting for it", self.name, shown(self.address), reason)
                told = True
            self._pause(max(wait, pause * random.uniform(0.5, 1.0)))  # noqa: S311  (no secret)
            pause = min(LONGEST_PAUSE, 2 * pause)

    def _pause(self, seconds: float) -> None:
        while seconds > 0 and self.waits:
            self.sleep(min(LONGEST_NAP, seconds))
            seconds -= LONGEST_NAP
        if not self.waits:
            raise EngineError(f"{shown(self.address)} had not answered when the wait was ended")

    def _asked(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[bytes | str, float]:
        """The answer, or the reason why there is none; then the seconds that the service asks to wait."""
        import urllib3

        try:
            status, found, later = self._request("POST", path, body, headers)
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__, 0.0
        if status in AGAIN or status >= 500:
            return f"status {status}", _seconds(later)
        if status != 200:
            raise EngineError(f"{shown(self.address)} refuses: status {status}, {sentence(found)}")
        return found, 0.0

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes, str | None]:
        """Status, body and ``Retry-After`` of one attempt; redirections are not followed."""
        import urllib3

        if self._pool is None:  # made at the first request: before that, this object is sent to engines
            self._pool = urllib3.PoolManager(maxsize=CONNECTIONS)
        secret = {} if self.key is None else {"Authorization": f"Bearer {self._secret()}"}
        found = self._pool.request(
            method,
            self.address + path,
            body=body,
            headers={**headers, **secret},
            timeout=self.timeout,
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            content = found.read(ANSWER_BYTES + 1)
        finally:
            found.release_conn()
        if len(content) > ANSWER_BYTES:
            raise Unreadable(f"an answer of more than {ANSWER_BYTES} bytes")
        return found.status, content, found.headers.get("retry-after")

    def _secret(self) -> str:
        found = os.environ.get(self.key or "")
        if not found:
            raise SettingError(f"reward {self.name}: key: environment variable {self.key} is not set where engines run")
        return found


def _seconds(text: str | None) -> float:
    """``Retry-After`` in seconds, at most a minute; dates are ignored."""
    return min(60.0, float(text)) if text is not None and text.isdecimal() else 0.0


def sentence(content: bytes) -> str:
    """Why a service refuses, for a message: the sentence in its JSON, or else the beginning of the answer."""
    try:
        error = jsons.loads(content)["error"]
        told = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError, RecursionError):
        told = None
    return printable(told if isinstance(told, str) else content[:400].decode(errors="replace"))


def printable(text: str) -> str:
    """The beginning of a foreign text, in one line without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:400]).split())[:160] or "no words"
