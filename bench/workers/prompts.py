"""The store of encoded prompts for a run's engines, and the prompts that it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.study.config import Engines, RunConfig
from bench.study.study import Study
from bench.workers.numerics import set_numerics
from tts.files import downloads
from tts.files.homes import expanded
from tts.plan import Condition
from tts.prompts import lengthened

if TYPE_CHECKING:
    from tts.models.base import Model
    from tts.models.encoding import Tell
    from tts.models.prompt_store import PromptStore


def store_of(engines: Engines) -> PromptStore | None:
    """Where the engines find encoded prompts; None: each encodes its own, or nothing is computed."""
    from tts.models.prompt_store import PromptStore

    if engines.prompts == "memory" or engines.simulate is not None:
        return None
    folder = downloads.folder() / "prompts" if engines.prompts == "cache" else expanded(engines.prompts)
    numerics = engines.numerics()
    on_gpu = engines.encoder_device == "cuda"
    what = ("tf32", "invariant", "attention") if on_gpu else ("threads", "attention")
    computed = {name: numerics[name] for name in what if name in numerics}
    return PromptStore(folder, {"device": engines.encoder_device, **computed})


def lacking_of(study: Study) -> int:
    """How many encodings a study's engines will ask for that are not there, as this machine sees it."""
    from tts.models.encoding import lacking

    store = store_of(study.config.engines)
    return 0 if store is None else lacking(study.model, _asked(study), store)


def encode_here(study: Study, tell: Tell = lambda done, total: None) -> int:
    """Encode what is lacking, in this process, and let the text encoders go.

    Returns:
        How many prompts were encoded.
    """
    from tts.models.encoding import encode_lacking

    engines = study.config.engines
    store = store_of(engines)
    if store is None or not lacking_of(study):
        return 0
    set_numerics(engines)
    return encode_lacking(study.model, _asked(study), store, engines.encoder_device, tell)


def _asked(study: Study) -> list[Condition]:
    """Prompts that an engine asks for: the study's, and that of its check when it starts."""
    first = study.conditions[0]
    return [*study.conditions, lengthened(first)] if isinstance(first, str) else study.conditions


def load_model(study: Study) -> Model:
    """A study's model on the engines' device, without text encoders where there is a store."""
    from tts.models.encoding import prompts_from
    from tts.networks.spreading import spread_over

    encode_here(study)  # does nothing where the driver has encoded them
    engines = study.config.engines
    with prompts_from(store_of(engines)), spread_over(engines.model_devices):
        return study.model.load(engines.device)


def encode_for(config: RunConfig) -> list[str]:
    """:func:`encode_here`, on a machine of a cluster; what there is to tell of prompts that no store can have."""
    study = Study(config)
    encode_here(study)
    return unstored_of(study)


def unstored_of(study: Study) -> list[str]:
    """What to tell of a study's prompts where the store cannot have them, as this machine sees it."""
    from tts.models.encoding import unstored

    store = store_of(study.config.engines)
    return [] if store is None else unstored(study.model, store)
