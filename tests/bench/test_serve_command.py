"""``tts-bench serve`` and its page."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import socket
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from command_line import bench, refused
from served_rewards import IMAGES, running

from bench.commands.app import app
from bench.study.scorers import Scorers
from bench.workers.serving.http import Server
from bench.workers.serving.served import Served, entries
from bench.workers.serving.service import RewardService
from tts.media import png
from tts.registry import REWARDS
from tts.rewards.brightness import Brightness
from tts.settings import parse

# The command


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused("--device cuda: torch finds no GPU", "serve", "brightness", "--device", "cuda")


def test_what_cannot_be_served_is_told() -> None:
    refused("unknown reward 'brightnes'; did you mean 'brightness'", "serve", "brightnes")
    refused("is no mapping in YAML", "serve", "{name: ")
    refused("for prompts use clip", "serve", "clip_classes")
    refused("its classifier knows CIFAR-10's classes", "serve", "class_probability")
    refused("named twice", "serve", "brightness", "brightness")
    refused("--key NO_SUCH_KEY: the environment has no such variable", "serve", "brightness", "--key", "NO_SUCH_KEY")
    assert entries(["clip", "{name: clip, as: judge}"]) == ["clip", {"name": "clip", "as": "judge"}]


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("--replicas 2: only a Ray cluster has copies; set --address", "--replicas 2"),
        ("--gpus 0.5: only a Ray cluster reserves GPUs; set --address", "--gpus 0.5"),
        ("--gpus 1: with --device cpu they would be idle; set --device cuda", "--address auto --gpus 1"),
        ("--device cuda: on a Ray cluster GPUs must be reserved; set --gpus", "--address auto --device cuda"),
        ("--port 0: clients of a Ray cluster need to know its port; set one", "--address auto --port 0"),
    ],
)
def test_options_that_would_be_ignored_are_refused(message: str, options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "serve_forever", _interrupted)
    refused(message, "serve", "brightness", *options.split())


def test_the_command_says_what_clients_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command serves until it is interrupted."""
    monkeypatch.setattr(Server, "serve_forever", _interrupted)
    result = bench("serve", "brightness", "--port", 0)
    assert result.code == 0
    assert result.out.startswith("brightness: {name: remote, url: http://127.0.0.1:")
    two = bench("serve", "brightness", "compressibility", "--port", 0, "--host", "0.0.0.0")  # noqa: S104
    assert f"url: http://{socket.gethostname()}:" in two.out  # 0.0.0.0 is no address that other machines can ask
    assert "/compressibility}" in two.out
    assert "whoever reaches it may ask; set --key" in two.err
    taken = Server(RewardService(Served(["brightness"])), "127.0.0.1", 0, 1)
    with taken:
        refused("cannot listen there", "serve", "brightness", "--port", taken.server_address[1], code=1)


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


# The page

PAGE = (Path(__file__).parents[2] / "docs" / "remote.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def test_the_pages_commands_are_understood() -> None:
    lines = [line for block in blocks("") for line in block.splitlines()]
    assert len(lines) == 4
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    for line in lines:
        program, name, *words = shlex.split(line)
        assert (program, name) == ("tts-bench", "serve")
        assert Served(entries(command.make_context("serve", words).params["rewards"])).rewards


def test_the_pages_program_gets_a_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat.png").write_bytes(png(IMAGES[0]))
    [program], printed = blocks("python"), io.StringIO()
    with running(Served(["brightness"])) as url, contextlib.redirect_stdout(printed):
        exec(program.replace("http://127.0.0.1:8700", url), {})  # noqa: S102  (our own page)
    [score] = ast.literal_eval(printed.getvalue())
    assert score == {"id": "1", "score": Brightness().load().score(IMAGES[:1], [""])[0]}


def test_the_pages_configurations_are_some() -> None:
    asks, pools = (yaml.safe_load(block) for block in blocks("yaml"))
    for given in asks["rewards"]:
        assert REWARDS.make({key: value for key, value in given.items() if key != "as"})[0] == "remote"
    names = ["brightness", *(given["as"] for given in pools["rewards"] if isinstance(given, dict))]
    parse(Scorers, pools["scorers"], "the page").check(names)
