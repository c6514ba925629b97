"""A run as a data set: its card, and the requests to the hub."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from command_line import bench
from huggingface_hub import DatasetCard, HfApi
from huggingface_hub.errors import HfHubHTTPError
from rich.console import Console
from stored_runs import rows, stored
from tiny_study import SHIPPED, TINY

from bench.report.data_card import CardFacts, card
from bench.report.publish import Options, publish
from bench.report.summary import read_trials
from bench.run.start import run
from bench.store import reader as store
from bench.study.config import RunConfig
from tts.errors import DataError, SettingError
from tts.settings import parse

TOKEN = "hf_" + "a1b2" * 8
CLIENT = HfApi
"""The hub's own client; the calls of :class:`FakeHub` must fit its signatures."""
PLACE = "hf://datasets/group/noises"


class FakeHub:
    """A stand-in for the hub's client; ``files`` are those of the repository, None if there is no repository."""

    endpoint = "https://hub.example"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.files: list[str] | None = None
        self.uploaded: dict[str, bytes] = {}
        self.refusal: Exception | None = None

    def repo_exists(self, name: str, repo_type: str) -> bool:
        self.calls.append(("exists", name, repo_type))
        return self.files is not None

    def list_repo_files(self, name: str, repo_type: str) -> list[str]:
        self.calls.append(("list", name, repo_type))
        return self.files or []

    def create_repo(self, name: str, repo_type: str, private: bool) -> None:
        inspect.signature(CLIENT.create_repo).bind(self, name, repo_type=repo_type, private=private)
        self.calls.append(("create", name, repo_type, private))

    def upload_folder(self, folder_path: str, **others: Any) -> None:
        inspect.signature(CLIENT.upload_folder).bind(self, folder_path=folder_path, **others)
        if self.refusal is not None:
            raise self.refusal
        self.calls.append(("upload", others))
        folder = Path(folder_path)
        self.uploaded = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub where a user is signed in."""
    made = FakeHub()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: made)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on engines that compute nothing."""
    made = tmp_path_factory.mktemp("runs") / "mine"
    engines = {"backend": "local", "batch": 4, "simulate": 0.0}
    values = {**TINY, "model": SHIPPED, "engines": engines, "rewards": ["brightness"], "held_out": ["compressibility"]}
    run(parse(RunConfig, {**values, "output": str(made)}, "study"), Console(quiet=True))
    return made


def head_of(text: str) -> dict[str, Any]:
    _, head, _ = text.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(head)
    return found


def test_a_new_data_set_is_private_and_has_the_export_and_its_card(folder: Path, hub: FakeHub) -> None:
    done = publish(folder, PLACE, Options(license="cc-by-4.0"))
    digest = store.read_manifest(folder)["digest"]
    assert hub.calls == [
        ("exists", "group/noises", "dataset"),
        ("create", "group/noises", "dataset", True),
        (
            "upload",
            {
                "repo_id": "group/noises",
                "repo_type": "dataset",
                "commit_message": f"tts-bench export of run {digest}",
                "delete_patterns": None,
            },
        ),
    ]
    assert set(hub.uploaded) == {
        "README.md", "manifest.json", "trials/part-export-00000.parquet", "curves.parquet", "curves.png"
    }  # fmt: skip
    assert (done.place, done.rows) == ("https://hub.example/datasets/group/noises", store.read(folder).num_rows)
    assert done.names == [f"output = {folder}"]
    text = hub.uploaded["README.md"].decode()
    assert head_of(text) == {
        "license": "cc-by-4.0",
        "pretty_name": "noises",
        "task_categories": ["unconditional-image-generation"],
        "size_categories": ["n<1K"],
        "tags": ["diffusion", "test-time-scaling", "benchmark", "cifar10"],
        "configs": [{"config_name": "trials", "data_files": "trials/*.parquet"}],
    }
    assert DatasetCard(text).data.to_dict() == head_of(text)  # the hub's own library reads the same
    assert "hf download group/noises --repo-type dataset --local-dir noises" in text
    assert not any(TOKEN.encode() in content for content in hub.uploaded.values())


def test_the_card_says_what_the_rows_are(folder: Path, hub: FakeHub) -> None:
    publish(folder, PLACE, Options(images=False))
    text = hub.uploaded["README.md"].decode()
    trials = read_trials(folder)
    assert f"{len(trials)} rows, 2 problems. Images were left out" in text
    assert "| compressibility | held out: never searched on | quality: 80, max\\_bytes: null |" in text
    assert "| brightness | searched on | - |" in text
    for (search, settings), group in trials.groupby(["search", "settings"]):
        line = f"| {search} | {settings} | {len(group)} |"
        assert re.sub(r"([_\[\]])", r"\\\1", line) in text
    columns = re.findall(r"^\| ([^|]*) \| [a-z0-9]+ \| ", text.partition("## Columns")[2], re.MULTILINE)
    stored_names = [name for name in store.columns(folder) if name != "image"]
    assert [name.replace("\\", "") for name in columns] == ["column", *stored_names]
    [trial] = re.findall(r"tts-bench replay noises (\w+) ", text)
    assert store.find(folder, trial)["error"] is None
    config = text.partition("## Configuration\n\n```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(config) == store.read_manifest(folder)["config"]


def test_what_is_there_is_not_replaced_unless_it_is_said(folder: Path, hub: FakeHub) -> None:
    hub.files = [".gitattributes", "README.md", "data.csv"]
    with pytest.raises(SettingError, match=r"holds 2 files already \(README.md, data.csv, ...\); .*--overwrite"):
        publish(folder, PLACE, Options())
    assert [call[0] for call in hub.calls] == ["exists", "list"]
    publish(folder, PLACE, Options(overwrite=True, public=True))
    assert [call[0] for call in hub.calls[2:]] == ["exists", "list", "upload"]
    assert hub.calls[-1][1]["delete_patterns"] == "*"
    hub.files = [".gitattributes"]
    publish(folder, PLACE, Options())
    assert hub.calls[-1][1]["delete_patterns"] is None


def test_public_is_said(folder: Path, hub: FakeHub) -> None:
    publish(folder, PLACE, Options(public=True))
    assert ("create", "group/noises", "dataset", False) in hub.calls


def refusal(status: int) -> HfHubHTTPError:
    response: Any = SimpleNamespace(status_code=status, headers={}, request=None)
    return HfHubHTTPError(f"no, {TOKEN}", response=response)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (refusal(403), "the hub answers 403; sign in with a token that may write there"),
        (refusal(500), r"the hub answers 500; try again, or export to a folder and upload that \(no, \.\.\.\)"),
        (ConnectionError(f"lost {TOKEN}"), r"cannot be uploaded \(lost \.\.\.\)"),
    ],
)
def test_what_the_hub_refuses_is_one_line_without_the_token(
    folder: Path, hub: FakeHub, error: Exception, message: str
) -> None:
    hub.refusal = error
    with pytest.raises(SettingError, match=message) as told:
        publish(folder, PLACE, Options())
    assert TOKEN not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_hub_that_does_not_answer_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real client asks an address where nobody listens; its error is no ``OSError``."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: CLIENT(endpoint="http://127.0.0.1:9", token=TOKEN))
    with pytest.raises(SettingError, match=r"--to hf://datasets/group/noises: cannot be uploaded \(.*refused\)"):
        publish(folder, PLACE, Options())


def test_nobody_is_signed_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(SettingError, match="nobody is signed in; set HF_TOKEN in the environment, or call: hf auth"):
        publish(folder, PLACE, Options())


@pytest.mark.parametrize(
    "to", ["hf://models/a/b", "hf://datasets/a", "hf://datasets/a/b/c", "hf://datasets/../b c", "hf://a/b"]
)
def test_an_address_that_is_none_is_refused(folder: Path, hub: FakeHub, to: str) -> None:
    with pytest.raises(SettingError, match="give hf://datasets/OWNER/NAME, or a folder"):
        publish(folder, to, Options())
    assert hub.calls == []


def test_a_run_without_rows_makes_no_repository(tmp_path: Path, hub: FakeHub) -> None:
    with pytest.raises(DataError, match="not a results folder"):
        publish(tmp_path, PLACE, Options())
    assert [call[0] for call in hub.calls] == ["exists"]


def test_a_folder_gets_the_card_too(folder: Path, tmp_path: Path) -> None:
    done = bench("export", folder, "--to", tmp_path / "out", "--license", "mit", "--no-images")
    assert done.code == 0
    assert f"output = {folder}" in done.err
    text = (tmp_path / "out" / "README.md").read_text()
    assert (head_of(text)["license"], head_of(text)["pretty_name"]) == ("mit", "out")
    assert "tts-bench verify FOLDER --sample 20" in text
    assert store.read(tmp_path / "out").num_rows == store.read(folder).num_rows
    assert bench("export", tmp_path / "out", "--to", tmp_path / "again").code == 0
    assert "Images were left out" in (tmp_path / "again" / "README.md").read_text()  # nobody left them out this time
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README.md").write_text("mine")
    refused = bench("export", folder, "--to", tmp_path / "other")
    assert refused.code == 2
    assert "has a README.md already" in refused.err
    assert (tmp_path / "other" / "README.md").read_text() == "mine"


def test_addresses_of_engines_and_sinks_are_named_before_others_read_them(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "run"))
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["config"]["engines"]["address"] = "ray://head:10001"
    manifest["config"]["sinks"] = ["wandb", {"name": "mlflow", "uri": "http://tracker:5000"}]
    (copied / "manifest.json").write_text(json.dumps(manifest))
    names = publish(copied, str(tmp_path / "out"), Options(images=False)).names
    assert names == [
        "engines.address = ray://head:10001",
        "sinks.uri = http://tracker:5000",
        f"output = {folder}",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give a folder, or --to PLACE"),
        (["there", "--to", "elsewhere"], "give a folder, or --to PLACE"),
        (["--to", "there", "--npz"], "images alone have no card"),
        (["there", "--npz", "--no-images"], "--npz writes images and nothing else"),
        (["there", "--license", "mit"], "give --to PLACE in place of a folder"),
        (["there", "--overwrite"], "give --to PLACE in place of a folder"),
        (["--to", "there", "--license", "My License"], "--license My License: give the hub's word for it"),
    ],
)
def test_options_that_do_not_go_together(folder: Path, words: list[str], message: str) -> None:
    refused = bench("export", folder, *words)
    assert refused.code == 2
    assert message in " ".join(refused.err.split())


def test_texts_of_a_run_from_anywhere_are_no_markup(tmp_path: Path, tiny: Callable[..., RunConfig]) -> None:
    made = stored(tmp_path / "run", rows(problems=2))
    manifest = store.read_manifest(made)
    evil = "</td><script>x</script> | a\n# b `c` ![d](e)"
    manifest["resolved"] = {"model": {"name": evil}, "rewards": {evil: {evil: [evil]}}, "numerics": {}, "held_out": 3}
    manifest["config"] = {"problems": {"conditions": ["```\n# out of the block\n````"]}}
    text = card(manifest, read_trials(made), CardFacts(evil, "mit", None, True))
    assert "<script>" not in text.partition("## Configuration")[0].partition("---\n\n")[2].replace("\\<script", "")
    assert "\n# b" not in text
    assert "cifar10" not in head_of(text)["tags"]
    assert head_of(text)["pretty_name"] == evil
    assert re.search(r"\n(`{5})yaml\n.*\n\1\n$", text, re.DOTALL)


def test_rows_of_a_table_cannot_be_replayed(tmp_path: Path) -> None:
    made = stored(tmp_path / "run", rows(problems=2))
    manifest = store.read_manifest(made)
    manifest["resolved"]["model"] = {"name": "table", "table": "0" * 64}
    text = card(manifest, read_trials(made), CardFacts("x", "mit", None, True))
    assert "tts-bench report FOLDER" in text
    assert "tts-bench replay" not in text


def test_prompts_are_text_to_image(tmp_path: Path) -> None:
    made = stored(tmp_path / "run", rows(problems=2))
    trials = read_trials(made).assign(condition='"a red cube"')
    text = card(store.read_manifest(made), trials, CardFacts("x", "mit", None, True))
    assert head_of(text)["task_categories"] == ["text-to-image"]
