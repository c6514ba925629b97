"""A reward that a service computes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from tts.errors import SettingError
from tts.files.addresses import refuse_secrets, shown
from tts.plan import Condition
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.remote.formats import FlowGrpoFormat, Format, JsonFormat, OpenAIFormat, Question
from tts.rewards.remote.wire import Service, Unreadable

if TYPE_CHECKING:
    from torch import Tensor

OPENAI_ONLY = ("model", "template", "pattern", "answers", "scale")
QUESTION = 'Does this figure show "{caption}"? Please answer yes or no.'
"""VQAScore's question (Lin et al. 2024, arXiv 2404.01291)."""


class Remote(RewardSettings):
    """A reward computed by a service: tts-bench serve, a chat with images, or a server of Flow-GRPO."""

    url: str = Field(description="address of the service, http or https")
    format: Literal["json", "openai", "flow-grpo"] = Field(
        "json", description="json: tts-bench serve; openai: chats with images; flow-grpo: Flow-GRPO's servers"
    )
    batch: int = Field(16, ge=1, description="images in a request; chats hold one")
    concurrency: int = Field(8, ge=1, description="requests in flight at once, per engine")
    timeout: float = Field(120.0, gt=0, description="seconds for an answer")
    patience: float = Field(3600.0, ge=0, description="seconds for which a service that does not answer is asked again")
    key: str | None = Field(None, description="environment variable that holds the service's token")
    model: str | None = Field(None, description="openai: the model's name at the service")
    template: str = Field(QUESTION, description="openai: the question; {caption} is what the image should show")
    pattern: str | None = Field(None, description="openai: its first group in the answer is the score")
    answers: tuple[str, ...] = Field(("yes",), description="openai, without pattern: answers whose probability counts")
    scale: float = Field(1.0, description="openai, with pattern: factor of the score")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError("url: name an address that begins with http:// or https://")
        if self.format == "openai" and self.model is None:
            raise ValueError("model: a chat needs the model's name")
        given = [name for name in OPENAI_ONLY if getattr(self, name) != type(self).model_fields[name].default]
        if self.format != "openai" and given:
            raise ValueError(f"{given[0]}: only format openai has this setting")
        if self.pattern is not None and _groups(self.pattern) < 1:
            raise ValueError("pattern: needs a group, as in 'score: ([0-9.]+)'")
        return self

    def check(self) -> None:
        """Ask the service for its description."""
        refuse_secrets(self.url, "url")
        _ = self._said

    def identity(self) -> dict[str, Any]:
        """The settings that change values, and the service's description; not its address."""
        left_out = {"url", "batch", "concurrency", "timeout", "patience", "key"}
        if self.format != "openai":
            left_out |= set(OPENAI_ONLY)
        return {name: value for name, value in self.record().items() if name not in left_out} | {"said": self._said}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """A client of the service; it sends nothing yet."""
        return RemoteReward(self._service(), self._format(), self._said, caption, self.batch, self.concurrency)

    @cached_property
    def _said(self) -> dict[str, Any]:
        try:
            return self._format().identity(self._service())
        except Unreadable as error:
            raise SettingError(f"reward remote: {shown(self.url)}: {error}; set url or format") from None

    def _service(self) -> Service:
        return Service(self.url.rstrip("/"), self.timeout, self.patience, self.key, "remote")

    def _format(self) -> Format:
        if self.format == "openai":
            assert self.model is not None  # the settings were checked
            return OpenAIFormat(self.model, self.template, self.pattern, self.answers, self.scale)
        return JsonFormat() if self.format == "json" else FlowGrpoFormat()


class RemoteReward:
    """Asks a service, with several requests at once. An answer that cannot be read gives None.

    Attributes:
        waits: scoring may take as long as the service is down; that is no sign of a broken device.
        concurrency: most requests in flight over all calls of :meth:`score`, and most such calls at once.
    """

    host, waits = True, True

    def __init__(
        self,
        service: Service,
        form: Format,
        said: dict[str, Any],
        caption: Caption,
        batch: int,
        concurrency: int,
    ) -> None:
        self.service, self.form, self.said, self.caption = service, form, said, caption
        self.batch = batch if form.batch is None else min(batch, form.batch)
        self.concurrency = concurrency
        self._asking = ThreadPoolExecutor(concurrency, thread_name_prefix="remote")

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        from tts.media import png

        self.service.waits = True
        questions = [
            Question(png(image), self.caption(condition)) for image, condition in zip(images, conditions, strict=True)
        ]
        parts = [questions[at : at + self.batch] for at in range(0, len(questions), self.batch)]
        return [score for part in self._asking.map(self._ask, parts) for score in part]

    def close(self) -> None:
        """Stop calls that wait for the service; later calls wait again."""
        self.service.waits = False

    def _ask(self, questions: Sequence[Question]) -> list[Score]:
        try:
            return self.form.ask(self.service, questions, self.said)
        except Unreadable:
            if len(questions) == 1:
                return [None]
        return [score for question in questions for score in self._ask([question])]


def _groups(pattern: str) -> int:
    try:
        return re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"pattern: {error}") from None
