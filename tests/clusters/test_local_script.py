"""The script for a cluster on one machine, run with stand-ins for Ray and ``tts-bench``."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster_files import CLUSTERS
from stand_ins import Site, ray_start


@pytest.fixture
def local(site: Site) -> tuple[Site, Path]:
    """The script beside an environment that holds the stand-ins."""
    script = site.home / "tts-bench" / "clusters" / "local.sh"
    script.parent.mkdir()
    script.write_text((CLUSTERS / "local.sh").read_text())
    site.mark("once")
    return site, script


def test_a_cluster_on_one_machine(local: tuple[Site, Path]) -> None:
    site, script = local
    assert site.run(script, "--num-gpus=1") == (0, "")
    (words,) = site.calls()
    start = ray_start(words)
    assert (start["head"], start["block"], start["num_gpus"]) == (True, True, 1)
    assert (start["dashboard_host"], start["port"]) == ("127.0.0.1", 6379)
    assert site.lines("auth") == {"token"}


def test_a_local_token_is_made_once_and_kept_private(local: tuple[Site, Path]) -> None:
    site, script = local
    token = site.home / ".ray" / "auth_token"
    site.run(script)
    made = token.read_text()
    assert len(made) == 64
    token.chmod(0o644)  # as Ray itself creates it
    site.run(script)
    assert token.read_text() == made
    assert site.lines("modes") == {"600"}
