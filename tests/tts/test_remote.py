"""Rewards over HTTP: right values, and no wrong value if a service fails."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from reward_servers import HEALTH, Answer, as_json, as_pickle, scored, serving

from tts.errors import EngineError, SettingError
from tts.registry import REWARDS
from tts.rewards.base import Reward
from tts.rewards.brightness import Brightness
from tts.rewards.remote.formats import Question

IMAGES = torch.randint(0, 256, (5, 3, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
CAPTIONS = [f"a cube, number {k}" for k in range(5)]


def remote(url: str, **settings: Any) -> Reward:
    made = REWARDS.make({"name": "remote", "url": url, "patience": 5, **settings})[1]
    made.check()
    return made.load()


def server(answer: Callable[[bytes], Answer]) -> Callable[[str, bytes], Answer]:
    return lambda path, body: as_json(HEALTH) if path == "/health" else answer(body)


WANTED = Brightness().load().score(IMAGES, CAPTIONS)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_values_are_those_of_the_process_bit_for_bit(batch: int) -> None:
    with serving(server(lambda body: as_json(scored(body)))) as url:
        assert remote(url, batch=batch).score(IMAGES, CAPTIONS) == WANTED


def spoilt(answer: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], Answer]:
    return lambda body: as_json(answer(scored(body)))


UNREADABLE: dict[str, Callable[[bytes], Answer]] = {
    "a page": lambda _: (200, b"<html>Sign in</html>"),
    "no object": lambda _: as_json([0.5] * 5),
    "too few": spoilt(lambda found: {**found, "scores": found["scores"][1:]}),
    "another order": spoilt(lambda found: {**found, "scores": [{**each, "id": "?"} for each in found["scores"]]}),
    "no number": spoilt(lambda found: {**found, "scores": [{**each, "score": "0.5"} for each in found["scores"]]}),
    "true": spoilt(lambda found: {**found, "scores": [{**each, "score": True} for each in found["scores"]]}),
    "not a number": spoilt(
        lambda found: {**found, "scores": [{**each, "score": float("nan")} for each in found["scores"]]}
    ),
    "another service": spoilt(lambda found: {**found, "identity": "brightness-2"}),
    "no number that is so large": spoilt(
        lambda found: {**found, "scores": [{**each, "score": 10**400} for each in found["scores"]]}
    ),
    "too deep": lambda _: (200, b"[" * 100_000),
    "nothing": lambda _: (200, b""),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_answer_that_is_none_is_no_score(name: str) -> None:
    with serving(server(UNREADABLE[name])) as url:
        assert remote(url).score(IMAGES, CAPTIONS) == [None] * 5


def test_one_image_that_spoils_an_answer_costs_no_other() -> None:
    bad = Question(b"", "").id

    def answer(body: bytes) -> Answer:
        found = scored(body)
        given = json.loads(body)["images"]
        spoils = [each["caption"] == CAPTIONS[3] for each in given]
        return as_json({**found, "scores": [{"id": bad}]}) if any(spoils) else as_json(found)

    with serving(server(answer)) as url:
        assert remote(url).score(IMAGES, CAPTIONS) == [*WANTED[:3], None, WANTED[4]]


def test_what_cannot_be_scored_is_none() -> None:
    answer = spoilt(lambda found: {**found, "scores": [{**each, "score": None} for each in found["scores"]]})
    with serving(server(answer)) as url:
        assert remote(url).score(IMAGES, CAPTIONS) == [None] * 5


@pytest.mark.parametrize(
    "trouble", [(500, b"oops"), (429, b"slower"), (408, b""), None], ids=["500", "429", "408", "dropped"]
)
def test_a_service_that_is_away_is_waited_for(trouble: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def answer(body: bytes) -> Answer:
        calls.append(1)
        return trouble if len(calls) <= 3 else as_json(scored(body))

    monkeypatch.setattr("tts.rewards.remote.wire.FIRST_PAUSE", 0.001)
    with serving(server(answer)) as url:
        assert remote(url).score(IMAGES, CAPTIONS) == WANTED
    assert len(calls) == 4


def test_one_that_stays_away_fails_what_it_was_to_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tts.rewards.remote.wire.FIRST_PAUSE", 0.001)
    with serving(server(lambda _: (503, b""))) as url:
        reward = remote(url, patience=0.01)
        with pytest.raises(EngineError, match=r"has not answered for 0 s \(status 503\).*patience"):
            reward.score(IMAGES, CAPTIONS)


def test_one_that_is_away_is_waited_for_no_longer_than_anyone_wants() -> None:
    """Closing an engine, as an interrupted run does, ends the wait for everything that it has asked so far."""
    asked, found, up = threading.Event(), list[BaseException](), threading.Event()

    def answer(body: bytes) -> Answer:
        asked.set()
        return as_json(scored(body)) if up.is_set() else (503, b"")

    with serving(server(answer)) as url:
        reward: Any = remote(url, patience=3600)
        naps = threading.Event()
        reward.service.sleep = lambda _: naps.wait(20)

        def score() -> None:
            try:
                reward.score(IMAGES, CAPTIONS)
            except EngineError as error:
                found.append(error)

        thread = threading.Thread(target=score)
        thread.start()
        assert asked.wait(20)
        reward.close()
        naps.set()
        thread.join(20)
        assert "had not answered when the wait was ended" in str(found[0])
        up.set()
        assert reward.score(IMAGES, CAPTIONS) == WANTED


def test_a_refusal_is_told_at_once() -> None:
    with serving(server(lambda _: (401, b"no\x1b[31m key"))) as url:
        reward = remote(url)
        with pytest.raises(EngineError, match=r"refuses: status 401, no \[31m key"):
            reward.score(IMAGES, CAPTIONS)


def test_a_service_that_is_not_there_is_told_before_a_run() -> None:
    with serving(lambda *_: as_json(HEALTH)) as url:
        gone = url
    with pytest.raises(SettingError, match="does not answer"):
        remote(gone)


def test_a_key_comes_from_the_environment_and_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sesame")
    with serving(server(lambda _: (401, b"no"))) as url:
        made = REWARDS.make({"name": "remote", "url": url, "key": "MY_KEY"})[1]
        with pytest.raises(EngineError) as refusal:
            made.load().score(IMAGES, CAPTIONS)
    assert "sesame" not in json.dumps([made.record(), made.identity()]) + str(refusal.value)
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(SettingError, match="environment variable MY_KEY is not set"):
        REWARDS.make({"name": "remote", **made.record()})[1].check()
    with pytest.raises(SettingError, match="user name or password"):
        REWARDS.make({"name": "remote", "url": "http://me:sesame@127.0.0.1"})[1].check()


def test_what_the_service_says_is_part_of_the_identity() -> None:
    found = []
    for identity in ("brightness-1", "brightness-2"):
        with serving(lambda *_, said=identity: as_json({**HEALTH, "identity": said})) as url:
            found.append(REWARDS.make({"name": "remote", "url": url})[1].identity())
    assert found[0] != found[1]
    assert "127.0.0.1" not in json.dumps(found)


# Chats


def chat(choice: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[str, bytes], Answer]:
    def answer(path: str, body: bytes) -> Answer:
        if path == "/models":
            return as_json({"data": [{"id": "judge", "root": "org/judge"}]})
        return as_json({"choices": [choice(json.loads(body))]})

    return answer


def test_a_score_is_read_from_a_chats_words() -> None:
    asked: list[dict[str, Any]] = []

    def choice(question: dict[str, Any]) -> dict[str, Any]:
        asked.append(question)
        return {"message": {"content": "I would say Score: 7.5 of 10"}}

    with serving(chat(choice)) as url:
        reward = remote(
            url, format="openai", model="judge", pattern=r"Score: ([0-9.]+)", scale=0.1, template="{caption}?"
        )
        assert reward.score(IMAGES[:1], CAPTIONS[:1]) == [0.75]
    [content] = [message["content"] for message in asked[0]["messages"]]
    assert content[1]["text"] == f"{CAPTIONS[0]}?"
    assert content[0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_words_without_a_score_are_none() -> None:
    with serving(chat(lambda _: {"message": {"content": "I cannot"}})) as url:
        reward = remote(url, format="openai", model="judge", pattern=r"Score: ([0-9.]+)")
        assert reward.score(IMAGES[:2], CAPTIONS[:2]) == [None, None]


def test_the_probability_of_an_answer_is_a_score() -> None:
    import math

    tokens = [{"token": " Yes", "logprob": math.log(0.5)}, {"token": "yes", "logprob": math.log(0.25)}]
    tokens.append({"token": "No", "logprob": math.log(0.125)})
    with serving(chat(lambda _: {"logprobs": {"content": [{"top_logprobs": tokens}]}})) as url:
        reward = remote(url, format="openai", model="judge")
        assert reward.score(IMAGES[:1], CAPTIONS[:1]) == pytest.approx([0.75])


def test_a_probability_that_is_none_is_no_score() -> None:
    token = {"token": "yes", "logprob": 1e9}
    with serving(chat(lambda _: {"logprobs": {"content": [{"top_logprobs": [token]}]}})) as url:
        assert remote(url, format="openai", model="judge").score(IMAGES[:1], CAPTIONS[:1]) == [None]


def test_names_of_a_services_models_are_data() -> None:
    with (
        serving(lambda *_: as_json({"data": [{"id": ["judge"]}, {"id": "\x1b[31m" + "a" * 1000}]})) as url,
        pytest.raises(SettingError, match=r"no model judge; it has \[31ma{100,160}; set url") as refusal,
    ):
        remote(url, format="openai", model="judge")
    assert "\x1b" not in str(refusal.value)


def test_a_model_that_a_service_does_not_have_is_told() -> None:
    with serving(chat(lambda _: {})) as url, pytest.raises(SettingError, match="no model juge; it has judge"):
        remote(url, format="openai", model="juge")


def test_a_server_of_flow_grpo() -> None:
    def answer(path: str, body: bytes) -> Answer:
        given = pickle.loads(body)  # noqa: S301  (our own)
        assert given["prompts"] == CAPTIONS
        return as_pickle({"scores": [float(len(png)) for png in given["images"]], "more": ["words", None, (1, 2)]})

    with serving(answer) as url:
        reward = remote(url, format="flow-grpo")
        assert reward.score(IMAGES, CAPTIONS) == [float(len(_png(image))) for image in IMAGES]


def _png(image: torch.Tensor) -> bytes:
    from tts.media import png

    return png(image)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"url": "ftp://x"}, "http"),
        ({"url": "http://x", "format": "openai"}, "model"),
        ({"url": "http://x", "pattern": "([0-9])"}, "openai"),
        ({"url": "http://x", "format": "openai", "model": "a", "pattern": "[0-9]"}, "group"),
        ({"url": "http://x", "format": "openai", "model": "a", "pattern": "(["}, "pattern"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingError, match=word):
        REWARDS.make({"name": "remote", **settings})
