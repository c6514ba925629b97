"""The Hugging Face hub: files and folders of repositories, and messages if it cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tts.errors import WeightsError, first_line
from tts.files.homes import expanded
from tts.files.staging import near

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError


REFUSALS = (401, 403)
"""Statuses with which the hub refuses a reader of a repository."""
HUB = "hf-hub:"
"""Prefix of the name of a repository or of a file in one, in settings that may also be a path."""


@lru_cache(maxsize=128)
def hub_file(id: str, name: str, setting: str, revision: str | None = None) -> Path:
    """One file of a repository, from the hub's cache or downloaded into it.

    Args:
        id: ``owner/name``.
        name: path of the file in the repository.
        setting: the setting that names the repository, for the message.
        revision: branch, tag or commit; None: the main branch.

    Raises:
        WeightsError: the file cannot be downloaded, or not be copied to this machine.
    """
    from huggingface_hub import hf_hub_download

    with unreachable(id, setting):
        found = Path(hf_hub_download(id, name, revision=revision))
    return near(found)


@lru_cache(maxsize=32)
def hub_folder(id: str, patterns: tuple[str, ...], setting: str, revision: str | None = None) -> Path:
    """A folder with a repository's files that match some patterns; like :func:`hub_file`."""
    from huggingface_hub import snapshot_download

    with unreachable(id, setting):
        found = Path(snapshot_download(id, revision=revision, allow_patterns=list(patterns)))
    return near(found)


def dataset_file(id: str, name: str, setting: str) -> Path:
    """One file of a data set; like :func:`hub_file`."""
    from huggingface_hub import hf_hub_download

    with unreachable(id, setting):
        return Path(hf_hub_download(id, name, repo_type="dataset"))


def dataset_folder(id: str, folder: str, setting: str) -> Path:
    """The files in a folder of a data set; like :func:`hub_file`."""
    from huggingface_hub import snapshot_download

    with unreachable(id, setting):
        return Path(snapshot_download(id, repo_type="dataset", allow_patterns=[f"{folder}*"])) / folder


def local_folder(id: str, setting: str) -> Path | None:
    """The local folder that an id names; None if the id is the name of a repository.

    Raises:
        WeightsError: the id is neither, or may not be looked into.
    """
    path = expanded(id)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise WeightsError(f"{setting} {id}: cannot be read ({error.strerror})") from None
    if is_folder:
        return near(path)
    if is_file:
        raise WeightsError(
            f"{setting} {id}: a file; name a folder (stable-diffusion and "
            "stable-diffusion-xl take a single file as 'file')"
        )
    if id.startswith(("/", ".", "~")) or id.count("/") != 1:
        raise WeightsError(f"{setting} {id}: no such folder, and no name of a repository on the hub (owner/name)")
    return None


def folder(id: str, patterns: tuple[str, ...], setting: str) -> Path:
    """A local folder as it is, or a repository's files."""
    return local_folder(id, setting) or hub_folder(id, patterns, setting)


def named_file(name: str, setting: str) -> Path:
    """The file that ``hf-hub:owner/name/file`` names, or the path itself, which is not checked.

    Raises:
        WeightsError: the name has no file of a repository, or the file cannot be downloaded.
    """
    if not name.startswith(HUB):
        return near(expanded(name))
    parts = name.removeprefix(HUB).split("/", 2)
    if len(parts) < 3 or not all(parts):
        raise WeightsError(f"{setting} {name}: names no file of a repository on the hub ({HUB}owner/name/file)")
    return hub_file("/".join(parts[:2]), parts[2], setting)


@contextmanager
def unreachable(id: str, setting: str = "id") -> Iterator[None]:
    """Context that turns errors of the hub's client into one line that says what to do."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    remedy = f"set {setting} to a local folder, or fetch it on a machine with access: hf download {id}"
    try:
        yield
    except GatedRepoError as error:
        raise WeightsError(f"{setting} {id}: {_gated(id, error)}") from None
    except RepositoryNotFoundError:
        raise WeightsError(
            f"{setting} {id}: the hub has no such repository, or it needs a login (hf auth login)"
        ) from None
    except LocalEntryNotFoundError as error:
        if isinstance(why := error.__cause__, HfHubHTTPError) and why.response.status_code in REFUSALS:
            raise WeightsError(f"{setting} {id}: {_gated(id, why)}") from None
        raise WeightsError(f"{setting} {id}: is not in the cache, and the hub cannot be reached; {remedy}") from None
    except EntryNotFoundError as error:
        raise WeightsError(f"{setting} {id}: {first_line(error)}") from None
    except HfHubHTTPError as error:
        refused = error.response.status_code in REFUSALS
        said = _gated(id, error) if refused else f"cannot be fetched ({first_line(error)}); {remedy}"
        raise WeightsError(f"{setting} {id}: {said}") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{setting} {id}: cannot be fetched ({first_line(error)}); {remedy}") from None


def _gated(id: str, error: HfHubHTTPError) -> str:
    """The licence to accept, where to accept it, and how to log in."""
    from huggingface_hub.constants import ENDPOINT

    status = error.response.status_code
    token = (
        "nobody is signed in here"
        if status == 401
        else "the account that is signed in here has not done so, or its token may not read gated repositories"
    )
    return (
        f"its authors let those in who accept its terms, and {token} (the hub answers {status}); accept them at "
        f"{ENDPOINT}/{id}, then sign in on this machine (hf auth login, or HF_TOKEN in the environment)"
    )
