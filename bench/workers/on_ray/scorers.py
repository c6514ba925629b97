"""Scorers as actors: any engine may ask any of them, and what several ask of one reward is scored together."""

from __future__ import annotations

import faulthandler
import os
import random
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.on_ray.cluster import last_line, ours_in, told_by
from bench.workers.on_ray.paths import SearchPath
from bench.workers.scorers.batcher import Batcher
from bench.workers.scorers.judge import Answer, Images, Judge
from bench.workers.scorers.pooled import AT_ONCE, ATTEMPTS
from tts.errors import DeviceError, EngineError, first_line
from tts.plan import Condition

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

STDERR = 2  # the actor's log
AGAIN_SECONDS = 5.0  # between attempts to load rewards


class ScorerActor:
    """A scorer: Ray starts it again when it dies."""

    def __init__(self, config: RunConfig, digest: str, path: SearchPath) -> None:
        path.append()
        study = Study(config)
        assert config.scorers is not None  # set only where the study has scorers
        if study.digest() != digest:
            raise EngineError("scorers: a machine has other weights or another version of this package")
        batch = config.engines.score_batch or config.engines.batch
        again = ray.get_runtime_context().was_current_actor_reconstructed
        judge = loaded(study, config.engines.start_seconds if again else 0.0)
        score = _or_end(judge, config.scorers.patience)
        self._batcher = Batcher([score], batch, config.scorers.queue * batch)

    def ready(self) -> bool:
        """Answers once the rewards are loaded."""
        return True

    def ask(self, name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
        return self._batcher.ask(name, images, conditions)


def loaded(study: Study, seconds: float) -> Judge:
    """The rewards; Ray gives up an actor whose constructor fails, so one that was lost tries for some time.

    Args:
        seconds: in which another attempt may begin; memory of a GPU, for one, is not free as soon as its process ends.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return Judge.of(study)
        except Exception as error:
            if time.monotonic() + AGAIN_SECONDS > deadline:
                raise
            os.write(STDERR, f"{type(error).__name__}: {first_line(error)}; it is tried again\n".encode())
        time.sleep(AGAIN_SECONDS)


def _or_end(judge: Judge, patience: float) -> Any:
    """Scores, and ends the process where its device fails or a batch takes too long: Ray starts it again.

    A batch's time begins here, as others may wait for long before it. Python's own watchdog needs no thread of Python,
    so it also ends a reward that hangs in other code; it leaves in the actor's log where that was.
    """

    def score(name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
        faulthandler.dump_traceback_later(patience, exit=True, file=STDERR)
        try:
            return judge.score(name, images, conditions)
        except DeviceError as error:
            os.write(STDERR, f"{error}\n".encode())
            os._exit(1)  # a fresh process may have a device that works
        finally:
            faulthandler.cancel_dump_traceback_later()

    return score


class RayScorers:
    """An engine's view of the actors; the calls are those of :class:`bench.workers.scorers.pooled.ScorerPool`.

    Args:
        rewards: names of those that they compute.
        actors: all of them.
        patience: seconds for a batch, after which a scorer ends itself; for messages.
        start_seconds: in which one that was lost has a place again, and tries to load its rewards.
    """

    def __init__(
        self, rewards: Sequence[str], actors: Sequence[ActorHandle[Any]], patience: float, start_seconds: float
    ) -> None:
        self.rewards, self.count = rewards, len(actors)
        self._actors, self._patience, self._start_seconds = list(actors), patience, start_seconds
        self._away: dict[ObjectRef[bool], ActorHandle[Any]] = {}  # by the answers that tell of their return

    def ask(self, name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
        self._welcome()
        while True:
            actor = random.choice(self._actors)  # noqa: S311  (no secret; engines need not agree)
            try:
                return self._answer(actor, name, images, conditions)
            except RayTaskError as error:
                raise told_by(error) from None
            except RayActorError as error:
                if not error.actor_init_failed:
                    raise EngineError(
                        f"its scorer was lost {ATTEMPTS} times over this batch, or has not answered for "
                        f"scorers.patience = {self._patience:g} s: {last_line(error)}"
                    ) from None
                # Ray starts no actor again whose constructor has failed
                gone = ours_in(error) or EngineError(f"its scorer could not be started again: {last_line(error)}")
            except GetTimeoutError:
                gone = EngineError("its scorer was lost, and the cluster has no place for it any more")
            others = [each for each in self._actors if each is not actor]
            if not others:
                raise gone
            os.write(STDERR, f"{gone}; others score instead\n".encode())
            self._actors = others

    def _welcome(self) -> None:
        """Ask those again that have come back."""
        if self._away:
            back, _ = ray.wait(list(self._away), num_returns=len(self._away), timeout=0)
            found = [self._away.pop(answer, None) for answer in back]  # another thread may have had it
            self._actors = [*self._actors, *(actor for actor in found if actor is not None)]

    def _answer(
        self, actor: ActorHandle[Any], name: str, images: Images, conditions: Sequence[Condition]
    ) -> list[Answer]:
        """Ray asks again by itself if the actor is lost; of one that is at work, an answer may take long.

        Raises:
            GetTimeoutError: the actor is not there, and does not come back for long.
        """
        pending = actor.ask.remote(name, images, conditions)
        while not ray.wait([pending], timeout=self._start_seconds)[0]:
            there = actor.ready.remote()
            if not ray.wait([there], timeout=2 * self._start_seconds)[0]:
                self._away[there] = actor
                raise GetTimeoutError
        answers: list[Answer] = ray.get(pending)
        return answers

    def close(self) -> None:
        """Nothing: the driver's pool lets them go."""


def start_scorers(study: Study, digest: str, path: SearchPath, variables: dict[str, str]) -> RayScorers | None:
    """Start a study's scorers, if it has any, and wait until their rewards are loaded.

    Args:
        variables: of their environment.

    Raises:
        TTSError: a reward cannot be loaded, or the cluster has no place for them.
    """
    config, engines = study.config.scorers, study.config.engines
    if config is None or not study.computes_rewards:
        return None
    remote = ray.remote(ScorerActor).options(
        num_cpus=0 if config.gpus else engines.threads,
        num_gpus=config.gpus,
        max_concurrency=AT_ONCE * config.count * engines.count + 1,
        max_restarts=-1,
        max_task_retries=ATTEMPTS - 1,
        runtime_env={"env_vars": variables},
    )
    actors = [remote.remote(study.config, digest, path) for _ in range(config.count)]
    try:
        ray.get([actor.ready.remote() for actor in actors], timeout=engines.start_seconds)
    except GetTimeoutError:
        raise EngineError(
            f"scorers.count = {config.count}: the cluster has no place for them within engines.start_seconds = "
            f"{engines.start_seconds:g}; each needs {_needs(config.gpus, engines.threads)}"
        ) from None
    except RayError as error:
        raise ours_in(error) or EngineError(f"scorers: they could not be started ({last_line(error)})") from None
    return RayScorers(config.rewards, actors, config.patience, engines.start_seconds)


def _needs(gpus: float, threads: int) -> str:
    return f"{gpus:g} GPU" if gpus else f"{threads} CPU"
