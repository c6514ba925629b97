"""Workers as actors on Ray; nothing else imports Ray.

Each actor has a device thread of its own that never waits for a message: the driver drops work into its queue and takes
outcomes out by a long poll. An actor that dies, hangs or falls silent is replaced by a new one, and whatever the old
one may still say is not heard any more: the driver has let go of its handle.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Read by Ray when it is imported. Whoever joins a cluster without tokens says so with RAY_AUTH_MODE=disabled.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.metrics import Counter, Gauge
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.backends import make_worker
from bench.config import Engines, RunConfig
from bench.pools import Loss, Replies, collect, describe_device
from bench.study import Study
from tts import errors, staging
from tts.errors import DeviceMemoryError, EngineError, TTSError
from tts.jobs import Job

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

POLL_SECONDS = 1.0
HOST_POLL_SECONDS = 2.0  # a host's results can wait; each message costs the driver a millisecond
STARVING_SECONDS = 0.2  # a host that could use more trials says so this often
ROWS_AT_ONCE = 256  # results of a host in one message
LOOK_SECONDS = 0.5  # how often the driver looks for engines that are silent
START_ATTEMPTS = 3  # of one engine, before it is given up
SLOW_PASSES = 20.0  # an engine hangs, if it takes so many times longer than ever before
OBJECT_STORE_BYTES = 80 * 2**20  # nothing is stored there; Ray's default would take a third of the memory


@dataclass(frozen=True)
class Whereabouts:
    """What an actor says once it has loaded its model: its device, machine and process."""

    device: str
    node: str
    host: str
    pid: int


class WorkerActor:
    """An engine or a host with a device thread, behind three calls."""

    def __init__(self, config: RunConfig, digest: str, index: int) -> None:
        self.index, self.study = index, Study(config)
        if self.study.digest() != digest:
            raise EngineError(f"engine {index}: its machine has other weights or another version of this package")
        self.worker = make_worker(self.study)
        self.changed = threading.Condition()
        self.inbox: list[Any] = []
        self.released: list[int] = []
        self.outbox: list[Any] = []
        self.failure: BaseException | None = None
        self.moved, self.polled, self.slowest = time.monotonic(), 0.0, 0.0
        self.meters = Meters(index)
        threading.Thread(target=self._work, name="device", daemon=True).start()

    def describe(self) -> Whereabouts:
        """Answers only once the model is loaded."""
        node = ray.get_runtime_context().get_node_id()
        return Whereabouts(describe_device(self.worker.device), node, os.uname().nodename, os.getpid())

    def submit(self, jobs: Sequence[Any], released: Sequence[int]) -> None:
        """Queue work and forget states."""
        with self.changed:
            if not self._has_work():
                self.moved = time.monotonic()
            self.inbox += jobs
            self.released += released
            self.changed.notify_all()

    def poll(self) -> Replies:
        """Outcomes since the last poll; waits a second or two for some."""
        with self.changed:
            self.changed.wait_for(self._urgent, timeout=HOST_POLL_SECONDS if self.study.beside else POLL_SECONDS)
            if self.failure is not None:
                raise self._told(self.failure)
            self._refuse_to_hang()
            outcomes, self.outbox = self.outbox, []
            self.polled = time.monotonic()
        replies = collect(self.index, self.worker, outcomes)
        self.meters.show(replies)
        return replies

    def _urgent(self) -> bool:
        """Whether the driver should hear at once: an engine's every outcome, a host's only when it matters."""
        if self.failure is not None:
            return True
        if not self.study.beside:
            return bool(self.outbox)
        starving = getattr(self.worker, "starving", False) and time.monotonic() - self.polled > STARVING_SECONDS
        return starving or len(self.outbox) >= ROWS_AT_ONCE or (bool(self.outbox) and not self._has_work())

    def _has_work(self) -> bool:
        return bool(self.inbox or self.worker.busy)

    def _refuse_to_hang(self) -> None:
        still = time.monotonic() - self.moved
        patience = max(self.study.config.engines.patience, SLOW_PASSES * self.slowest)
        if self._has_work() and still > patience:
            raise EngineError(f"its device has not moved for {still:.0f} s (engines.patience = {patience:.0f})")

    def _told(self, failure: BaseException) -> TTSError:
        if isinstance(failure, TTSError):
            return failure
        return EngineError(f"engine {self.index} failed: {type(failure).__name__}: {failure}")

    def _work(self) -> None:
        """The device thread: forward passes for as long as there is anything to do."""
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self.inbox or self.released or self.worker.busy)
                    self.worker.submit(self.inbox)
                    self.worker.release(self.released)
                    self.inbox, self.released = [], []
                start = time.monotonic()
                outcomes = self.worker.advance() if self.worker.busy else []
                self.moved = time.monotonic()
                self.slowest = max(self.slowest, self.moved - start)
                with self.changed:
                    self.outbox += outcomes
                    if self._urgent():
                        self.changed.notify_all()
        except BaseException as error:  # the next poll tells it
            with self.changed:
                self.failure = error
                self.changed.notify_all()


class Meters:
    """An engine's counters for whoever watches the cluster (Prometheus, by Ray)."""

    def __init__(self, index: int) -> None:
        tags = {"engine": str(index)}
        self._rows = Counter("tts_rows", "Denoiser rows computed", ("engine",))
        self._batches = Counter("tts_batches", "Forward passes", ("engine",))
        self._busy = Gauge("tts_busy", "Share of the time inside forward passes since the last poll", ("engine",))
        for meter in (self._rows, self._batches, self._busy):
            meter.set_default_tags(tags)
        self._last, self._since = Replies(index).load, time.monotonic()

    def show(self, replies: Replies) -> None:
        """Add what was done since the last time."""
        load, now = replies.load, time.monotonic()
        if load.batches > self._last.batches:
            self._rows.inc(load.rows - self._last.rows)
            self._batches.inc(load.batches - self._last.batches)
        self._busy.set(min(1.0, (load.seconds - self._last.seconds) / max(1e-6, now - self._since)))
        self._last, self._since = load, now


@dataclass
class Lane:
    """The place of one engine: its present actor, the answer that is waited for and since when, its failures to start.

    ``place`` is None until the actor has loaded its model.
    """

    actor: ActorHandle[Any]
    pending: ObjectRef[Any]
    since: float
    place: Whereabouts | None = None
    failures: int = 0


class RayPool:
    """Actors, each with a long poll under way, each replaced when it is lost."""

    def __init__(self, study: Study) -> None:
        self.study, self.engines = study, study.config.engines.count
        self._lanes: dict[int, Lane] = {}
        self._again: dict[int, tuple[float, int]] = {}  # engines to start again: when, and failures so far
        self._finished_any = False
        try:
            self._connect()
            for engine in range(self.engines):
                self._spawn(engine)
            self._wait_for_first()
        except TTSError:
            self.close()
            raise
        except (RayError, OSError, ValueError, RuntimeError) as error:
            self.close()
            raise _ours(error) or EngineError(f"engines: Ray could not start them ({_cause_line(error)})") from None
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        engines = self.study.config.engines
        connect(engines.address, engines.count * engines.threads)
        self._expected = check_resources(engines)
        gpus = engines.gpus if engines.device == "cuda" and engines.simulate is None else 0
        cpus = 0 if gpus or engines.simulate is not None else engines.threads
        variables = {name: str(engines.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        variables["PYTHONPATH"] = os.pathsep.join(own_folders())
        if engines.stage is not None:
            variables[staging.VARIABLE] = engines.stage
        self._digest = self.study.digest()
        self._remote = ray.remote(WorkerActor).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_concurrency=4,
            max_restarts=0,
            runtime_env={"env_vars": variables},
        )

    def _spawn(self, engine: int, failures: int = 0) -> None:
        actor = self._remote.remote(self.study.config, self._digest, engine)
        self._lanes[engine] = Lane(actor, actor.describe.remote(), time.monotonic(), failures=failures)

    def _wait_for_first(self) -> None:
        """Until the engines that the cluster has place for are there.

        Raises:
            TTSError: one cannot be started, or none is there in time.
        """
        deadline = time.monotonic() + self.study.config.engines.start_seconds
        while sum(lane.place is not None for lane in self._lanes.values()) < max(1, self._expected):
            for engine in self._ready(timeout=1.0):
                lane = self._lanes[engine]
                if lane.place is None:
                    self._arrived(lane, ray.get(lane.pending))
            if time.monotonic() > deadline:
                raise EngineError(
                    f"no engine for engines.start_seconds = {self.study.config.engines.start_seconds:g}: the cluster "
                    "has no place for one"
                )

    def _arrived(self, lane: Lane, place: Whereabouts) -> None:
        lane.place, lane.failures = place, 0
        self._poll(lane)

    def _poll(self, lane: Lane) -> None:
        lane.pending, lane.since = lane.actor.poll.remote(), time.monotonic()

    def submit(self, engine: int, jobs: Sequence[Any], released: Iterable[int]) -> None:
        """See :class:`bench.pools.Pool`."""
        if engine in self._lanes:
            self._lanes[engine].actor.submit.remote([_short(job) for job in jobs], list(released))

    def wait(self) -> list[Replies]:
        """See :class:`bench.pools.Pool`."""
        self._start_again()
        found = [self._collect(engine) for engine in self._ready(LOOK_SECONDS)]
        return [*(replies for replies in found if replies is not None), *self._silent()]

    def _ready(self, timeout: float) -> list[int]:
        """Engines whose answer is there; waits for one."""
        pending = {lane.pending: engine for engine, lane in self._lanes.items()}
        if not pending:
            time.sleep(timeout)
            return []
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=timeout, fetch_local=False)
        if ready:
            ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0, fetch_local=False)
        return [pending[answer] for answer in ready]

    def _collect(self, engine: int) -> Replies | None:
        lane = self._lanes[engine]
        try:
            answer = ray.get(lane.pending)
        except RayTaskError as error:
            return self._failed(engine, _cause(error))
        except RayActorError as error:
            return self._lose(engine, Loss(_first_line(error), innocent=_is_of_the_machine(error)))
        except RayError as error:
            return self._lose(engine, Loss(_first_line(error)))
        if lane.place is None:
            self._arrived(lane, answer)
            return Replies(engine, device=answer.device, where=answer.host)
        self._poll(lane)
        replies: Replies = answer
        self._finished_any |= bool(replies.outcomes)
        return replies

    def _failed(self, engine: int, error: TTSError) -> Replies | None:
        """An error that an actor told of itself.

        Raises:
            DeviceMemoryError: and nothing has been finished so far; another batch may do.
        """
        if isinstance(error, DeviceMemoryError) and not self._finished_any:
            raise error
        return self._lose(engine, Loss(str(error)))

    def _silent(self) -> list[Replies]:
        """Give up engines that do not answer their poll."""
        patience = self.study.config.engines.patience + HOST_POLL_SECONDS
        late = [
            engine
            for engine, lane in self._lanes.items()
            if lane.place is not None and time.monotonic() - lane.since > patience
        ]
        lost = [self._lose(engine, Loss(f"it has not answered for {patience:.0f} s")) for engine in late]
        return [replies for replies in lost if replies is not None]

    def _lose(self, engine: int, loss: Loss) -> Replies | None:
        """Let an engine go, and start another in its place; None if it was not there yet."""
        lane = self._lanes.pop(engine)
        _kill(lane)
        if lane.place is not None:
            self._again[engine] = (0.0, 0)
            return Replies(engine, lost=loss)
        if lane.failures + 1 < START_ATTEMPTS:
            self._again[engine] = (time.monotonic() + 2.0**lane.failures, lane.failures + 1)
        elif not self._lanes and not self._again:
            raise EngineError(f"no engine can be started: {loss.reason}; run the same command to resume")
        return None

    def _start_again(self) -> None:
        for engine, (due, failures) in list(self._again.items()):
            if time.monotonic() >= due:
                del self._again[engine]
                self._spawn(engine, failures)

    def describe(self) -> list[str | None]:
        """See :class:`bench.pools.Pool`."""
        lanes = [self._lanes.get(engine) for engine in range(self.engines)]
        return [lane.place.device if lane is not None and lane.place is not None else None for lane in lanes]

    def close(self) -> None:
        """See :class:`bench.pools.Pool`."""
        ray.shutdown()


def _short(job: Any) -> Any:
    """A job as its engine needs it: recipes of what is past stay here."""
    return Job(job.ticket, job.segment.without_history()) if isinstance(job, Job) else job


def _kill(lane: Lane) -> None:
    """End an actor, and its process, should that not listen: a device that hangs keeps its memory until it is gone."""
    ray.kill(lane.actor)
    if lane.place is not None:
        strategy = NodeAffinitySchedulingStrategy(lane.place.node, soft=False)
        end = ray.remote(_end_process).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy)
        end.remote(lane.place.pid)


def _end_process(pid: int) -> None:
    """On the actor's machine: end its process, if it still is one of Ray's workers."""
    try:
        if b"WorkerActor" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    except OSError:  # gone already
        return


def _is_of_the_machine(error: RayActorError) -> bool:
    """Whether an actor died with its node, which no trial is to blame for."""
    return bool(getattr(error, "preempted", False)) or "node" in _reason(error).lower()


def _reason(error: RayActorError) -> str:
    """What Ray says of an actor's death."""
    found = re.search(r"died because (.*)", str(error))
    return found[1] if found else ""


def own_folders() -> list[str]:
    """Where this process finds modules that are not installed, such as a user's own reward in the working folder."""
    installed = {sys.prefix, sys.base_prefix, sys.exec_prefix}
    folders = dict.fromkeys(Path(folder).absolute() for folder in sys.path if Path(folder).is_dir())
    return [str(folder) for folder in folders if not any(folder.is_relative_to(where) for where in installed)]


def connect(address: str, cpus: int) -> None:
    """Start a cluster on this machine (``"local"``) or join one."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        _connect(address, cpus)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)  # Ray takes it over, and would end the process before it has stored all


def _connect(address: str, cpus: int) -> None:
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


def check_resources(engines: Engines) -> int:
    """How many engines the cluster has place for now.

    Raises:
        EngineError: a cluster of this machine alone has not place for all; Ray would wait for it for ever.
    """
    if engines.simulate is not None:
        return engines.count
    gpu = engines.device == "cuda"
    kind, each = ("GPU", engines.gpus) if gpu else ("CPU", engines.threads)
    nodes = [node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]]
    places = sum(int(found / each + 1e-6) for found in nodes)
    if places < engines.count and engines.address == "local":
        remedy = "lower engines.count or set engines.device=cpu" if gpu else "lower engines.count or engines.threads"
        raise EngineError(
            f"engines.count = {engines.count}: each needs {each:g} {kind} of one machine, and the cluster has place "
            f"for {places}; {remedy}"
        )
    return min(places, engines.count)


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
