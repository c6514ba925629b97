"""The settings in which two runs differ."""

from __future__ import annotations

from typing import Any

import pytest

from bench.store.manifest_diff import Difference, differences


def manifest(**changes: Any) -> dict[str, Any]:
    """A small manifest with changed top-level entries."""
    return {
        "schema_version": 3,
        "digest": "d",
        "created": "2026-01-01",
        "config": {
            "model": "cifar10",
            "seed": 0,
            "problems": {"conditions": [0, 1], "seeds": 2},
            "engines": {"count": 2, "batch": 8, "threads": 1, "device": "cpu"},
            "images": True,
            "output": "results/a",
            "shard": None,
        },
        "resolved": {
            "model": {"name": "cifar10", "sampler": {"steps": 18, "S_churn": 40}},
            "rewards": {"brightness": {}},
            "numerics": {"batch": 8, "threads": 1, "device": "cpu"},
            "searches": [["naive", {}, None], ["random", {"N": 4}, "N"]],
            "conditions": [0, 1],
            "seed": 0,
        },
        "devices": ["x86", "x86"],
        "versions": {"torch": "2.8.0", "ray": "2.50.0"},
        "git": {"commit": "abc", "dirty": False},
        **changes,
    }


def resolved(**changes: Any) -> dict[str, Any]:
    """A manifest with changed resolved entries."""
    return manifest(resolved={**manifest()["resolved"], **changes})


def config(**changes: Any) -> dict[str, Any]:
    """A manifest with changed configured entries."""
    return manifest(config={**manifest()["config"], **changes})


def test_a_run_and_itself_at_another_time_and_place_differ_in_nothing() -> None:
    other = config(output="s3://b/x", shard="0/2") | {"created": "2027-02-02", "digest": "e"}
    assert differences(manifest(), other) == []


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (resolved(seed=1), [Difference("seed", 0, 1)]),
        (
            resolved(model={"name": "cifar10", "sampler": {"steps": 9, "S_churn": 40}}),
            [Difference("model.sampler.steps", 18, 9)],
        ),
        (
            resolved(numerics={"batch": 8, "threads": 1, "device": "cuda"}),
            [Difference("numerics.device", "cpu", "cuda")],
        ),
        (config(images=False), [Difference("images", True, False)]),
        (
            config(engines={"count": 4, "batch": 8, "threads": 1, "device": "cpu"}),
            [Difference("engines.count", 2, 4)],
        ),
        (manifest(git=None), [Difference("git.commit", "abc", None), Difference("git.dirty", False, None)]),
        (
            manifest(versions={"torch": "2.9.0", "numpy": "2.4"}),
            [
                Difference("versions.torch", "2.8.0", "2.9.0"),
                Difference("versions.ray", "2.50.0", None),
                Difference("versions.numpy", None, "2.4"),
            ],
        ),
        (manifest(devices=["x86", "H100"]), [Difference("devices", ["x86"], ["H100"])]),
    ],
)
def test_each_difference_is_named(other: dict[str, Any], expected: list[Difference]) -> None:
    assert differences(manifest(), other) == expected


def test_lists_differ_by_what_the_other_lacks_in_any_order() -> None:
    other = resolved(searches=[["random", {"N": 8}, "N"], ["naive", {}, None]], conditions=[1, 0])
    assert differences(manifest(), other) == [
        Difference("searches", [["random", {"N": 4}, "N"]], [["random", {"N": 8}, "N"]])
    ]


def test_a_manifest_of_an_older_version_will_do() -> None:
    older = manifest()
    del older["resolved"], older["versions"], older["git"]
    found = {difference.name for difference in differences(older, manifest())}
    assert {"model.name", "versions.torch", "git.commit"} <= found
