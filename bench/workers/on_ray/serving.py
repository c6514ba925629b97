"""A server of rewards on Ray Serve: replicas of one service behind a cluster's HTTP proxy."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from bench.study.config import Engines
from bench.workers.on_ray.connecting import connect
from bench.workers.on_ray.paths import SearchPath
from bench.workers.serving.served import Served
from bench.workers.serving.service import RewardService
from tts.errors import EngineError, SettingError, first_line

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
        if not length.isdecimal() or int(length) > self._most_bytes:
            status, words = (413, "too long") if length.isdecimal() else (411, "of unknown length")
            content = json.dumps({"error": f"the request is {words}; {self._most_bytes} bytes are the most"}).encode()
        else:
            body, bearer = await request.body(), request.headers.get("authorization")
            path = request.url.path
            status, content = await asyncio.to_thread(self._service.answer, request.method, path, body, bearer)
        return Response(content, status_code=status, media_type="application/json")


def deploy(served: Served, address: str, host: str, port: int, replicas: int, gpus: float) -> str:
    """Deploy on a cluster; the application stays there until it is deleted.

    Args:
        address: the cluster's, as ``engines.address``.
        host, port: where its proxies listen.
        replicas: how many.
        gpus: of each.

    Returns:
        What clients set as ``url``, on the machines that have a proxy.

    Raises:
        SettingError: Ray Serve is not installed.
        EngineError: the cluster does not answer, or the deployment failed.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise SettingError(
            f"--address: Ray Serve is not installed ({first_line(error)}); pip install 'diffusion-tts-bench[serve]', "
            "or leave --address out"
        ) from None
    connect(Engines(address=address), 0)
    options = {"num_cpus": 0 if gpus else served.threads, "num_gpus": gpus}
    try:
        serve.start(http_options={"host": host, "port": port})
        deployment = serve.deployment(Replica, name="rewards", num_replicas=replicas, ray_actor_options=options)
        serve.run(deployment.bind(served, SearchPath.own()), name="tts-bench-rewards", route_prefix="/")
    except Exception as error:  # Ray Serve's own are of no common kind
        raise EngineError(f"--address {address}: Ray Serve could not deploy ({first_line(error)})") from None
    return f"http://{host}:{port}"


def stay() -> None:
    """Wait until the process is interrupted; then delete the application."""
    from ray import serve

    try:
        while True:
            time.sleep(LOOK_SECONDS)
    finally:
        serve.delete("tts-bench-rewards")
