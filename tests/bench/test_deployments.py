"""Rewards as a service on a cluster: what is asked of Ray Serve, and what stays there; no cluster starts here."""

from __future__ import annotations

import os
import signal
import sys
import time
import types
from typing import Any

import pytest
from command_line import bench

from bench.workers.on_ray import serving as on_ray
from bench.workers.serving.served import Served
from tts.errors import EngineError, SettingError


class Deployments(types.ModuleType):
    """A stand-in for the part of Ray Serve that is called; ``fault`` is what a deployment ends with."""

    def __init__(self) -> None:
        super().__init__("ray.serve")
        self.calls: list[Any] = []
        self.http: dict[str, Any] = {}
        self.fault: BaseException | None = None
        self.applications: dict[str, str] = {}

    def start(self, http_options: dict[str, Any]) -> None:
        self.http = self.http or http_options  # as Ray Serve, which outlives its applications

    def deployment(self, kind: type, **options: Any) -> Any:
        self.calls.append((kind, options))
        return types.SimpleNamespace(bind=lambda *arguments: arguments)

    def run(self, application: Any, **options: Any) -> None:
        self.calls.append((application[0], options))
        if self.fault is not None:
            raise self.fault

    def status(self) -> Any:
        return types.SimpleNamespace(applications=self.applications)

    def delete(self, name: str) -> None:
        self.calls.append(name)


@pytest.fixture
def deployments(monkeypatch: pytest.MonkeyPatch) -> Deployments:
    """Ray Serve on a cluster whose head has the address 10.0.0.7."""
    import ray

    fake, context = Deployments(), types.ModuleType("ray.serve.context")
    context._get_global_client = lambda: types.SimpleNamespace(http_config=types.SimpleNamespace(**fake.http))  # type: ignore[attr-defined]
    monkeypatch.setattr(on_ray, "connect", lambda engines, _: fake.calls.append(engines.address))
    monkeypatch.setattr(ray, "get_runtime_context", lambda: types.SimpleNamespace(gcs_address="10.0.0.7:6379"))
    monkeypatch.setattr(ray, "serve", fake, raising=False)
    monkeypatch.setitem(sys.modules, "ray.serve", fake)
    monkeypatch.setitem(sys.modules, "ray.serve.context", context)
    return fake


def test_replicas_are_deployed_on_a_cluster_and_removed(deployments: Deployments) -> None:
    served = Served(["brightness"], threads=3)
    with on_ray.deployed(served, "head:6379", "0.0.0.0", 8700, 2, 0.0) as url:  # noqa: S104
        assert url == "http://10.0.0.7:8700"  # 0.0.0.0 is no address that other machines can ask
        joined, (kind, options), (bound, named) = deployments.calls
    assert joined == "head:6379"
    assert deployments.http == {"host": "0.0.0.0", "port": 8700}  # noqa: S104
    assert kind is on_ray.Replica
    assert options["num_replicas"] == 2
    assert options["ray_actor_options"] == {"num_cpus": 3, "num_gpus": 0.0}
    assert (bound, named["route_prefix"]) == (served, "/")
    assert deployments.calls[3:] == [named["name"]]


@pytest.mark.parametrize(("fault", "told"), [(KeyboardInterrupt(), KeyboardInterrupt), (RuntimeError(), EngineError)])
def test_a_deployment_that_fails_or_is_interrupted_is_removed(
    fault: BaseException, told: type[BaseException], deployments: Deployments
) -> None:
    deployments.fault = fault
    with pytest.raises(told), on_ray.deployed(Served(["brightness"]), "auto", "127.0.0.1", 8700, 1, 0.0):
        pass
    assert deployments.calls[-1] == "tts-bench-rewards"


@pytest.mark.parametrize("there", [{"host": "127.0.0.1", "port": 8701}, {"host": "0.0.0.0", "port": 8700}])  # noqa: S104
def test_a_ray_serve_that_listens_elsewhere_is_told(there: dict[str, Any], deployments: Deployments) -> None:
    deployments.http = there
    words = f"--host 127.0.0.1 --port 8700: .* --host {there['host']} --port {there['port']}; give these, or end it"
    with (
        pytest.raises(SettingError, match=words),
        on_ray.deployed(Served(["brightness"]), "auto", "127.0.0.1", 8700, 1, 0.0),
    ):
        pass
    assert deployments.calls == ["auto"]


def test_rewards_that_are_served_already_are_left_alone(deployments: Deployments) -> None:
    deployments.applications = {"tts-bench-rewards": "RUNNING"}
    with (
        pytest.raises(SettingError, match=r"--address auto: another command serves rewards .* name all of them in"),
        on_ray.deployed(Served(["brightness"]), "auto", "127.0.0.1", 8700, 1, 0.0),
    ):
        pass
    assert deployments.calls == ["auto"]


def test_ray_serve_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.serve", None)
    with (
        pytest.raises(SettingError, match=r"--address: Ray Serve is not installed .* pip install .*serve"),
        on_ray.deployed(Served(["brightness"]), "auto", "127.0.0.1", 8700, 1, 0.0),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_as_ctrl_c_does(
    number: signal.Signals, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end() -> None:
        os.kill(os.getpid(), number)
        time.sleep(20)

    monkeypatch.setattr(on_ray, "stay", end)
    before = signal.signal(number, signal.SIG_DFL)  # nohup may run the tests
    result = bench("serve", "brightness", "--address", "auto")
    after = signal.signal(number, before)
    assert result.err == "stopping: removing them from the cluster; once more to leave at once\n"
    assert (result.code, result.out) == (0, "brightness: {name: remote, url: http://127.0.0.1:8700}\n")
    assert deployments.calls[-1] == "tts-bench-rewards"
    assert after is signal.SIG_DFL
