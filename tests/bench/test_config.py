"""Configurations: loaded by name and path, overridden, and refused with the nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_study import TINY, small

from bench.study.config import CONFIGS, RunConfig, assignments, find, load, read_yaml
from bench.study.study import Study
from tts.errors import SettingError
from tts.settings import parse

NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
LEAST: dict[str, Any] = {"model": "cifar10", "rewards": ["brightness"], "searches": ["naive"], "output": "out"}


def written(path: Path, values: Any = TINY) -> str:
    """A configuration as a file; its path."""
    path.write_text(yaml.safe_dump({**values, "output": "out"}))
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_configuration_is_loaded_by_name_or_path(name: str) -> None:
    assert load(name) == load(str(CONFIGS / f"{name}.yaml"))


@pytest.mark.parametrize("name", ["cifar10-reference", "quickstart"])
def test_configurations_of_the_embedded_model_are_studies(name: str) -> None:
    assert Study(load(name)).size > 0


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    assert load(written(tmp_path / "mine.yaml")) == parse(RunConfig, {**TINY, "output": "out"}, "here")


def test_a_shipped_name_wins_over_a_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "quickstart")
    assert find("quickstart") == CONFIGS / "quickstart.yaml"
    assert find("./quickstart") == Path("quickstart")


def test_what_is_left_out_has_its_default() -> None:
    config = parse(RunConfig, LEAST, "here")
    assert config.problems.conditions == "all"
    assert (config.problems.seeds, config.seed, config.images) == (1, 0, True)
    engines = config.engines
    assert (engines.backend, engines.count, engines.address, engines.device) == ("ray", 1, "local", "cpu")
    assert engines.numerics() == {"batch": 32, "threads": 1, "device": "cpu"}


@pytest.mark.parametrize("key", sorted(LEAST))
def test_what_has_no_default_must_be_there(key: str) -> None:
    with pytest.raises(SettingError, match=rf"^here: '{key}' is missing$"):
        parse(RunConfig, {name: value for name, value in LEAST.items() if name != key}, "here")


def test_overrides_reach_into_nested_settings(tmp_path: Path) -> None:
    overrides = [
        "seed=7",
        "engines.batch=3",
        "problems.conditions=[1, cat]",
        "model.sampler.S_churn=2.5",
        "searches=[naive, {name: random, N: 2}]",
        "images=false",
        "output=a=b",
        " problems.seeds = 2",
    ]
    config, before = load(written(tmp_path / "mine.yaml"), overrides), load(written(tmp_path / "mine.yaml"))
    assert (config.seed, config.images, config.output) == (7, False, Path("a=b"))
    assert config.problems.model_dump() == {"conditions": [1, "cat"], "seeds": 2, "random": None}
    assert config.engines == before.engines.model_copy(update={"batch": 3})
    assert config.model == small(steps=4, S_churn=2.5)
    assert config.searches == ["naive", {"name": "random", "N": 2}]
    assert config.rewards == before.rewards


def test_an_override_makes_the_mapping_that_is_missing(tmp_path: Path) -> None:
    assert load(written(tmp_path / "mine.yaml", LEAST), ["engines.count=5"]).engines.count == 5


def test_the_later_override_wins(tmp_path: Path) -> None:
    assert load(written(tmp_path / "mine.yaml"), ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("engines.count", "--set engines.count: expected key=value"),
        ("", "--set : expected key=value"),
        ("engines.count=[1", "--set engines.count=[1: '[1' is not a YAML value"),
        ("seed=2024-13-45", "--set seed=2024-13-45: '2024-13-45' is not a YAML value"),
        ("seed=!!python/name:os.system", "is not a YAML value"),
        ("engines.batch.x=3", "'engines.batch' holds no settings; replace it whole: --set engines.batch=..."),
        ("searches.0=naive", "'searches' holds no settings; replace it whole: --set searches=..."),
        ("engines.cout=2", "unknown key 'engines.cout'; did you mean 'count'?"),
        ("=3", "unknown key ''; known: compute, "),
        ("seed=", "seed = None: Input should be a valid integer"),
    ],
)
def test_a_bad_override_is_refused(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as caught:
        load(written(tmp_path / "mine.yaml"), [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"enginse": {}}, "here: unknown key 'enginse'; did you mean 'engines'?"),
        ({"SEED": 3}, "here: unknown key 'SEED'; did you mean 'seed'?"),
        ({"xyz": 1}, "here: unknown key 'xyz'; known: compute, "),
        ({"engines": {"cout": 2}}, "here: unknown key 'engines.cout'; did you mean 'count'?"),
        ({"problems": {"seed": 2}}, "here: unknown key 'problems.seed'; did you mean 'seeds'?"),
        ({"model": 5}, "here: model = 5: Input should be a valid string or a valid dictionary"),
        ({"rewards": []}, "here: rewards = []: List should have at least 1 item"),
        ({"searches": [3]}, "here: searches.0 = 3: Input should be a valid string or a valid dictionary"),
        ({"problems": {"conditions": "cat"}}, "problems.conditions = 'cat': Input should be 'all' or a valid list"),
        ({"problems": {"conditions": [0, True]}}, "problems.conditions.1 = True: Input should be a valid integer or"),
        ({"engines": {"backend": "rey"}}, "here: engines.backend = 'rey': Input should be 'ray' or 'local'"),
        (
            {"engines": {"oversupply": 0.5}},
            "here: engines.oversupply = 0.5: Input should be greater than or equal to 1",
        ),
        ({"flush_seconds": float("nan")}, "here: flush_seconds = nan: Input should be a finite number"),
        ({"seed": -1}, "here: seed = -1: Input should be greater than or equal to 0"),
    ],
)
def test_unusable_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse(RunConfig, {**LEAST, **change}, "here")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_key_of_the_model_is_named_with_the_nearest() -> None:
    config = parse(RunConfig, {**LEAST, "model": {"name": "cifar10", "sampler": {"stps": 6}}}, "here")
    with pytest.raises(
        SettingError, match=r"^model cifar10: sampler heun: unknown key 'stps'; did you mean 'steps'\?$"
    ):
        Study(config)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model: [1", "not YAML"),
        (b"a: b: c", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"seed: 2024-13-45", "not YAML"),
        (b"- model: cifar10", "expected 'key: value' lines"),
        (b"cifar10", "expected 'key: value' lines"),
        (b"", "expected 'key: value' lines"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"configuration {path}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["quikstart", "/nowhere/quickstart", "."])
def test_a_missing_file_is_named_with_the_nearest_of_ours(source: str) -> None:
    with pytest.raises(SettingError) as caught:
        load(source)
    assert str(caught.value).startswith(f"configuration '{source}': no such file or shipped configuration; ")
    assert "quickstart" in str(caught.value).removeprefix(f"configuration '{source}'")


def test_assignments_are_yaml_values() -> None:
    given = ["K=20", "eps=0.5", "keep_best=false", "sampler.steps=6", "sampler.rho=5"]
    assert assignments(given) == {"K": 20, "eps": 0.5, "keep_best": False, "sampler": {"steps": 6, "rho": 5}}


def test_a_setting_of_a_model_that_is_only_named() -> None:
    config = load("quickstart", ["model.sampler.steps=6"])
    assert config.model == {"name": "cifar10", "sampler": {"steps": 6}}


def test_several_engines_in_one_process_are_refused() -> None:
    with pytest.raises(SettingError, match="count: more than one engine needs backend: ray"):
        load("quickstart", ["engines.backend=local"])


@pytest.mark.parametrize("output", ["s3://bucket/run", "gs://bucket/run"])
def test_the_output_may_be_in_an_object_store(output: str) -> None:
    assert load("quickstart", [f"output={output}/"]).output == output


def test_an_address_of_another_kind_is_refused_rather_than_a_folder_of_that_name_made() -> None:
    with pytest.raises(SettingError, match=r"output = 'ftp://host/run': a folder, or .* s3:// or gs://"):
        load("quickstart", ["output=ftp://host/run"])


@pytest.mark.parametrize("shard", ["3/3", "x", "-1/3", "a/b", "1/2/3"])
def test_a_shard_that_is_none_is_refused(shard: str) -> None:
    with pytest.raises(SettingError, match=r"shard = .*: expected I/N with 0 <= I < N, for example 0/8"):
        load("quickstart", [f"shard={shard}"])


@pytest.mark.parametrize("place", ["protocol", "model", "rewards", "searches"])
def test_half_of_a_character_is_refused_in_a_line(place: str) -> None:
    half: Any = {"name": "\ud800"}
    with pytest.raises(SettingError) as caught:
        Study(parse(RunConfig, {**LEAST, place: half if place in ("protocol", "model") else [half]}, "here"))
    assert "\n" not in str(caught.value)


def test_the_output_may_begin_at_home() -> None:
    assert load("quickstart", ["output=~/run"]).output == Path.home() / "run"
