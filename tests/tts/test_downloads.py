"""Downloaded files are stored whole or not at all, whatever happens to the connection."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from http.client import HTTPMessage
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import pytest
from file_site import CONTENT, Site

from tts.errors import WeightsError
from tts.files import downloads
from tts.files.downloads import fetch, folder, place
from tts.models.edm import EDM

pytestmark = pytest.mark.usefixtures("cache")

LONG = "x" * 300
"""Name of a file that no file system lets anyone ask for, be it an administrator."""


def only(cache: Path, *content: bytes) -> bool:
    """Whether the cache holds only these contents and empty lock files."""
    files = [path for path in cache.iterdir() if path.suffix != ".lock"]
    return [path.read_bytes() for path in files] == list(content)


def part(url: str) -> Path:
    """Path of a partial download."""
    return place(url).with_name(f".{place(url).name}.part")


def test_fetches_once(site: Site, cache: Path) -> None:
    path = fetch(site.url, "checkpoint")
    assert path.read_bytes() == CONTENT
    assert (path.parent, path.name.endswith("-network.pkl")) == (cache, True)
    assert fetch(site.url, "checkpoint") == path
    assert site.asked == [None]
    assert only(cache, CONTENT)


def test_the_cache_lies_in_the_home_folder_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TTS_CACHE")
    assert folder() == Path.home() / ".cache" / "tts-bench"


def test_files_of_the_same_name_are_kept_apart() -> None:
    assert place("https://one.org/network.pkl") != place("https://two.org/network.pkl")


def test_a_broken_connection_is_taken_up_where_it_broke(site: Site, cache: Path) -> None:
    site.cuts = [30_000, 50_000]
    assert fetch(site.url, "checkpoint").read_bytes() == CONTENT
    assert site.asked == [None, 30_000, 80_000]
    assert only(cache, CONTENT)


def test_another_process_takes_up_an_interrupted_fetch(site: Site, cache: Path) -> None:
    site.cuts = [10_000, 0]
    with pytest.raises(WeightsError, match=r"interrupted after 10000 of 102400 bytes, which are kept"):
        fetch(site.url, "checkpoint")
    assert not place(site.url).exists()
    assert fetch(site.url, "checkpoint").read_bytes() == CONTENT
    assert site.asked == [None, 10_000, 10_000]
    assert only(cache, CONTENT)


def test_gives_up_after_some_connections(site: Site) -> None:
    site.cuts = [1] * 100
    with pytest.raises(WeightsError, match="interrupted after 5 of 102400 bytes"):
        fetch(site.url, "checkpoint")
    assert len(site.asked) == downloads.ATTEMPTS


def test_a_new_version_is_fetched_from_its_start(site: Site) -> None:
    site.cuts = [10_000, 0]
    with pytest.raises(WeightsError):
        fetch(site.url, "checkpoint")
    site.content, site.version = CONTENT[::-1], '"2"'
    assert fetch(site.url, "checkpoint").read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_starts_again(site: Site) -> None:
    site.cuts, site.ranges = [10_000], False
    assert fetch(site.url, "checkpoint").read_bytes() == CONTENT
    assert site.asked == [None, 10_000]


def test_a_server_without_ranges_that_always_breaks_is_given_up(site: Site) -> None:
    site.cuts, site.ranges = [10_000] * 100, False
    with pytest.raises(WeightsError, match="interrupted after 10000 of 102400"):
        fetch(site.url, "checkpoint")
    assert len(site.asked) == 2


@pytest.mark.parametrize("extra", [b"", b"more"])
def test_a_part_that_is_whole_or_too_long_is_fetched_anew(site: Site, cache: Path, extra: bytes) -> None:
    """A process may be killed between the last byte and the new name."""
    cache.mkdir()
    part(site.url).write_bytes(CONTENT + extra)
    assert fetch(site.url, "checkpoint").read_bytes() == CONTENT
    assert site.asked == [len(CONTENT) + len(extra), None]


def test_a_server_that_names_no_length_is_believed(site: Site) -> None:
    site.length = False
    assert fetch(site.url, "checkpoint").read_bytes() == CONTENT


def test_of_several_that_ask_one_fetches(site: Site, cache: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(site.url, "checkpoint")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert site.asked == [None]
    assert only(cache, CONTENT)


# ---- digests --------------------------------------------------------------------------------------------------------


DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("known", [DIGEST, DIGEST[:8], DIGEST.upper()], ids=["whole", "beginning", "capitals"])
def test_a_file_of_the_right_digest_is_kept(site: Site, cache: Path, known: str) -> None:
    site.cuts = [30_000]
    assert fetch(site.url, "weights", known).read_bytes() == CONTENT
    assert only(cache, CONTENT)


@pytest.mark.parametrize("known", ["0" * 64, "00000000", DIGEST[:7] + "x"])
def test_a_file_of_another_digest_is_refused(site: Site, known: str) -> None:
    with pytest.raises(WeightsError) as error:
        fetch(site.url, "weights", known)
    message = str(error.value)
    assert message.startswith(f"weights {site.url}: ")
    assert f"what came has the SHA-256 {DIGEST}, and the right file's begins with {known}" in message
    assert "\n" not in message
    assert not place(site.url).exists()


def test_after_another_digest_all_is_fetched_anew(site: Site, cache: Path) -> None:
    site.content = CONTENT[::-1]
    with pytest.raises(WeightsError):
        fetch(site.url, "weights", DIGEST)
    site.content = CONTENT
    assert fetch(site.url, "weights", DIGEST).read_bytes() == CONTENT
    assert site.asked == [None, None]
    assert only(cache, CONTENT)


def test_a_part_that_somebody_spoiled_is_found_by_the_digest(site: Site) -> None:
    part(site.url).parent.mkdir()
    part(site.url).write_bytes(b"x" * 1000)
    with pytest.raises(WeightsError, match="what came has the SHA-256"):
        fetch(site.url, "weights", DIGEST)
    assert fetch(site.url, "weights", DIGEST).read_bytes() == CONTENT
    assert site.asked == [1000, None]


def test_of_several_that_ask_for_another_digest_each_is_refused(site: Site) -> None:
    """None of them gets a file that another one has deleted."""
    messages: list[str] = []

    def ask() -> None:
        with pytest.raises(WeightsError) as error:
            fetch(site.url, "weights", "00000000")
        messages.append(str(error.value))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [DIGEST in message for message in messages] == [True] * 6


@pytest.mark.parametrize("staged", [False, True], ids=["in the cache", "staged"])
def test_a_cached_file_is_compared_too(
    staged: bool, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if staged:
        monkeypatch.setenv("TTS_STAGE", str(tmp_path / "stage"))
    site.content = CONTENT[::-1]
    path, known = fetch(site.url, "weights"), hashlib.sha256(CONTENT[::-1]).hexdigest()
    assert fetch(site.url, "weights", known[:8].upper()) == path
    with pytest.raises(WeightsError) as error:
        fetch(site.url, "weights", DIGEST)
    assert str(error.value) == (
        f"weights {site.url}: the file in the cache has the SHA-256 {known}, and the right file's begins with "
        f"{DIGEST}; delete {place(site.url)}, or correct the digest in the settings"
    )
    place(site.url).unlink()
    site.content = CONTENT
    assert fetch(site.url, "weights", DIGEST).read_bytes() == CONTENT


def test_what_another_process_fetched_meanwhile_is_compared(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = downloads._fetch

    def late(url: str, target: Path, sha256: str | None) -> None:
        target.write_bytes(b"of another process")
        wanted(url, target, sha256)

    monkeypatch.setattr(downloads, "_fetch", late)
    with pytest.raises(WeightsError, match="the file in the cache has the SHA-256"):
        fetch(site.url, "weights", DIGEST)
    assert site.asked == []


# ---- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://one.org/w.pth", "s3://bucket/w.pth"])
def test_other_addresses_than_the_webs_are_refused(url: str, cache: Path) -> None:
    with pytest.raises(WeightsError, match=f"weights {url}: is no https address; set weights to a file"):
        fetch(url, "weights")
    assert not cache.exists()


def test_an_address_that_is_none_is_named(cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"weights \.\.\.: is no https address; set weights to a file"):
        fetch("https://[x/y.pkl", "weights")


def test_an_address_leads_on_to_safe_ones_only(site: Site) -> None:
    url = site.url.replace("network", "moved")
    for unsafe in ("http://host.example/w.pth", "ftp://host.example/w.pth"):
        site.moved = unsafe
        with pytest.raises(WeightsError, match=f"302: leads on to {unsafe}, which is no https address"):
            fetch(url, "weights")
    site.moved = site.url
    assert fetch(url, "weights").read_bytes() == CONTENT
    with pytest.raises(HTTPError, match=f"leads on to {site.url}, which is no https address"):  # a service of this one
        downloads._SafeRedirects().redirect_request(
            Request("https://host.example/w.pth"), io.BytesIO(), 302, "Found", HTTPMessage(), site.url
        )


def test_an_address_that_has_nothing_is_named(site: Site) -> None:
    url = site.url.replace(".pkl", ".zip")
    with pytest.raises(WeightsError, match=r"not in the cache and cannot be fetched \(HTTP Error 404: Not Found"):
        fetch(url, "checkpoint")
    assert len(site.asked) == 1


def test_an_unreachable_address_says_what_to_do(cache: Path) -> None:
    url = "http://127.0.0.1:9/network.pkl"
    model = EDM(checkpoint=url)
    for use in (model.check, model.identity, model.load):
        with pytest.raises(WeightsError) as error:
            use()
        assert re.fullmatch(
            re.escape(f"checkpoint {url}: not in the cache and cannot be fetched (")
            + ".*[Cc]onnection refused.*"
            + re.escape("); fetch it elsewhere and set checkpoint to its path, ")
            + re.escape(f"or put it at {place(url)}"),
            str(error.value),
        )


def test_a_cache_that_cannot_be_written_is_named(site: Site, cache: Path) -> None:
    cache.write_bytes(b"a file")
    with pytest.raises(WeightsError, match=rf"cannot be fetched \(.*File exists.*{cache}"):
        fetch(site.url, "checkpoint")


def test_a_cache_that_may_not_be_looked_into_is_named(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()
    monkeypatch.setenv("TTS_CACHE", str(cache / LONG))
    with pytest.raises(WeightsError, match=r"cannot be fetched \(.*File name too long"):
        fetch(site.url, "checkpoint")


def test_a_fetched_checkpoint_is_used(site: Site) -> None:
    """Its content is not trusted either."""
    site.content = b"<html>please log in</html>"
    with pytest.raises(WeightsError, match=r"-network\.pkl: damaged, or not an EDM pickle"):
        EDM(checkpoint=site.url).check()
