"""How fast an engine is beside its bare network, and how fast the host could feed a network that takes no time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.run.doctor.finding import Finding, judged
from bench.run.trajectories import trajectory
from bench.study.study import Study
from bench.workers.building import build_engine
from bench.workers.rates import one_pass, pass_seconds
from bench.workers.unasked import Unasked
from tts.engine.requests import EngineCounters, EvalRequest
from tts.noise import Noise
from tts.plan import Plan
from tts.search.segment import Segment

if TYPE_CHECKING:
    from tts.engine.batching import Engine

SECONDS = 3.0
WARM_UP = 1.0
EFFICIENT = 0.9


def speed(study: Study) -> Iterator[Finding]:
    """The bare network, an engine with it, and the same engine with a network that takes no time."""
    from tts.engine.batching import Engine

    made: Any = build_engine(study)
    batch = made.batch
    bare = batch * made.model.passes / pass_seconds(one_pass(study, made.model, batch), 1.0)
    engine, shares = rate(made, study)
    engines = study.config.engines
    free = Engine(
        Unasked(made.model),
        made.rewards,
        batch,
        made.device,
        engines.score_batch or batch,
        noise_threads=engines.noise_threads,
        noise=engines.noise,
    )
    host, _ = rate(free, study)
    made.close()
    free.close()
    yield Finding("speed", "bare network", f"{bare:.1f} forwards/s at batch {batch}", value=bare)
    yield Finding("speed", "host", f"{host:.1f} forwards/s, if the network took no time", value=host)
    efficiency = engine / bare
    seen = f"{engine:.1f} forwards/s, {100 * efficiency:.0f} % of the bare network; {shares}"
    yield judged("speed", "engine", seen, efficiency >= EFFICIENT, _advice(host, bare))


def _advice(host: float, bare: float) -> str:
    if host < 2 * bare:
        return (
            "the host is what limits it: put more engines on the device (engines.count with engines.gpus below 1), or "
            "leave it cores of its own"
        )
    return "scoring takes the rest: set model.preview for cheaper images in mid-trajectory, or engines.score_batch"


def rate(engine: Engine, study: Study, seconds: float = SECONDS, warm_up: float = WARM_UP) -> tuple[float, str]:
    """Forwards a second of an engine that is fed whole trajectories, scored at their ends, and where its time goes."""
    tickets, held = itertools.count(), list[int]()
    start, first = time.perf_counter(), None
    while (now := time.perf_counter()) < start + warm_up + seconds or first is None:
        if first is None and now >= start + warm_up:
            first, begun = engine.load + EngineCounters(), now
        new = [next(tickets) for _ in range(2 * engine.batch if engine.free_rows else 0)]
        engine.submit(EvalRequest(ticket, _fresh(study, engine.model.sampler.plan, ticket)) for ticket in new)
        held += [done.ticket for done in engine.advance()]
        engine.release(held)
        held.clear()
    load, taken = engine.load - first, time.perf_counter() - begun
    shares = ", ".join(
        f"{name} {100 * part / taken:.0f} %"
        for name, part in (("denoiser", load.seconds), ("decode", load.decode), ("noise", load.noise))
    )
    return load.rows * engine.model.passes / taken, shares


def _fresh(study: Study, plan: Plan, seed: int) -> Segment:
    """A whole trajectory with fresh noises, scored by the first reward."""
    return trajectory(plan, lambda step: Noise(1000 * seed + step), study.conditions[0], next(iter(study.rewards)))
