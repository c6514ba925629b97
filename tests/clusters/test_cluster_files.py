"""Every file in clusters/ has the right form and holds no secrets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import ray
from cluster_files import (
    ALL,
    AUTOSCALER,
    CLUSTERS,
    READY_MADE,
    ROOT,
    SBATCH,
    SHELL,
    documents,
    pinned_ray,
)
from ray.autoscaler._private.util import prepare_config, validate_config

SECRETS = [
    r"AKIA[0-9A-Z]{16}",
    r"-----BEGIN",
    r"\b[0-9a-fA-F]{32,}\b(?! \*)",  # with " *" it is a digest, as sha256sum reads it
    r"\b(hf|ghp|gho|xox[bp]|sk)[_-]\w{16,}",
    r"(?i)(token|secret|password|key)\w*[=:]\s*[\"']?[A-Za-z0-9+/]{20,}",
]

SBATCH_OPTIONS = {
    "array": r"0-\d+(%\d+)?",
    "exclusive": None,
    "gpus-per-node": r"\d+",
    "job-name": r"[\w-]+",
    "mem": r"0",
    "nodes": r"\d+",
    "ntasks-per-node": r"1",
    "open-mode": r"append",
    "output": r"[\w%-]+\.log",
    "requeue": None,
    "signal": r"B:USR1@\d+",
    "time": r"\d+:\d\d:\d\d",
}
"""Directives of sbatch that these files use, and patterns of their values; None: they take no value."""

NODE_CONFIG = {
    "aws": {"InstanceType", "ImageId", "BlockDeviceMappings", "InstanceMarketOptions"},
    "gcp": {"machineType", "disks", "metadata", "scheduling"},
}


def test_every_file_is_checked() -> None:
    assert sorted(path.name for path in CLUSTERS.iterdir()) == sorted(ALL)


def test_the_image_has_the_pinned_ray() -> None:
    assert f"FROM rayproject/ray:{pinned_ray()}-" in (CLUSTERS / "README.md").read_text()


@pytest.mark.parametrize("name", READY_MADE)
def test_the_readme_presents_each_file(name: str) -> None:
    assert f"[{name}]({name})" in (CLUSTERS / "README.md").read_text()


@pytest.mark.parametrize("name", READY_MADE)
def test_a_header_and_marked_lines(name: str) -> None:
    lines = (CLUSTERS / name).read_text().splitlines()
    header = [line for line in lines[:12] if line.startswith("#") and not line.startswith(("#!", "#SBATCH"))]
    assert len(header) >= 3
    assert any(name in line for line in header), "the header says how the file is used"
    assert 1 <= sum("# EDIT" in line for line in lines) <= 12
    assert max(map(len, lines)) <= 130


@pytest.mark.parametrize("name", ALL)
def test_no_secrets(name: str) -> None:
    assert [found for form in SECRETS for found in re.findall(form, (CLUSTERS / name).read_text())] == []


@pytest.mark.parametrize("leak", ["AKIA" + 16 * "A", "x: " + 40 * "0a", "RAY_AUTH_TOKEN=" + 30 * "b", "hf_" + 20 * "c"])
def test_secrets_would_be_found(leak: str) -> None:
    assert any(re.search(form, leak) for form in SECRETS)


# Authentication


@pytest.mark.parametrize("name", SHELL)
def test_scripts_set_the_authentication(name: str) -> None:
    assert re.search(r"^export [^#\n]*\bRAY_AUTH_MODE=token\b", (CLUSTERS / name).read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", AUTOSCALER)
def test_launched_nodes_set_the_authentication(name: str) -> None:
    (config,) = documents(name)
    starts = [line for kind in ("head", "worker") for line in config[f"{kind}_start_ray_commands"] if "start" in line]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in line for line in starts)
    assert any("export RAY_AUTH_MODE=token" in line for line in config["setup_commands"])
    assert "/home/ubuntu/.ray/auth_token" in config["file_mounts"]


@pytest.mark.parametrize("name", AUTOSCALER)
def test_a_new_token_is_not_printed(name: str) -> None:
    (line,) = [line for line in (CLUSTERS / name).read_text().splitlines() if "get-auth-token" in line]
    assert "--generate >/dev/null && chmod 600 ~/.ray/auth_token" in line


# Ray's cluster launcher


@pytest.mark.parametrize("name", AUTOSCALER)
def test_autoscaler_schema(name: str) -> None:
    (config,) = documents(name)
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(config, schema)
    validate_config(prepare_config(config))  # with the provider's defaults, as in 'ray up'


@pytest.mark.parametrize("name", AUTOSCALER)
def test_the_head_takes_no_work_and_workers_are_cheap(name: str) -> None:
    (config,) = documents(name)
    types, provider = config["available_node_types"], config["provider"]["type"]
    assert config["head_node_type"] == "head"
    assert types["head"]["resources"] == {"CPU": 0, "GPU": 0}
    workers = types["gpu"]
    assert workers["min_workers"] == workers["max_workers"] == config["max_workers"]  # a run needs all engines at once
    assert workers["resources"]["GPU"] >= 1
    for kind in types.values():
        assert set(kind["node_config"]) <= NODE_CONFIG[provider]
    if provider == "aws":
        assert workers["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert "InstanceMarketOptions" not in types["head"]["node_config"]
    else:
        assert workers["node_config"]["scheduling"][0]["preemptible"] is True
        assert "scheduling" not in types["head"]["node_config"]


@pytest.mark.parametrize("name", AUTOSCALER)
def test_what_is_copied_to_machines_exists(name: str) -> None:
    (config,) = documents(name)
    mounted = set(config["file_mounts"].values())
    assert mounted == {"~/.ray/auth_token", "dist", "constraints.txt"}  # the file's first command makes dist
    assert (ROOT / "constraints.txt").is_file()
    assert f'"ray[default]=={pinned_ray()}"' in (CLUSTERS / name).read_text()


# Scripts


@pytest.mark.parametrize("name", SHELL)
def test_scripts_are_clean(name: str) -> None:
    path = CLUSTERS / name
    shellcheck = Path(sys.executable).with_name("shellcheck")
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in path.read_text()
    for command in (["bash", "-n"], [shellcheck, "--shell=bash"]):
        done = subprocess.run([*command, path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SBATCH)
def test_sbatch_directives(name: str) -> None:
    lines = (CLUSTERS / name).read_text().splitlines()
    first_command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    directives = {}
    for number, line in enumerate(lines):
        if line.startswith("#SBATCH"):
            assert number < first_command, "sbatch reads no further than the first command"
            found = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?(?: +# .+)?", line)
            assert found, line
            directives[found[1]] = found[2]
    for option, value in directives.items():
        assert option in SBATCH_OPTIONS, f"unknown option {option}"
        form = SBATCH_OPTIONS[option]
        assert value is None if form is None else re.fullmatch(form, value), f"{option}={value}"
    assert {"exclusive", "requeue", "signal", "time", "nodes", "ntasks-per-node"} <= set(directives)


@pytest.mark.parametrize("name", SHELL)
def test_scripts_end_nothing_of_anybody_else(name: str) -> None:
    assert not re.search(r"\bray stop\b|\bpkill\b|\bkillall\b|\bscancel\b|kill -9", (CLUSTERS / name).read_text())
