"""A bounded queue of images to be scored, out of which whole batches of one reward are taken."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, TypeAlias

import numpy as np

from bench.workers.scorers.judge import Answer, Images
from tts.errors import EngineError
from tts.plan import Condition

Work: TypeAlias = Callable[[str, Images, Sequence[Condition]], list[Answer]]


class _Wanted(NamedTuple):
    name: str
    images: Images
    conditions: Sequence[Condition]
    answers: Future[list[Answer]]


class Batcher:
    """Merges what several ask of one reward into batches, and hands these to workers.

    Args:
        workers: each scores one batch at a time, in a thread of its own.
        batch: images that are scored at once, if no one asks for more.
        most: images that may wait; who brings more waits as well.
    """

    def __init__(self, workers: Sequence[Work], batch: int, most: int) -> None:
        self._batch, self._most = batch, most
        self._changed = threading.Condition()
        self._waiting: deque[_Wanted] = deque()
        self._closed = False
        for number, work in enumerate(workers):
            threading.Thread(target=self._run, args=(work,), name=f"scorer-{number}", daemon=True).start()

    def ask(self, name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
        """Answers, in the order of the images; waits for them.

        Raises:
            EngineError: they cannot be had.
        """
        wanted = _Wanted(name, images, conditions, Future())
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._waiting or self._room() >= len(images))
            if self._closed:
                raise EngineError("its scorers are closed")
            self._waiting.append(wanted)
            self._changed.notify_all()
        return wanted.answers.result()

    def close(self) -> None:
        """Take no further images; waiting callers get an error."""
        with self._changed:
            self._closed = True
            for wanted in self._waiting:
                wanted.answers.set_exception(EngineError("its scorers are closed"))
            self._waiting.clear()
            self._changed.notify_all()

    def _room(self) -> int:
        return self._most - sum(len(wanted.images) for wanted in self._waiting)

    def _run(self, work: Work) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    return
                together = self._next()
                self._changed.notify_all()
            self._score(work, together)

    def _next(self) -> list[_Wanted]:
        """The images that wait longest, and others for the same reward until a batch is full."""
        first, *others = self._waiting
        together, left, room = [first], deque[_Wanted](), self._batch - len(first.images)
        for wanted in others:
            fits = len(wanted.images) <= room and wanted.images.shape[1:] == first.images.shape[1:]
            if wanted.name == first.name and fits:
                together.append(wanted)
                room -= len(wanted.images)
            else:
                left.append(wanted)
        self._waiting = left
        return together

    def _score(self, work: Work, together: list[_Wanted]) -> None:
        try:
            images = np.concatenate([wanted.images for wanted in together])
            conditions = [condition for wanted in together for condition in wanted.conditions]
            answers = work(together[0].name, images, conditions)
        except BaseException as error:  # too little memory for the images, too: the next ones may fit
            for wanted in together:
                wanted.answers.set_exception(error)
            return
        at = 0
        for wanted in together:
            wanted.answers.set_result(answers[at : at + len(wanted.images)])
            at += len(wanted.images)
