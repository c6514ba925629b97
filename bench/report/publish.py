"""``tts-bench export --to``: a run as a data set, with its card, in a folder or on the Hugging Face hub."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from bench.report.data_card import CardFacts, card, check_license
from bench.report.export import export
from bench.report.summary import read_trials
from bench.store import reader as store
from bench.store.files import write_output
from bench.store.storage import Output
from bench.study.trust import OUTSIDE, foreign
from tts.errors import SettingError, TTSError, first_line
from tts.files.addresses import redacted, without_secrets

SCHEME = "hf://"
REPOSITORY = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)")
CARD = "README.md"
PLACES = ("engines", "sinks")
"""The parts of a configuration that say where a run computes and reports, and that name no weights."""
OF_THE_HUB = (".gitattributes",)
"""Files that a repository has when it is new."""


@dataclass(frozen=True)
class Options:
    """How a run is published.

    Args:
        images: keep the images in the rows.
        license: in the hub's words.
        public: a new repository is for everyone; else for its owner.
        overwrite: replace what a repository or folder holds.
    """

    images: bool = True
    license: str = "unknown"
    public: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Published:
    """A published run: its folder or page, its rows, and what its manifest names of this machine."""

    place: str
    rows: int
    names: list[str]


def publish(run: Output, to: str, options: Options) -> Published:
    """Export a run with its card.

    Args:
        run: its folder or address; not changed.
        to: a folder, or ``hf://datasets/OWNER/NAME``.
        options: how.

    Raises:
        DataError: ``run`` is no run, or has no trial yet.
        SettingError: the place holds something else, or cannot be written to.
    """
    check_license(options.license)
    if not to.startswith(SCHEME):
        folder = Path(to)
        if (folder / CARD).exists() and not options.overwrite:
            raise SettingError(f"--to {folder}: has a {CARD} already; choose another folder, or add --overwrite")
        facts = CardFacts(folder.name, options.license, None, options.images)
        return Published(str(folder), *_export(run, folder, facts))
    repository = _repository(to)
    api = _client()
    with _reached(to):
        there = _is_there(api, repository, to, options)
    with tempfile.TemporaryDirectory(prefix="tts-bench-export-") as made:
        folder = Path(made) / "data"
        facts = CardFacts(repository.partition("/")[2], options.license, repository, options.images)
        rows, names = _export(run, folder, facts)
        message = f"tts-bench export of run {store.read_manifest(folder)['digest']}"
        with _reached(to):
            if not there:
                api.create_repo(repository, repo_type="dataset", private=not options.public)
            api.upload_folder(
                folder_path=str(folder),
                repo_id=repository,
                repo_type="dataset",
                commit_message=message,
                delete_patterns="*" if options.overwrite else None,
            )
    return Published(f"{api.endpoint}/datasets/{repository}", rows, names)


def _export(run: Output, folder: Path, facts: CardFacts) -> tuple[int, list[str]]:
    """The folder with its card; its rows, and what its manifest names of this machine."""
    rows = export(run, folder, facts.images)
    manifest = store.read_manifest(folder)
    facts = replace(facts, images=bool(store.table(folder, ["trial"], ds.field("image").is_valid())))
    write_output(folder / CARD, card(manifest, read_trials(folder), facts).encode())
    return rows, _names_here(manifest["config"])


def _names_here(config: Mapping[str, Any]) -> list[str]:
    """What a configuration names of the machine and the network that the run was made on."""
    of_places = (found for found in foreign(config, PLACES) if found[2] == OUTSIDE)
    names = dict.fromkeys(f"{key} = {text}" for key, text, _ in (*foreign(config), *of_places))
    output = str(config.get("output", ""))
    return [*names, *([f"output = {output}"] if output.startswith(("/", "~")) else [])]


def _repository(to: str) -> str:
    found = REPOSITORY.fullmatch(to.rstrip("/"))
    if found is None:
        raise SettingError(f"--to {redacted(to)}: give hf://datasets/OWNER/NAME, or a folder")
    return found.group(1)


def _client() -> Any:
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise SettingError("--to hf://: nobody is signed in; set HF_TOKEN in the environment, or call: hf auth login")
    return HfApi()


def _is_there(api: Any, repository: str, to: str, options: Options) -> bool:
    """Whether there is such a repository.

    Raises:
        SettingError: it holds files that may not be replaced.
    """
    if not api.repo_exists(repository, repo_type="dataset"):
        return False
    names = [name for name in api.list_repo_files(repository, repo_type="dataset") if name not in OF_THE_HUB]
    if names and not options.overwrite:
        shown = ", ".join(sorted(names)[:3])
        raise SettingError(f"--to {to}: holds {len(names)} files already ({shown}, ...); take another, or --overwrite")
    return True


@contextmanager
def _reached(to: str) -> Iterator[None]:
    """Turn whatever the hub's client raises into one line without secrets that says what to do."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except TTSError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = f"try again, or export to a folder and upload that ({_shown(error)})"
        if status in (401, 403):
            said = "sign in with a token that may write there (HF_TOKEN, or hf auth login)"
        raise SettingError(f"--to {to}: the hub answers {status}; {said}") from None
    except Exception as error:  # a hub that does not answer is an error of whichever package asks it
        raise SettingError(f"--to {to}: cannot be uploaded ({_shown(error)})") from None


def _shown(error: Exception) -> str:
    return redacted(without_secrets(first_line(error)))[:200]
