"""``tts-bench serve``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.options import Device, err, out
from tts.errors import SettingError

if TYPE_CHECKING:
    from bench.workers.serving.served import Served


def serve(
    rewards: Annotated[list[str], typer.Argument(metavar="REWARD", help="Names, or '{name: clip, setting: value}'.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default accepts this machine only, 0.0.0.0 all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8700,
    device: Annotated[Device, typer.Option(help="Where rewards compute.")] = Device.cpu,
    batch: Annotated[int, typer.Option(min=1, help="Images per batch of a reward on a device.")] = 16,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the rewards.")] = 1,
    key: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", help="Environment variable with the token that requests must contain."),
    ] = None,
    megabytes: Annotated[int, typer.Option(min=1, help="Most megabytes of a request.")] = 64,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to serve on, by Ray Serve; default: this process.")
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="With --address: number of copies.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="With --address: GPUs of each replica, for --device cuda.")] = 0.0,
) -> None:
    """Serve rewards to other programs and environments, for the reward remote, until interrupted."""
    from bench.workers.serving.served import Served, entries, token_in

    _check_cluster(address, port, device, replicas, gpus)
    on = device.here() if address is None else device.value  # a cluster's GPUs are elsewhere
    served = Served(entries(rewards), on, batch, threads, token_in(key), megabytes << 20)
    if host not in ("127.0.0.1", "::1", "localhost") and key is None:
        warning = f"--host {host}: whoever reaches it may ask; set --key, and a firewall"
        err.print(warning, style="yellow", highlight=False, markup=False, soft_wrap=True)
    if address is None:
        _here(served, host, port)
    else:
        _on_ray(served, address, host, port, replicas, gpus)


def _check_cluster(address: str | None, port: int, device: Device, replicas: int, gpus: float) -> None:
    if address is None and replicas != 1:
        raise SettingError(f"--replicas {replicas}: only a Ray cluster has copies; set --address, or leave it out")
    if address is None and gpus:
        raise SettingError(f"--gpus {gpus:g}: only a Ray cluster reserves GPUs; set --address, or leave it out")
    if address is not None and not port:
        raise SettingError("--port 0: clients of a Ray cluster need to know its port; set one, or leave --address out")
    if address is not None and device is Device.cuda and not gpus:
        raise SettingError("--device cuda: on a Ray cluster GPUs must be reserved; set --gpus to 1, or to a share")
    if gpus and device is Device.cpu:
        raise SettingError(f"--gpus {gpus:g}: with --device cpu they would be idle; set --device cuda, or leave it out")


def _here(served: Served, host: str, port: int) -> None:
    from contextlib import closing, suppress

    from bench.workers.serving.http import Server
    from bench.workers.serving.service import RewardService

    with closing(RewardService(served)) as service, Server(service, host, port, served.most_bytes) as server:
        _say(served, server.address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _on_ray(served: Served, address: str, host: str, port: int, replicas: int, gpus: float) -> None:
    from contextlib import suppress

    from bench.run.signals import gently
    from bench.workers.on_ray.serving import deployed, stay

    with (
        gently(err, "removing them from the cluster"),
        suppress(KeyboardInterrupt),
        deployed(served, address, host, port, replicas, gpus) as url,
    ):
        _say(served, url)
        stay()


def _say(served: Served, address: str) -> None:
    """Tell the addresses that clients set."""
    names = list(served.settings())
    for name in names:
        where = address if len(names) == 1 else f"{address}/{name}"
        out.print(f"{name}: {{name: remote, url: {where}}}", highlight=False, markup=False, soft_wrap=True)
