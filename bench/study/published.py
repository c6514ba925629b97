"""Published protocols of text-to-image: what each fixes, how its number is made, and what must be reported with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tts.errors import SettingError
from tts.settings import nearest

EVERY = ""
"""In place of a group: all prompts."""


@dataclass(frozen=True)
class Published:
    """A protocol.

    Args:
        title: its name for people.
        source: where it is published.
        prompts: how many.
        digests: of the prompts (:func:`prompts_digest`), in the forms that are about; empty: not known, so that
            their number is all that is compared.
        images: of each prompt.
        scorers: names of the rewards that its number is of, by group; :data:`EVERY` for all. None: it has none of its
            own, and all rewards of a run are told.
        number: how images become the number: the mean of the groups' means, the mean of the prompts' means, or none but
            the groups' own.
        scale: by which published figures are multiplied.
        column: of its file, by which prompts are grouped; ``file`` where it is a folder of files.
        address: of the prompts, where they may be fetched; None: only its user can have them.
        settings: of scorers, by their names, that are not their defaults.
        said: what must be said beside the number.
    """

    title: str
    source: str
    prompts: int
    digests: tuple[str, ...]
    images: int
    number: Literal["groups", "prompts", "none"] = "prompts"
    scorers: Mapping[str, str] | None = None
    scale: float = 1.0
    column: str | None = None
    address: str | None = None
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    said: tuple[str, ...] = ()


_GENEVAL = (
    "https://raw.githubusercontent.com/djghosh13/geneval/af4902f24d3ca90ebbb446dd9891a59e0f82725f/"
    "prompts/evaluation_metadata.jsonl"
)
_PARTI = (
    "https://raw.githubusercontent.com/google-research/parti/5a657978134374ce28973948331b319adef164bd/PartiPrompts.tsv"
)
_NO_SCORER = "It has no scorer of its own: people judged the published images; name the reward beside its number."
_COMPBENCH = {"color": "blip_vqa", "shape": "blip_vqa", "texture": "blip_vqa"} | {
    "spatial": "unidet",
    "non_spatial": "clipscore",
    "complex": "three_in_one",
}

PROTOCOLS: dict[str, Published] = {
    "drawbench": Published(
        "DrawBench",
        "Saharia et al. 2022, arXiv 2205.11487",
        200,
        ("1ccb4f9e51c9fd05bca5b34d04f8aa0460919be1e4b2cc233bf1abcb4c2bb618",),
        images=1,
        column="Category",
        said=(_NO_SCORER,),
    ),
    "geneval": Published(
        "GenEval",
        "Ghosh et al. 2023, arXiv 2310.11513",
        553,
        ("db13d3b9aa8c662809a99c92f2af07b46958f6017d12755e52462a5a9fc428d7",),
        images=4,
        number="groups",
        scorers={EVERY: "geneval"},
        column="tag",
        address=_GENEVAL,
        settings={"geneval": {"value": "strict"}},
        said=(
            "It is the mean of the six tasks, not of the images: tasks have 80 to 100 prompts.",
            "The detector is transformers' or torchvision's, not mmdet's of the published program; rules are the same: "
            "what is hardly an object may be judged otherwise.",
            "The published program draws Stable Diffusion with 50 steps and guidance 9.",
        ),
    ),
    "dpg-bench": Published(
        "DPG-Bench",
        "Hu et al. 2024, arXiv 2403.05135",
        1065,
        ("835793d936e83c08ad87d77841645c0666c442b2ca1a27d334a289d80f4c9ed6",),
        images=4,
        scorers={EVERY: "dpg"},
        scale=100.0,
        said=(
            "An image's value is the share of its prompt's questions that mPLUG-large answers with yes; one counts "
            "as no if one that it depends on was answered so. A prompt's value is the mean of its four images.",
            "The published program leaves out the first row of its table of questions.",
        ),
    ),
    "parti-prompts": Published(
        "PartiPrompts",
        "Yu et al. 2022, arXiv 2206.10789",
        1632,
        (
            "ed75bf0c9a7ecd6b3009333fc1b2c017e9db7452a6c6e850cba2b1b6745e0621",
            "a9cb4c5ab02e1faf00dd8d5de4e50be12ee3935e010180901959d2d7ec7c0f08",  # a prompt without its quotation marks
        ),
        images=1,
        column="Category",
        address=_PARTI,
        said=(_NO_SCORER,),
    ),
    "hpdv2": Published(
        "HPDv2's benchmark",
        "Wu et al. 2023, arXiv 2306.09341",
        3200,
        (),
        images=1,
        number="groups",
        scorers={EVERY: "hpsv2"},
        scale=100.0,
        column="file",
        said=(
            "It is the mean of the four styles of 800 prompts each.",
            "Figures of HPSv2 and of HPSv2.1, the default here, are not comparable.",
            "No digest of its prompts is known here: that they are the published ones is for their user to see to.",
        ),
    ),
    "t2i-compbench": Published(
        "T2I-CompBench",
        "Huang et al. 2023, arXiv 2307.06350",
        1800,
        ("d07ba4e10192969d82a5ffaddc53a1850c3c0c0d30c46b90a0d2698380497326",),
        images=10,
        number="none",
        scorers=_COMPBENCH,
        column="file",
        said=(
            "Each category has a scorer of its own (BLIP-VQA, UniDet, CLIPScore, 3-in-1), so there is no number for "
            "all of them; the scorers are services.",
        ),
    ),
    "genai-bench": Published(
        "GenAI-Bench",
        "Li et al. 2024, arXiv 2406.13743",
        1600,
        (),
        images=1,
        scorers={EVERY: "vqascore_t5"},
        said=(
            "The published figures are of VQAScore by CLIP-FlanT5-XXL; other models give other values.",
            "No digest of its prompts is known here: that they are the published ones is for their user to see to.",
        ),
    ),
}
"""By the names that a configuration uses."""


def published(name: str) -> Published:
    """A protocol by its name.

    Raises:
        SettingError: there is none of this name.
    """
    if name not in PROTOCOLS:
        raise SettingError(f"protocol {name}: unknown; {nearest(name, PROTOCOLS)}")
    return PROTOCOLS[name]


def prompts_digest(prompts: Iterable[str]) -> str:
    """SHA-256 of a set of prompts, whatever their order and the file's form: sorted, stripped, a line each."""
    lines = sorted({prompt.strip() for prompt in prompts})
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def group_of(value: str) -> str:
    """A group's name from its column's cell, or from a file's name."""
    return value.removesuffix("_val").strip()
