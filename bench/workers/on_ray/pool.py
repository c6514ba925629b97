"""A pool of actors on Ray.

An actor that dies, hangs or falls silent is replaced by a new one, and whatever the old one may still say is not heard
any more: the driver has let go of its handle.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.study.study import Study
from bench.workers.numerics import environment, threads_of
from bench.workers.on_ray.actors import HOST_POLL_SECONDS, Whereabouts, WorkerActor
from bench.workers.on_ray.cluster import check_resources, last_line, ours_in, told_by
from bench.workers.on_ray.connecting import connect
from bench.workers.on_ray.paths import SearchPath
from bench.workers.on_ray.scorers import start_scorers
from bench.workers.pool import WorkerFailure, WorkerReport
from tts.engine.requests import EvalRequest
from tts.errors import DeviceMemoryError, EngineError, TTSError, first_line
from tts.files import staging

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

LOOK_SECONDS = 0.5  # how often the driver looks for engines that are silent
START_ATTEMPTS = 3  # of one engine, before it is given up
OTHERS_SECONDS = 10.0  # least time that other engines get once one is there; later ones join the run


@dataclass
class ActorSlot:
    """The place of one engine: its present actor, the answer that is waited for and since when, its failures to start.

    ``place`` is None until the actor has loaded its model; ``pending`` is None between a report and the next message.
    """

    actor: ActorHandle[Any]
    pending: ObjectRef[Any] | None
    since: float
    place: Whereabouts | None = None
    failures: int = 0


class RayPool:
    """Actors, each with a long poll under way while the driver waits, each replaced when it is lost."""

    def __init__(self, study: Study) -> None:
        self.study, self.engines = study, study.config.engines.count
        self._slots: dict[int, ActorSlot] = {}
        self._again: dict[int, tuple[float, int]] = {}  # engines to start again: when, and failures so far
        self._finished_any = False
        self._news: list[WorkerReport] = []  # of engines that are there before anyone waits for reports
        self._path = SearchPath.own()
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
            raise ours_in(error) or EngineError(f"engines: Ray could not start them ({last_line(error)})") from None
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        engines = self.study.config.engines
        scorers = self.study.config.scorers
        connect(engines, (engines.count + (0 if scorers is None else scorers.count)) * engines.threads)
        self._expected = check_resources(engines)
        gpus = engines.gpu_share if engines.device == "cuda" and engines.simulate is None else 0
        cpus = 0 if gpus or engines.simulate is not None else engines.threads
        stage = {} if engines.stage is None else {staging.VARIABLE: engines.stage}
        self._digest = self.study.digest()
        self._remote = ray.remote(WorkerActor).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_concurrency=4,
            max_restarts=0,
            runtime_env={"env_vars": environment(engines) | stage},
        )
        self._scorers = start_scorers(self.study, self._digest, self._path, threads_of(engines) | stage)

    def _spawn(self, engine: int, failures: int = 0) -> None:
        actor = self._remote.remote(self.study.config, self._digest, engine, self._path, self._scorers)
        self._slots[engine] = ActorSlot(actor, actor.describe.remote(), time.monotonic(), failures=failures)

    def _wait_for_first(self) -> None:
        """Wait until the engines that the cluster has place for are there, or one and as long again for the others.

        What a cluster has may be in use, by this run's scorers or by others, so that not all may come.

        Raises:
            TTSError: one cannot be started, or none is there in time.
        """
        begin = time.monotonic()
        seconds = self.study.config.engines.start_seconds
        deadline = begin + seconds
        awaited = dict(self._slots)
        while len(self._slots) - len(awaited) < max(1, self._expected) and time.monotonic() <= deadline:
            for engine in self._ready(min(1.0, seconds), awaited):
                slot = awaited.pop(engine)
                self._news.append(self._arrived(engine, slot, ray.get(slot.pending)))
                first = time.monotonic() - begin
                deadline = min(deadline, begin + first + max(first, OTHERS_SECONDS))
        if not self._news:
            raise EngineError(f"no engine for engines.start_seconds = {seconds:g}: the cluster has no place for one")

    def _arrived(self, engine: int, slot: ActorSlot, place: Whereabouts) -> WorkerReport:
        slot.place, slot.failures, slot.pending = place, 0, None
        return WorkerReport(engine, device=place.device, where=place.host)

    def submit(self, engine: int, jobs: Sequence[Any], released: Iterable[int]) -> None:
        """Send jobs to the engine's actor; those for an engine that is gone are dropped, as its loss is reported.

        The first ones after a report are sent with the next poll: a message costs a millisecond on either side.
        """
        slot = self._slots.get(engine)
        if slot is None:
            return
        message = [_short(job) for job in jobs], list(released)
        if slot.pending is None:
            slot.pending, slot.since = slot.actor.exchange.remote(*message), time.monotonic()
        else:
            slot.actor.submit.remote(*message)

    def wait(self) -> list[WorkerReport]:
        """Collect the reports of actors that have answered, and of those that have been silent too long."""
        if self._news:
            news, self._news = self._news, []
            return news
        self._start_again()
        for slot in self._slots.values():
            if slot.pending is None:
                slot.pending, slot.since = slot.actor.poll.remote(), time.monotonic()
        found = [self._collect(engine) for engine in self._ready(LOOK_SECONDS, self._slots)]
        return [*(report for report in found if report is not None), *self._silent()]

    def _ready(self, timeout: float, among: Mapping[int, ActorSlot]) -> list[int]:
        """Engines whose answer is there; waits for one."""
        pending = {slot.pending: engine for engine, slot in among.items() if slot.pending is not None}
        if not pending:
            time.sleep(timeout)
            return []
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=timeout, fetch_local=False)
        if ready:
            ready, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0, fetch_local=False)
        return [pending[answer] for answer in ready]

    def _collect(self, engine: int) -> WorkerReport | None:
        slot = self._slots[engine]
        try:
            answer = ray.get(slot.pending)
        except RayTaskError as error:
            return self._failed(engine, told_by(error))
        except RayActorError as error:
            return self._lose(engine, WorkerFailure(first_line(error), innocent=_is_of_the_machine(error)))
        except RayError as error:
            return self._lose(engine, WorkerFailure(first_line(error)))
        if slot.place is None:
            return self._arrived(engine, slot, answer)
        slot.pending = None
        report: WorkerReport = answer
        self._finished_any |= bool(report.outcomes)
        return report

    def _failed(self, engine: int, error: TTSError) -> WorkerReport | None:
        """An error that an actor told of itself.

        Raises:
            DeviceMemoryError: and nothing has been finished so far; another batch may do.
        """
        if isinstance(error, DeviceMemoryError) and not self._finished_any:
            raise error
        return self._lose(engine, WorkerFailure(str(error)))

    def _silent(self) -> list[WorkerReport]:
        """Give up engines that do not answer their poll."""
        patience = self.study.config.engines.patience + HOST_POLL_SECONDS
        late = [
            engine
            for engine, slot in self._slots.items()
            if slot.place is not None and slot.pending is not None and time.monotonic() - slot.since > patience
        ]
        lost = [self._lose(engine, WorkerFailure(f"it has not answered for {patience:.0f} s")) for engine in late]
        return [report for report in lost if report is not None]

    def _lose(self, engine: int, loss: WorkerFailure) -> WorkerReport | None:
        """Let an engine go, and start another in its place; None if it was not there yet, but may still come."""
        slot = self._slots.pop(engine)
        _kill(slot)
        if slot.place is not None:
            self._again[engine] = (0.0, 0)
            return WorkerReport(engine, lost=loss)
        if slot.failures + 1 < START_ATTEMPTS:
            self._again[engine] = (time.monotonic() + 2.0**slot.failures, slot.failures + 1)
            return None
        if not self._slots and not self._again:
            raise EngineError(f"no engine can be started: {loss.reason}; run the same command to resume")
        return WorkerReport(
            engine, lost=WorkerFailure(f"given up, for it could not be started {START_ATTEMPTS} times: {loss.reason}")
        )

    def _start_again(self) -> None:
        for engine, (due, failures) in list(self._again.items()):
            if time.monotonic() >= due:
                del self._again[engine]
                self._spawn(engine, failures)

    def describe(self) -> list[str | None]:
        slots = [self._slots.get(engine) for engine in range(self.engines)]
        return [slot.place.device if slot is not None and slot.place is not None else None for slot in slots]

    @property
    def processes(self) -> list[int]:
        """Process ids of the engines by their numbers; empty unless all of them are on this machine."""
        here = ray.get_runtime_context().get_node_id()
        places = [self._slots[engine].place for engine in sorted(self._slots)]
        found = [place.pid for place in places if place is not None and place.node == here]
        return found if len(found) == self.engines else []

    @property
    def flops(self) -> float | None:
        return next((slot.place.flops for slot in self._slots.values() if slot.place is not None), None)

    def close(self) -> None:
        ray.shutdown()


def _short(job: Any) -> Any:
    """A job as its engine needs it: recipes of what is past stay here."""
    return job._replace(segment=job.segment.without_history()) if isinstance(job, EvalRequest) else job


def _kill(slot: ActorSlot) -> None:
    """End an actor, and kill its process if it does not react: a device that hangs keeps its memory until then."""
    ray.kill(slot.actor)
    if slot.place is not None:
        strategy = NodeAffinitySchedulingStrategy(slot.place.node, soft=False)
        end = ray.remote(_end_process).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy)
        end.remote(slot.place.pid)


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
