"""Starting a Ray cluster on this machine, or joining one: in time, or one line that says why not."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import ray

from bench.study.config import Engines
from bench.workers.on_ray.auth import have_token
from bench.workers.on_ray.paths import Job
from tts.errors import EngineError, first_line

OBJECT_STORE_BYTES = 80 * 2**20  # only large messages are there, for a moment; Ray's default is a third of the memory
ANSWER_SECONDS = 30.0  # for a cluster's head to answer at all, if engines.start_seconds is not less
KNOCK_SECONDS = 0.5
LONG_PATH = "AF_UNIX path length"


def connect(engines: Engines, cpus: int) -> None:
    """Start a cluster on this machine (``engines.address = local``) or join one.

    Raises:
        EngineError: it cannot be started, or nothing answers at its address in time.
    """
    ours = signal.getsignal(signal.SIGTERM)
    try:
        if engines.address == "local":
            _start(cpus)
        else:
            _join(engines.address, engines.start_seconds)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)  # Ray takes it over, and would end the process before it has stored all


def _start(cpus: int) -> None:
    _check_docstrings()
    have_token()
    try:
        ray.init(
            address="local",
            num_cpus=max(cpus, os.cpu_count() or 1),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            job_config=Job(),
        )
    except Exception as error:  # Ray's own are of no common kind
        raise EngineError(f"engines: Ray cannot start on this machine ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    """What to do where that is known, else what Ray says and where it says more."""
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if LONG_PATH in str(error):
        return f"its sockets need a shorter folder than {folder}; set RAY_TMPDIR to a short one, e.g. RAY_TMPDIR=/tmp"
    return f"{first_line(error)}; its logs are in {Path(folder) / 'ray' / 'session_latest' / 'logs'}"


def _check_docstrings() -> None:
    """Ray's own processes add to docstrings, and would die one after another for a minute."""
    if sys.flags.optimize < 2:
        return
    try:
        import ray.util.state.common  # noqa: F401
    except TypeError as error:
        raise EngineError(
            f"engines: Ray cannot start without docstrings ({first_line(error)}); unset PYTHONOPTIMIZE, which is "
            f"{sys.flags.optimize}, or set engines.backend=local"
        ) from None


def _join(address: str, seconds: float) -> None:
    """Join a cluster from a thread of its own: within Ray's code a process hears no signal for minutes."""
    deadline = time.monotonic() + seconds
    _knock(address, min(seconds, ANSWER_SECONDS))
    failures: list[Exception] = []

    def join() -> None:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", job_config=Job())
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=join, name="joining", daemon=True)
    thread.start()
    while thread.is_alive() and (left := deadline - time.monotonic()) > 0:
        thread.join(min(KNOCK_SECONDS, left))  # Python can miss a signal that comes just as a long wait begins
    if thread.is_alive():
        raise EngineError(f"engines.address = {address}: no Ray cluster answers within {_set(seconds)}")
    for error in failures:
        raise EngineError(f"engines.address = {address}: the cluster cannot be joined ({first_line(error)})") from None


def _knock(address: str, seconds: float) -> None:
    """Wait until anything listens at ``HOST:PORT``; other addresses, such as ``auto``, are Ray's own affair."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=max(0.1, deadline - time.monotonic())):
                return
        except (OSError, OverflowError) as error:
            if time.monotonic() + KNOCK_SECONDS > deadline:
                raise EngineError(
                    f"engines.address = {address}: nothing answers there ({first_line(error)}); is the cluster's head "
                    "up, and is this its port?"
                ) from None
        time.sleep(KNOCK_SECONDS)


def _set(seconds: float) -> str:
    return f"engines.start_seconds = {seconds:g}"
