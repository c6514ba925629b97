"""The file for KubeRay: its fields, how its parts fit together, and that mistakes in it are found."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from typing import Any

import pytest
from cluster_files import (
    CLUSTERS,
    RAYJOB,
    ROOT,
    documents,
    pinned_ray,
)
from kuberay import check_claim, check_rayjob
from ray.scripts.scripts import cli as ray_cli

from bench.study.config import RunConfig, load


def test_pods_set_the_authentication() -> None:
    _, job = documents("kubernetes.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == pinned_ray()  # the operator reads it: tokens need Ray 2.52


def test_no_ray_without_tokens_is_installed() -> None:
    packages = "\n".join(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    (minor,) = re.findall(r"^ray>=2\.(\d+),<3$", packages, re.MULTILINE)
    assert int(minor) >= 52


@pytest.mark.parametrize("name", ["README.md", *RAYJOB])
def test_how_a_job_that_has_ended_goes_on_is_told(name: str) -> None:
    job = documents("kubernetes.yaml")[1]["metadata"]["name"]
    again = f"kubectl delete rayjob {job} && kubectl apply -f clusters/kubernetes.yaml"
    assert again in (CLUSTERS / name).read_text()


@pytest.mark.parametrize("name", RAYJOB)
def test_kubernetes_fields(name: str) -> None:
    claim, job = documents(name)
    check_claim(claim)
    check_rayjob(job)


def test_kubernetes_wiring() -> None:
    claim, job = documents("kubernetes.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    head, (workers,) = cluster["headGroupSpec"]["template"]["spec"], cluster["workerGroupSpecs"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (volume,), (container,) = head["volumes"], head["containers"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (mount,) = container["volumeMounts"]
    assert mount["name"] == volume["name"]
    (worker,) = workers["template"]["spec"]["containers"]
    assert worker["image"] == container["image"]  # the same version everywhere
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"]
    settings = entrypoint_settings(job["spec"]["entrypoint"])
    assert settings.engines.count == workers["replicas"] * worker["resources"]["limits"]["nvidia.com/gpu"]
    assert str(settings.output).startswith(mount["mountPath"] + "/")
    assert job["spec"]["backoffLimit"] > 0
    assert job["spec"]["shutdownAfterJobFinishes"] is True


def entrypoint_settings(entrypoint: str) -> RunConfig:
    """The settings that an entrypoint runs with."""
    program, command, config, *rest = entrypoint.split()
    assert (program, command) == ("tts-bench", "run")
    assert not set(entrypoint) & set("|&;$'\""), "two shells read it: nothing that they would change"
    return load(config, [value for option, value in pairwise(rest) if option == "--set"])


@pytest.mark.parametrize("name", RAYJOB)
def test_ray_start_parameters_are_options_of_ray_start(name: str) -> None:
    cluster = documents(name)[1]["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        arguments = [f"--{key}={value}" for key, value in group["rayStartParams"].items()]
        ray_cli.commands["start"].make_context("start", arguments)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("spec.backofLimit", 3, "backofLimit"),
        ("spec.backoffLimit", "3", "backoffLimit"),
        ("spec.rayClusterSpec.authOptions.mode", "none", "mode"),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0, "num-cpus"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.template.spec.containers.0.imag", "x", "imag"),
        ("apiVersion", "ray.io/v1alpha1", "apiVersion"),
    ],
)
def test_kubernetes_mistakes_are_found(path: str, value: object, complaint: str) -> None:
    job = documents("kubernetes.yaml")[1]
    *way, last = path.split(".")
    place: Any = job
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]
    place[last] = value
    with pytest.raises(AssertionError, match=complaint):
        check_rayjob(job)
