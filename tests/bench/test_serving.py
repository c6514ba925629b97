"""Rewards as a service give the same values, bit for bit, and one-line messages for invalid requests."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import torch
import urllib3
from fragile_rewards import SPARED
from PIL import Image
from served_rewards import IMAGES, running

from bench.store.manifest import versions
from bench.workers.on_ray import serving as on_ray
from bench.workers.on_ray.paths import SearchPath
from bench.workers.serving.http import Server
from bench.workers.serving.served import Served, token_in
from bench.workers.serving.service import RewardService
from tts.engine.asking import ask_places
from tts.errors import EngineError
from tts.media import png
from tts.registry import REWARDS
from tts.rewards.base import Reward, RewardSettings
from tts.rewards.brightness import Brightness
from tts.rewards.compressibility import Compressibility

CAPTIONS = [f"a cube, number {k}" for k in range(5)]
OWN = {"name": "fragile_rewards:redness", "as": "fragile", "host": True}
SMALL_FILE = {"name": "compressibility", "as": "small", "max_bytes": 900}


@pytest.fixture(scope="module")
def several() -> Iterator[str]:
    """Three rewards at one address."""
    with running(Served(["brightness", SMALL_FILE, OWN], batch=4, most_bytes=100_000)) as url:
        yield url


def remote(url: str, **settings: Any) -> tuple[RewardSettings, Reward]:
    made = REWARDS.make({"name": "remote", "url": url, "patience": 5, **settings})[1]
    made.check()
    return made, made.load()


def asked(url: str, path: str, content: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and answer of one request: POST with content, GET without."""
    body = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
    found = urllib3.request("GET" if body is None else "POST", url + path, body=body, headers=headers, retries=False)
    return found.status, found.json()


def question(**changes: Any) -> dict[str, Any]:
    image = {"id": "1", "png": base64.b64encode(png(IMAGES[0])).decode(), "caption": "a cube"}
    return {"protocol": 1, "images": [{**image, **changes}]}


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_values_are_those_of_the_process_bit_for_bit(several: str, batch: int) -> None:
    for name, settings in (("brightness", Brightness()), ("small", Compressibility(max_bytes=900))):
        _, reward = remote(f"{several}/{name}", batch=batch)
        assert reward.score(IMAGES, CAPTIONS) == settings.load().score(IMAGES, CAPTIONS)


def test_one_reward_is_at_the_address_itself() -> None:
    with running(Served(["brightness"])) as url:
        _, reward = remote(url)
        assert reward.score(IMAGES, CAPTIONS) == Brightness().load().score(IMAGES, CAPTIONS)
        status, found = asked(url, "/health")
    assert (status, found["rewards"], found["settings"]) == (200, ["brightness"], {})
    assert found["versions"] == versions()


def test_images_of_several_sizes_keep_their_places(several: str) -> None:
    sizes = [IMAGES[0], IMAGES[1, :, :4], IMAGES[2]]
    images = [{"id": str(k), "png": base64.b64encode(png(image)).decode()} for k, image in enumerate(sizes)]
    status, found = asked(several, "/brightness/score", {"protocol": 1, "images": images})
    wanted = [Brightness().load().score(image[None], [""])[0] for image in sizes]
    assert (status, found["scores"]) == (200, [{"id": str(k), "score": value} for k, value in enumerate(wanted)])


def test_an_image_on_which_a_reward_fails_fails_in_the_same_words(several: str) -> None:
    here, (_, there) = REWARDS.make(OWN_PLAIN)[1].load(), remote(f"{several}/fragile")
    given, places = IMAGES.clone(), {k: k for k in range(5)}
    given[3] = SPARED
    values, errors = ask_places("fragile", there, given, CAPTIONS, places)
    assert values == ask_places("fragile", here, given, CAPTIONS, places)[0]
    assert list(errors) == [3]
    assert "reward fragile failed: ZeroDivisionError: a fault" in errors[3]


OWN_PLAIN = {key: value for key, value in OWN.items() if key != "as"}


def test_what_is_served_is_part_of_the_identity() -> None:
    found = []
    for served in (Served(["brightness"]), Served(["brightness"], batch=3), Served([SMALL_FILE])):
        with running(served) as url:
            made, _ = remote(url)
            found.append(json.dumps(made.identity(), sort_keys=True))
    assert len(set(found)) == 3
    assert '"max_bytes": 900' in found[2]
    assert "127.0.0.1" not in "".join(found)


def grey() -> str:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def jpeg() -> str:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format="JPEG")
    return base64.b64encode(file.getvalue()).decode()


BAD: dict[str, tuple[int, str, Any, str]] = {
    "no JSON": (400, "/brightness/score", b"<html>", "the request is no JSON"),
    "deep": (400, "/brightness/score", b"[" * 50_000, "the request is no JSON"),
    "a list": (400, "/brightness/score", [1], "expected settings as 'key: value'"),
    "an unknown key": (400, "/brightness/score", question(captoin="x"), "did you mean 'caption'"),
    "no images": (400, "/brightness/score", {"protocol": 1, "images": []}, "images"),
    "another protocol": (400, "/brightness/score", {**question(), "protocol": 2}, "protocol 2, but must have 1"),
    "no base64": (400, "/brightness/score", question(png="%%"), "images.0.png: no base64"),
    "no PNG": (400, "/brightness/score", question(png="AAAA"), "images.0.png: no PNG file"),
    "a JPEG": (400, "/brightness/score", question(png=jpeg()), "images.0.png: no PNG file"),
    "grey": (400, "/brightness/score", question(png=grey()), "8-bit RGB is wanted, and this is L"),
    "no reward named": (400, "/score", question(), "several rewards are served; ask /NAME/score of brightness, small"),
    "another reward": (404, "/clip/score", question(), "nothing is here; there are /health and /brightness/score"),
    "another path": (404, "/", None, "nothing is here"),
    "too long": (413, "/brightness/score", b"x" * 100_001, "100001 bytes, and 100000 are the most"),
    "scored by GET": (405, "/brightness/score", None, "/score is asked by POST"),
    "health by POST": (405, "/health", {}, "/health is asked by GET"),
    "a reward that fails": (
        422,
        "/fragile/score",
        question(png=base64.b64encode(png(torch.full_like(IMAGES[0], SPARED))).decode()),
        "reward fragile failed: ZeroDivisionError: a fault",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_gets_a_sentence(several: str, name: str) -> None:
    status, path, content, words = BAD[name]
    found = asked(several, path, content)
    assert found[0] == status
    assert words in found[1]["error"]


def test_an_image_of_too_many_pixels_is_not_unpacked(several: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.workers.serving.form.MOST_PIXELS", 63)
    status, found = asked(several, "/brightness/score", question())
    assert (status, found["error"]) == (400, "images.0.png: 8 x 8 are more than 63 pixels")


def test_images_of_too_many_pixels_together_are_not_unpacked(several: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small request may hold images that need far more memory than it has bytes."""
    monkeypatch.setattr("bench.workers.serving.form._pixels", None)
    flat = base64.b64encode(png(torch.zeros(3, 200, 251, dtype=torch.uint8))).decode()
    status, found = asked(several, "/brightness/score", {"protocol": 1, "images": [{"id": "1", "png": flat}] * 2})
    assert (status, found["error"].partition(";")[0]) == (413, "the images have 100400 pixels, and 100000 are the most")


def test_too_little_memory_is_told(several: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("bench.workers.serving.service.read", read)
    status, found = asked(several, "/brightness/score", question())
    assert (status, found["error"]) == (503, "the server has too little memory for the request at present")


def test_a_request_whose_length_is_unknown_is_refused(several: str) -> None:
    found = urllib3.PoolManager().request("POST", f"{several}/score", body=iter([b"{}"]), retries=False)
    assert (found.status, found.json()["error"]) == (411, "the request does not say how long it is")


def test_a_refusal_s_sentence_reaches_the_client(several: str) -> None:
    with closing(RewardService(Served(["brightness"]))) as service:
        service.answer = lambda *_: (400, b'{"error": "not today"}')  # type: ignore[method-assign]
        with Server(service, "127.0.0.1", 0, 10_000) as server:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            made = REWARDS.make({"name": "remote", "url": server.address})[1]
            made.__dict__["_said"] = {"service": {}}
            with pytest.raises(EngineError, match="refuses: status 400, not today"):
                made.load().score(IMAGES, CAPTIONS)
            server.shutdown()


def test_a_token_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sesame")
    with running(Served(["brightness"], token=token_in("MY_KEY"))) as url:
        assert asked(url, "/health")[0] == 401
        assert asked(url, "/health", Authorization="Bearer simsim")[0] == 401
        made, reward = remote(url, key="MY_KEY")
        assert reward.score(IMAGES, CAPTIONS) == Brightness().load().score(IMAGES, CAPTIONS)
        assert "sesame" not in json.dumps(made.identity())
        monkeypatch.setattr(RewardService, "answer", None)  # nothing is read for those who have no token
        assert asked(url, "/score", b"x" * 1000)[0] == 401


# Ray Serve


class Call:
    """A request in Starlette's form."""

    def __init__(self, method: str, path: str, body: bytes, **headers: str) -> None:
        self.method, self.url, self._body = method, types.SimpleNamespace(path=path), body
        self.headers = {"content-length": str(len(body)), **headers}

    async def body(self) -> bytes:
        return self._body


@pytest.fixture
def starlette(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the part of starlette that a replica uses."""
    responses = types.ModuleType("starlette.responses")
    responses.Response = lambda content, status_code, media_type: (status_code, json.loads(content))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "starlette", types.ModuleType("starlette"))
    monkeypatch.setitem(sys.modules, "starlette.responses", responses)


def test_a_replica_answers_as_the_plain_server_does(several: str, starlette: None) -> None:
    replica = on_ray.Replica(Served(["brightness", SMALL_FILE, OWN], batch=4, most_bytes=100_000), SearchPath((), ()))

    def answer(*call: Any, **headers: str) -> Any:
        return asyncio.run(replica(Call(*call, **headers)))

    assert answer("GET", "/health", b"") == asked(several, "/health")
    body = json.dumps(question()).encode()
    assert answer("POST", "/brightness/score", body) == asked(several, "/brightness/score", body)
    assert answer("POST", "/score", body) == asked(several, "/score", body)
    assert answer("POST", "/score", body, **{"content-length": "100001"})[0] == 413
    assert answer("POST", "/score", body, **{"content-length": ""})[0] == 411


def test_a_replica_reads_nothing_of_those_who_have_no_token(starlette: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sesame")
    call = Call("POST", "/score", b"{}")
    call.body = None  # type: ignore[method-assign, assignment]
    replica = on_ray.Replica(Served(["brightness"], token=token_in("MY_KEY")), SearchPath((), ()))
    assert asyncio.run(replica(call))[0] == 401
