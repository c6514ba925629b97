"""A configuration resolved: the model, the rewards and every trial, each name looked up and each value checked."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice, product
from typing import Any

from bench.study.conditions import groups, resolve
from bench.study.config import AUTO, Engines, RunConfig
from bench.study.entries import distinct, entries_of
from bench.study.following import Following, following
from bench.study.named import named, without_alias
from bench.study.notes import notes_of
from bench.study.published import published
from bench.study.search_checks import check_costs, check_injection, check_suits
from bench.study.search_codes import codes_of, identities_of
from bench.study.trial import IDENTITY_VERSION, Context, Trial, text
from tts.errors import SettingError
from tts.metrics.base import MetricSettings
from tts.models.base import ModelSettings
from tts.noise import VERSION as NOISE_VERSION
from tts.noise import derive_seed
from tts.plan import Condition
from tts.registry import METRICS, MODELS, REWARDS
from tts.rewards.base import RewardSettings, reward_notes
from tts.settings import canonical

DRIVER_LIMIT = 16
"""Engines that one driver can feed with segments."""

PROBLEMS_A_SHARD = 8
"""With fewer problems for each shard, shards are of single trials."""


class Study:
    """Everything a run needs to know before an engine starts. Built without torch.

    Args:
        config: the run.
        searching: whether its searches are to run; playing recipes needs nothing of what they need.

    Raises:
        TTSError: a name, a key, a value or a weights file cannot be used; the message names it.
    """

    def __init__(self, config: RunConfig, searching: bool = True) -> None:
        if config.engines.batch == AUTO:
            raise SettingError(
                "engines.batch: auto is measured by tts-bench run only; give a number, which tts-bench calibrate finds"
            )
        self.config = config
        model: tuple[str, ModelSettings] = MODELS.make(config.model)
        self.model_name, self.model = model
        self.searched = tuple(named(REWARDS, config.rewards))
        self.rewards = named(REWARDS, [*config.rewards, *config.held_out])
        if config.scorers is not None:
            config.scorers.check(self.rewards)
        self.metrics = named(METRICS, config.metrics)
        entries = [entry for given in config.searches for entry in entries_of(given)]
        codes_of(config.searches)  # refuses two of one name
        self.entries = distinct(entries)
        self.conditions = self._conditions()
        self.plan = self.model.plan()
        check_costs(self.entries, self.plan)
        check_injection(self.entries, self.plan, self.model_name)
        if searching:
            check_suits(self.entries, self.plan, self.searched)
        self.model.judged(self.rewards, self.given_rewards, self.metrics)
        judges: list[RewardSettings | MetricSettings] = [*self.rewards.values(), *self.metrics.values()]
        for judge in judges if not self.model.recorded else ():
            judge.suits(self.model)
            if config.engines.simulate is None:
                judge.check()
        if config.engines.simulate is None:
            self.model.suits(config.engines.device)
            self.model.check()  # last: it may have to fetch a checkpoint

    def _conditions(self) -> list[Condition]:
        given = self.config.problems.conditions
        self._groups = groups(given, published(self.config.protocol.name).column) if self.config.protocol.name else {}
        if isinstance(given, dict):
            given = resolve(given, self.model)
            # a list from here on: whoever gets this configuration may not have the file
            problems = self.config.problems.model_copy(update={"conditions": given})
            self.config = self.config.model_copy(update={"problems": problems})
        if given != "all":
            if not given:
                raise SettingError("problems.conditions: the list is empty")
            found = [self.model.condition(value) for value in given]
            twice = next((value for value, times in Counter(found).items() if times > 1), None)
            if twice is not None:
                raise SettingError(f"problems.conditions: {self.model.label(twice)} is named twice")
            return found
        if not self.model.conditions():
            raise SettingError(f"problems.conditions: model {self.model_name} has no list of conditions; name some")
        return list(self.model.conditions())

    @property
    def given_rewards(self) -> dict[str, str | dict[str, Any]]:
        """What names each reward in the configuration, without ``as``."""
        given = [*self.config.rewards, *self.config.held_out]
        return {name: without_alias(each) for name, each in zip(self.rewards, given, strict=True)}

    @property
    def computes_rewards(self) -> bool:
        """Whether engines score images; simulated engines draw rewards by chance, and tables have them."""
        return self.config.engines.simulate is None and not self.model.recorded

    def check_draws(self, simulated: bool = False) -> None:
        """Refuse what draws no images, for what needs them.

        Args:
            simulated: engines may be.

        Raises:
            SettingError: the model is recorded, or engines are simulated.
        """
        if self.model.recorded:
            raise SettingError(f"model {self.model_name}: draws no images; take the model that it was recorded from")
        if self.config.engines.simulate is not None and not simulated:
            raise SettingError("engines.simulate: there is no model, and no image is drawn; run without it")

    @cached_property
    def context(self) -> Context:
        """The facts that all trials share."""
        known = self.config.engines.simulate is None  # a simulated engine needs no weights to be there
        model = self.model.identity() if known else self.model.record()
        rewards = {name: REWARDS.identified(each, self._identity(name)) for name, each in self.given_rewards.items()}
        return Context(
            model={"name": self.model_name, **MODELS.identified(self.config.model, model)},
            rewards=dict(sorted(rewards.items())),
            numerics=self.config.engines.numerics(),
            searches=identities_of(self.config.searches, self.entries),
        )

    def _identity(self, reward: str) -> dict[str, Any]:
        """A reward's identity; its settings where it is not computed, as its weights need not be on this machine."""
        settings = self.rewards[reward]
        return settings.identity() if self.computes_rewards else settings.record()

    def with_batch(self, batch: int) -> Study:
        """The same study for engines of another batch."""
        return self.with_engines(self.config.engines.model_copy(update={"batch": batch}))

    def with_engines(self, engines: Engines) -> Study:
        """The same study for other engines of the same kind: nothing is looked up or read again."""
        other = copy.copy(self)
        other.__dict__.pop("context", None)
        other.config = self.config.model_copy(update={"engines": engines})
        return other

    @cached_property
    def following(self) -> Following | None:
        """Which published protocol the run follows, and what differs; None: it names none."""
        name, problems = self.config.protocol.name, self.config.problems
        if name is None:
            return None
        return following(name, self.conditions, self._groups, problems.seeds, problems.random, self.rewards)

    def notes(self) -> list[str]:
        """Notes for the user before the run, a line each."""
        given, drawn = self.config.model, self.conditions
        old = [] if isinstance(given, str) else self.model.old_keys(given)
        searches = notes_of(self.entries, self.plan)
        of_rewards = reward_notes(self.rewards if self.computes_rewards else {}, drawn, self.model.caption)
        protocol = [] if self.following is None else [f"protocol: {self.following.statement}"]
        return [*protocol, *old, *searches, *self.model.notes(drawn), *of_rewards]

    @property
    def problems(self) -> int:
        """How many problems there are."""
        return self.config.problems.random or len(self.conditions) * self.config.problems.seeds

    @property
    def size(self) -> int:
        """How many trials there are."""
        return self.problems * len(self.entries) * len(self.searched)

    def trials(self) -> Iterator[Trial]:
        """Every trial, problem by problem, as trials of one have work in common; the longest of each come first."""
        return self._trials_of(range(self.problems))

    def _problem(self, number: int) -> tuple[Condition, int]:
        """Condition and seed of a problem, by its number."""
        if self.config.problems.random is None:
            seed, place = divmod(number, len(self.conditions))
            return self.conditions[place], seed
        return self.conditions[derive_seed("condition", self.config.seed, number) % len(self.conditions)], number

    def _trials_of(self, problems: Iterable[int]) -> Iterator[Trial]:
        longest_first = sorted(self.entries, key=lambda entry: -entry.algorithm.depth(self.plan))
        for problem in problems:
            condition, seed = self._problem(problem)
            problem_seed = derive_seed("problem", self.config.seed, text(condition), seed)
            for entry, reward in product(longest_first, self.searched):
                yield Trial(
                    entry.name, entry.algorithm, entry.budget, reward, condition, seed, problem_seed, self.context
                )

    @property
    def _whole_problems(self) -> bool:
        """Whether shards are of whole problems: of few problems, some shards would get many more than others."""
        return self.problems >= PROBLEMS_A_SHARD * self.config.part[1]

    @property
    def shard_size(self) -> int:
        """How many trials this run's shard has."""
        shard, number = self.config.part
        if self._whole_problems:
            return len(range(shard, self.problems, number)) * (self.size // self.problems)
        return len(range(shard, self.size, number))

    def shard_trials(self) -> Iterator[Trial]:
        """The trials of this run's shard: of every N-th problem, or every N-th of all where problems are few."""
        shard, number = self.config.part
        if self._whole_problems:
            return self._trials_of(range(shard, self.problems, number))
        return islice(self.trials(), shard, None, number)

    @property
    def beside(self) -> bool:
        """Whether searches run beside their engines; what ``search_on: auto`` means."""
        engines = self.config.engines
        if engines.search_on != "auto":
            return engines.search_on == "engine"
        enough = self.shard_size >= 2 * engines.count * engines.batch
        return engines.backend == "ray" and (engines.count > DRIVER_LIMIT or enough)

    def resolved(self) -> dict[str, Any]:
        """The whole run in plain values, every default filled in, without where and how fast it is computed."""
        return {
            "version": IDENTITY_VERSION if NOISE_VERSION == 1 else [IDENTITY_VERSION, NOISE_VERSION],
            "model": self.context.model,
            "rewards": self.context.rewards,
            "numerics": self.context.numerics,
            **({"code": self.context.searches} if self.context.searches else {}),
            **({"held_out": sorted(set(self.rewards) - set(self.searched))} if self.config.held_out else {}),
            **({"metrics": self._metrics()} if self.metrics else {}),
            "searches": [[entry.name, entry.algorithm.record(), entry.budget] for entry in self.entries],
            "conditions": self.conditions,
            "seeds": self.config.problems.seeds,
            **({} if self.config.problems.random is None else {"random": self.config.problems.random}),
            "seed": self.config.seed,
        }

    def _metrics(self) -> dict[str, Any]:
        """Names and identities of the metrics: no part of a trial's identity, but of the run's, as all of its trials
        have features or none."""
        known = self.config.engines.simulate is None
        return {
            name: METRICS.identified(without_alias(given), metric.identity() if known else metric.record())
            for given, (name, metric) in zip(self.config.metrics, self.metrics.items(), strict=True)
        }

    def digest(self) -> str:
        """Hash of :meth:`resolved`: two configurations with the same one are the same run."""
        return hashlib.blake2b(canonical(self.resolved()).encode(), digest_size=16).hexdigest()
