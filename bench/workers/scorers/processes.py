"""Scorers as processes of this machine, for an engine that runs without Ray."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.scorers.batcher import Batcher
from bench.workers.scorers.judge import Answer, Images, Judge
from bench.workers.scorers.pooled import ATTEMPTS
from tts.errors import DeviceError, EngineError, TTSError, first_line
from tts.plan import Condition


class ScorerProcesses:
    """A process for each scorer; the calls are those of :class:`bench.workers.scorers.pooled.ScorerPool`.

    Args:
        study: whose rewards they load.

    Raises:
        TTSError: one cannot be started.
    """

    def __init__(self, study: Study) -> None:
        config, engines = study.config, study.config.engines
        assert config.scorers is not None  # set only where the study has scorers
        self.count = config.scorers.count
        self.rewards: Sequence[str] = config.scorers.rewards
        self._processes = [_Process(config) for _ in range(self.count)]
        try:
            for process in self._processes:
                process.started()
        except BaseException:
            self._end()
            raise
        batch = engines.score_batch or engines.batch
        most = config.scorers.queue * self.count * batch
        self._batcher = Batcher([process.score for process in self._processes], batch, most)

    def ask(self, name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
        return self._batcher.ask(name, images, conditions)

    def close(self) -> None:
        """End the processes."""
        self._batcher.close()
        self._end()

    def _end(self) -> None:
        for process in self._processes:
            process.end()


class _Process:
    """A scorer's process, replaced when it dies, falls silent or cannot load its rewards."""

    def __init__(self, config: RunConfig) -> None:
        assert config.scorers is not None  # see above
        self._config, self._patience, self._over = config, config.scorers.patience, False
        self._changing = threading.Lock()
        self._process: SpawnProcess | None = None
        self._start()

    def _start(self) -> None:
        """Start a process, unless there is one."""
        with self._changing:
            if self._over:
                raise EngineError("its scorers are closed")
            if self._process is not None:
                return
            context, self._ready = multiprocessing.get_context("spawn"), False
            self._pipe, theirs = context.Pipe()
            process = context.Process(target=serve, args=(self._config, theirs), name="tts-scorer", daemon=True)
            process.start()
            theirs.close()  # so that its end is heard here
            self._process = process

    def started(self) -> None:
        """Wait until the rewards are loaded.

        Raises:
            TTSError: they cannot be.
        """
        if self._ready:
            return
        if not self._pipe.poll(self._config.engines.start_seconds):
            raise EngineError("scorers: none has started within engines.start_seconds")
        try:
            self._answer()
        except EOFError:
            raise EngineError("scorers: a process ended before its rewards were loaded") from None
        self._ready = True

    def score(self, name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
        """Score a batch; if the process dies over it, another one does. One that cannot start counts as one that died.

        Raises:
            EngineError: one after another has died over it; the next batch starts a fresh one.
        """
        reason = ""
        for _ in range(ATTEMPTS):
            try:
                self._start()
                self.started()
                self._pipe.send((name, images, list(conditions)))
                if not self._pipe.poll(self._patience):
                    raise TimeoutError(f"it has not answered for scorers.patience = {self._patience:g} s")
                answers: list[Answer] = self._answer()
            except (OSError, EOFError, TTSError) as error:
                reason = str(error) or "its process died"
                self._lose()
            else:
                return answers
        raise EngineError(f"its scorer was lost {ATTEMPTS} times over this batch: {reason}")

    def _answer(self) -> Any:
        found = self._pipe.recv()
        if isinstance(found, TTSError):
            raise found
        return found

    def _lose(self) -> None:
        with self._changing:
            if self._over:
                raise EngineError("its scorers are closed")
            self._kill()

    def end(self) -> None:
        """End the process, whatever it does, for good."""
        with self._changing:
            self._over = True
            self._kill()

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.join()
        self._pipe.close()  # last: a thread that waits for an answer hears of the process's end


def serve(config: RunConfig, pipe: Connection) -> None:
    """The process's main loop: batches in, answers out, until the caller is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver's process hears it, and ends this one
    try:
        judge = Judge.of(Study(config))
    except TTSError as error:
        pipe.send(error)
        return
    except Exception as error:  # of a user's own reward, say; the caller gets it as one line
        pipe.send(EngineError(f"scorers: {type(error).__name__}: {first_line(error)}"))
        return
    with suppress(EOFError, OSError):  # the caller is gone
        pipe.send(None)
        while True:
            try:
                answers = judge.score(*pipe.recv())
            except DeviceError as error:
                pipe.send(error)
                return  # a fresh process may have a device that works
            pipe.send(answers)
