"""Files at web addresses, fetched once into a cache folder."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from filelock import FileLock

from tts.errors import WeightsError
from tts.files import digests
from tts.files.addresses import redacted, refuse_secrets
from tts.files.homes import expanded
from tts.files.staging import near

ATTEMPTS = 5
"""Most connections to try; each continues where the one before ended."""

TIMEOUT = 30.0
"""Seconds of silence after which a connection counts as lost."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts to which plain http is allowed."""

LARGE = 16 << 20
"""Least number of missing bytes for which progress is shown."""


def folder() -> Path:
    """The folder of downloaded files: ``$TTS_CACHE``, or ``~/.cache/tts-bench``."""
    return expanded(os.environ.get("TTS_CACHE") or "~/.cache/tts-bench")


def place(url: str) -> Path:
    """The path of an address's file in the cache."""
    name = PurePosixPath(urlsplit(url).path).name or "file"
    return folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"


def fetch(url: str, setting: str, sha256: str | None = None) -> Path:
    """The file of an http(s) address, from the cache or downloaded into it.

    An interrupted download continues where it ended, also in another process. If several processes ask for the same
    file at once, one downloads it and the others wait.

    Args:
        url: the address.
        setting: the setting that names the address, for the message.
        sha256: digest of the right file, or its first digits; None: unknown.

    Raises:
        WeightsError: the file is not in the cache and cannot be downloaded, or its digest is another one.
    """
    if not _is_safe(url):
        raise WeightsError(
            f"{setting} {redacted(url)}: is no https address; set {setting} to a file or an https address"
        )
    refuse_secrets(url, setting)
    target = place(url)
    try:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch(url, target, sha256)
    except (OSError, HTTPException, ValueError) as error:
        raise WeightsError(
            f"{setting} {url}: not in the cache and cannot be fetched ({error or type(error).__name__}); fetch it "
            f"elsewhere and set {setting} to its path, or put it at {target}"
        ) from None
    found = near(target)
    if sha256 is not None:
        _compare_cached(url, target, found, setting, sha256)
    return found


def _is_safe(url: str) -> bool:
    """Whether an address is an https address, or an http address of this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _compare_cached(url: str, target: Path, copy: Path, setting: str, sha256: str) -> None:
    """Raise an error if a file has another digest; this machine's copy is read, which others do not read too."""
    found = digests.sha256(copy, setting)
    if not found.startswith(sha256.lower()):
        raise WeightsError(
            f"{setting} {url}: the file in the cache has the SHA-256 {found}, and the right file's begins with "
            f"{sha256}; delete {target}, or correct the digest in the settings"
        )


def _fetch(url: str, target: Path, sha256: str | None) -> None:
    part = target.with_name(f".{target.name}.part")
    with FileLock(target.with_name(f".{target.name}.lock")), part.open("ab") as file:
        if target.exists():  # another process was here first
            part.unlink(missing_ok=True)
            return
        _Part(url, file, part.with_suffix(".version")).complete()
        file.flush()
        if sha256 is not None:
            _compare_digest(part, file, sha256)
        os.fsync(file.fileno())
        part.replace(target)
        part.with_suffix(".version").unlink(missing_ok=True)


def _compare_digest(part: Path, file: BinaryIO, sha256: str) -> None:
    """Delete a file with another digest and raise an error, so that the next attempt begins anew."""
    with part.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if not found.startswith(sha256.lower()):
        file.truncate(0)
        raise OSError(f"what came has the SHA-256 {found}, and the right file's begins with {sha256}")


@contextmanager
def _progress(name: str, have: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """Show the progress, rate and remaining time of a large file on a terminal.

    Args:
        name: name of the file.
        have: bytes that were downloaded before.
        total: bytes of the whole file; None: unknown, and so perhaps large.

    Yields:
        a function that is called with the number of new bytes.
    """
    if not sys.stderr.isatty() or (total is not None and total - have < LARGE):
        yield int
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(name, total=total, completed=have)
        yield lambda more: shown.advance(task, more)


class _SafeRedirects(HTTPRedirectHandler):
    """Follows addresses only to those that may be fetched themselves, and from other machines to no service of this."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The next request.

        Raises:
            HTTPError: it is for an address that could be changed on its way, or only this machine may ask.
        """
        if not _is_safe(newurl) or (urlsplit(newurl).scheme == "http" and req.type != "http"):
            said = f"leads on to {redacted(newurl)}, which is no https address"
            raise HTTPError(req.full_url, code, said, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Part:
    """A partly downloaded file.

    Args:
        file: the bytes so far, open for appending.
        version: file that keeps the server's name of the version.
    """

    def __init__(self, url: str, file: BinaryIO, version: Path) -> None:
        self.url, self.file, self.version = url, file, version

    def complete(self) -> None:
        """Connect until the file is complete.

        Raises:
            OSError, HTTPException: it is incomplete after the allowed number of connections, or they brought nothing.
        """
        for attempt in range(1, ATTEMPTS + 1):
            before = self.size
            try:
                self._receive(before)
                break
            except (OSError, HTTPException):
                if attempt == ATTEMPTS or self.size == before:
                    raise

    @property
    def size(self) -> int:
        """Number of bytes so far."""
        return self.file.seek(0, os.SEEK_END)

    def _receive(self, have: int) -> None:
        """Use one connection for the missing bytes, or for all if the server has another version or no ranges."""
        try:
            response: HTTPResponse = build_opener(_SafeRedirects).open(self._request(have), timeout=TIMEOUT)
        except HTTPError as error:
            error.close()
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self.file.truncate(0)
            raise
        with response:
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                self.file.truncate(have := 0)
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise OSError("the server answered with another range of bytes")
            self.version.write_text(response.headers.get("ETag") or response.headers.get("Last-Modified") or "")
            length = response.headers.get("Content-Length")
            self._write(response, have, None if length is None else have + int(length))

    def _request(self, have: int) -> Request:
        version = self.version.read_text() if have and self.version.exists() else ""
        headers = {"Range": f"bytes={have}-"} if have else {}
        return Request(self.url, headers=headers | ({"If-Range": version} if version else {}))  # noqa: S310

    def _write(self, response: HTTPResponse, have: int, total: int | None) -> None:
        """Append the bytes of one connection."""
        with _progress(PurePosixPath(urlsplit(self.url).path).name, have, total) as came:
            while block := response.read(1 << 20):
                self.file.write(block)
                came(len(block))
        if total is not None and self.size != total:
            raise OSError(f"interrupted after {self.size} of {total} bytes, which are kept")
