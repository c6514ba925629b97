"""Engine actors on Ray; nothing else imports Ray.

Each actor has a device thread of its own that never waits for a message: the driver drops jobs into its queue and
takes outcomes out by a long poll. Messages carry recipes and handles, a few hundred bytes a job.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Read by Ray when it is imported. Whoever joins a cluster without tokens says so with RAY_AUTH_MODE=disabled.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import RayError, RayTaskError

from bench.config import Engines, RunConfig
from bench.pools import Replies, build_engine, describe_device
from bench.study import Study
from tts import errors
from tts.engine import Job, Load, Outcome
from tts.errors import EngineError, TTSError

if TYPE_CHECKING:
    from ray import ObjectRef

POLL_SECONDS = 1.0
OBJECT_STORE_BYTES = 80 * 2**20  # nothing is stored there; Ray's default would take a third of the memory


class EngineActor:
    """An engine with a device thread, behind three calls."""

    def __init__(self, config: RunConfig, digest: str, index: int) -> None:
        self.index, self.study = index, Study(config)
        if self.study.digest() != digest:
            raise EngineError(f"engine {index}: its machine has other weights or another version of this package")
        self.engine = build_engine(self.study)
        self.changed = threading.Condition()
        self.inbox: list[Job] = []
        self.released: list[int] = []
        self.outbox: list[Outcome] = []
        self.failure: BaseException | None = None
        threading.Thread(target=self._work, name="device", daemon=True).start()

    def describe(self) -> str:
        """The device's name; answers only once the model is loaded."""
        return describe_device(self.engine.device)

    def submit(self, jobs: Sequence[Job], released: Sequence[int]) -> None:
        """Queue jobs and forget states."""
        with self.changed:
            self.inbox += jobs
            self.released += released
            self.changed.notify_all()

    def poll(self) -> Replies:
        """Outcomes since the last poll; waits up to a second for some."""
        with self.changed:
            self.changed.wait_for(lambda: self.outbox or self.failure, timeout=POLL_SECONDS)
            if self.failure is not None:
                raise (
                    self.failure
                    if isinstance(self.failure, TTSError)
                    else EngineError(f"engine {self.index} failed: {self.failure!r}")
                )
            outcomes, self.outbox = self.outbox, []
        load = self.engine.load
        return Replies(self.index, outcomes, Load(load.batches, load.rows, load.seconds))

    def _work(self) -> None:
        """The device thread: forward passes for as long as there is anything to do."""
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.inbox or self.released or self.engine.busy)
                    self.engine.submit(self.inbox)
                    self.engine.release(self.released)
                    self.inbox, self.released = [], []
                outcomes = self.engine.advance() if self.engine.busy else []
                if outcomes:
                    with self.changed:
                        self.outbox += outcomes
                        self.changed.notify_all()
        except BaseException as error:  # the next poll tells it
            with self.changed:
                self.failure = error
                self.changed.notify_all()


class RayPool:
    """Engine actors, each with a long poll under way."""

    def __init__(self, study: Study) -> None:
        self.study, self.engines = study, study.config.engines.count
        try:
            self._start()
            self.names: list[str] = ray.get([actor.describe.remote() for actor in self.actors])
        except TTSError:
            self.close()
            raise
        except RayTaskError as error:
            self.close()
            raise _cause(error) from None
        except (RayError, OSError, ValueError, RuntimeError) as error:
            self.close()
            raise _ours(error) or EngineError(f"engines: Ray could not start them ({_cause_line(error)})") from None
        self.polls: dict[ObjectRef[Any], int] = {actor.poll.remote(): k for k, actor in enumerate(self.actors)}

    def _start(self) -> None:
        engines = self.study.config.engines
        connect(engines.address, engines.count * engines.threads)
        check_resources(engines)
        gpus = 1 if engines.device == "cuda" else 0
        variables = {name: str(engines.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        variables["PYTHONPATH"] = os.pathsep.join(own_folders())
        digest = self.study.digest()
        remote = ray.remote(EngineActor).options(
            num_cpus=0 if gpus else engines.threads,
            num_gpus=gpus,
            max_concurrency=4,
            max_restarts=0,
            runtime_env={"env_vars": variables},
        )
        self.actors = [remote.remote(self.study.config, digest, index) for index in range(self.engines)]

    def submit(self, engine: int, jobs: Sequence[Job], released: Iterable[int]) -> None:
        """See :class:`bench.pools.Pool`."""
        self.actors[engine].submit.remote(list(jobs), list(released))

    def wait(self) -> list[Replies]:
        """See :class:`bench.pools.Pool`."""
        ready, _ = ray.wait(list(self.polls), num_returns=1, timeout=None, fetch_local=False)
        more, _ = ray.wait(list(self.polls), num_returns=len(self.polls), timeout=0, fetch_local=False)
        return [self._collect(poll) for poll in {**dict.fromkeys(ready), **dict.fromkeys(more)}]

    def _collect(self, poll: ObjectRef[Any]) -> Replies:
        engine = self.polls.pop(poll)
        try:
            replies: Replies = ray.get(poll)
        except RayTaskError as error:
            raise _cause(error) from None
        except RayError as error:
            raise EngineError(f"engine {engine} died ({_first_line(error)}); run the same command to resume") from None
        self.polls[self.actors[engine].poll.remote()] = engine
        return replies

    def describe(self) -> list[str]:
        """See :class:`bench.pools.Pool`."""
        return self.names

    def close(self) -> None:
        """See :class:`bench.pools.Pool`."""
        ray.shutdown()


def own_folders() -> list[str]:
    """Where this process finds modules that are not installed, such as a user's own reward in the working folder."""
    installed = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    folders = dict.fromkeys(Path(folder).absolute() for folder in sys.path if Path(folder).is_dir())
    return [str(folder) for folder in folders if not any(folder.is_relative_to(where) for where in installed)]


def connect(address: str, cpus: int) -> None:
    """Start a cluster on this machine (``"local"``) or join one."""
    if address == "local":
        ray.init(
            address="local",
            num_cpus=max(cpus, os.cpu_count() or 1),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    else:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")


def check_resources(engines: Engines) -> None:
    """Refuse engines that the cluster has no place for; Ray would wait for it for ever.

    Raises:
        EngineError: there are too few GPUs or CPUs.
    """
    gpu = engines.device == "cuda"
    kind, each = ("GPU", 1) if gpu else ("CPU", engines.threads)
    nodes = [node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]]
    places = sum(int(found // each) for found in nodes)
    if places < engines.count:
        remedy = "lower engines.count or set engines.device=cpu" if gpu else "lower engines.count or engines.threads"
        raise EngineError(
            f"engines.count = {engines.count}: each needs {each} {kind} of one machine, and the cluster has place for "
            f"{places}; {remedy}"
        )


def _cause(error: RayTaskError) -> TTSError:
    """Our own error if an engine raised one, else one that says where it came from."""
    cause = error.cause
    if isinstance(cause, TTSError):
        return cause
    return EngineError(f"an engine failed: {_first_line(cause or error)}")


def _ours(error: BaseException) -> TTSError | None:
    """Our own error, where an actor's constructor raised one: Ray hands on only its text."""
    found = re.search(r"tts\.errors\.(\w+): (.+)", str(error))
    if found is None:
        return None
    kind: type[TTSError] = getattr(errors, found[1], EngineError)
    return kind(found[2])


def _cause_line(error: BaseException) -> str:
    """The last line that says anything: that of the cause, where there is a traceback."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
