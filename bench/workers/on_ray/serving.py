"""A server of rewards on Ray Serve: replicas of one service behind a cluster's HTTP proxy."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.study.config import Engines
from bench.workers.on_ray.connecting import connect
from bench.workers.on_ray.paths import SearchPath
from bench.workers.serving.http import EVERY
from bench.workers.serving.served import Served
from bench.workers.serving.service import RewardService
from tts.errors import EngineError, SettingError, first_line

NAME = "tts-bench-rewards"
LOOK_SECONDS = 5.0


class Replica:
    """One replica: answers as the plain server does. Ray Serve calls it with requests of Starlette.

    Args:
        served: what.
        path: where its modules are looked for.
    """

    def __init__(self, served: Served, path: SearchPath) -> None:
        path.append()
        self._service, self._most_bytes = RewardService(served), served.most_bytes

    async def __call__(self, request: Any) -> Any:
        """The answer to a request."""
        from starlette.responses import Response

        length = request.headers.get("content-length", "0" if request.method == "GET" else "")
        bearer = request.headers.get("authorization")
        if (refused := self._service.refusal(bearer)) is not None:
            status, content = refused
        elif not length.isdecimal() or int(length) > self._most_bytes:
            status, words = (413, "too long") if length.isdecimal() else (411, "of unknown length")
            content = json.dumps({"error": f"the request is {words}; {self._most_bytes} bytes are the most"}).encode()
        else:
            body, path = await request.body(), request.url.path
            status, content = await asyncio.to_thread(self._service.answer, request.method, path, body, bearer)
        return Response(content, status_code=status, media_type="application/json")


@contextmanager
def deployed(served: Served, address: str, host: str, port: int, replicas: int, gpus: float) -> Iterator[str]:
    """Serve on a cluster within this context, whose value is what clients set as ``url``; it ends with the application.

    Args:
        address: the cluster's, as ``engines.address``.
        host, port: where its proxies listen; those of the head and of every machine that has a replica.
        replicas: how many.
        gpus: of each.

    Raises:
        SettingError: Ray Serve is not installed, listens elsewhere already, or serves rewards already.
        EngineError: the cluster does not answer, the deployment failed, or it could not be removed.
    """
    serve = _library()
    connect(Engines(address=address), 0)
    with _told(address, "start"):
        serve.start(http_options={"host": host, "port": port})
        found, applications = _listens(), serve.status().applications
    if found != (host, port):
        raise SettingError(
            f"--host {host} --port {port}: Ray Serve runs on this cluster already, with --host {found[0]} --port "
            f"{found[1]}; give these, or end it for all its applications (serve shutdown)"
        )
    if NAME in applications:  # a second one would take its place, and remove it in the end
        raise SettingError(
            f"--address {address}: another command serves rewards on this cluster (application {NAME}); name all "
            "of them in one command, or end that one first; if it was killed, serve shutdown removes what it left"
        )
    try:
        with _told(address, "deploy"):
            options = {"num_cpus": 0 if gpus else served.threads, "num_gpus": gpus}
            deployment = serve.deployment(Replica, name="rewards", num_replicas=replicas, ray_actor_options=options)
            serve.run(deployment.bind(served, SearchPath.own()), name=NAME, route_prefix="/")
        yield f"http://{_head() if host in EVERY else host}:{port}"
    finally:
        with _told(address, f"remove its application {NAME}"):
            serve.delete(NAME)


def _library() -> Any:
    try:
        from ray import serve
    except ImportError as error:
        raise SettingError(
            f"--address: Ray Serve is not installed ({first_line(error)}); pip install 'diffusion-tts-bench[serve]', "
            "or leave --address out"
        ) from None
    return serve


@contextmanager
def _told(address: str, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Ray Serve's own are of no common kind
        raise EngineError(f"--address {address}: Ray Serve could not {what} ({first_line(error)})") from None


def _listens() -> tuple[str, int]:
    """Where the proxies listen: Ray Serve outlives its applications, and does not take other options then."""
    from ray.serve.context import _get_global_client

    options = _get_global_client().http_config
    return options.host, options.port


def _head() -> str:
    """The head's address, as other machines know it."""
    import ray

    return str(ray.get_runtime_context().gcs_address).rpartition(":")[0]


def stay() -> None:
    """Wait until the process is interrupted."""
    while True:
        time.sleep(LOOK_SECONDS)
