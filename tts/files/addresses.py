"""Addresses of files and stores: they must hold no secrets, and are shown without them."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, urlsplit

from tts.errors import SettingError

SECRET = re.compile(r"key|secret|token|passw|credential|signature|sig$|auth", re.IGNORECASE)
"""Parameters of an address that may hold a secret."""

SECRET_LETTERS = 6
"""Shorter values of the environment are not taken for secrets, as they may be words of any text."""

ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"]*", re.IGNORECASE)

REMEDIES = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN) in the environment",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS in the environment to the file of a service account",
}
"""Where secrets belong, by scheme."""


def refuse_secrets(address: str, setting: str) -> None:
    """Refuse an address with a user, a password or a parameter that may be secret.

    Addresses go into manifests, logs and pages.

    Raises:
        SettingError: the address holds one; the message does not repeat it.
    """
    found = secret_in(address)
    if found is not None:
        remedy = REMEDIES.get(urlsplit(address).scheme, "fetch the file by hand and set its path")
        raise SettingError(f"{setting} {shown(address)}: holds {found}, which would be stored; {remedy} instead")


def secret_in(address: str) -> str | None:
    """The part of an address that may be secret, in words without the secret itself; None if there is none."""
    parts = urlsplit(address)
    if "@" in parts.netloc:
        return "a user name or password"
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if SECRET.search(name)]
    return f"the parameter {names[0]}" if names else None


def tidied(address: str) -> str:
    """The address of a folder in an object store, with one slash between its parts.

    Raises:
        ValueError: it names no bucket, or goes up or nowhere, which a store does not do: that is a name there.
    """
    scheme, _, rest = address.partition("://")
    path, mark, options = rest.partition("?")
    parts = [part for part in path.split("/") if part]
    if not parts:
        raise ValueError(f"a bucket is missing: {scheme}://BUCKET/PATH")
    if {".", ".."} & set(parts):
        raise ValueError("an address in an object store has no '.' or '..' among its parts")
    return f"{scheme}://{'/'.join(parts)}{mark}{options}"


def shown(address: str) -> str:
    """An address without user, password and parameters."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def redacted(text: str) -> str:
    """A text without the parts of its addresses that may be secret."""

    def without(found: re.Match[str]) -> str:
        address = found.group()
        try:
            return address if secret_in(address) is None else shown(address)
        except ValueError:  # not an address
            return "..."

    return ADDRESS.sub(without, text)


def without_secrets(text: str) -> str:
    """A text without secret values of the environment, in case another package prints them."""
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) >= SECRET_LETTERS:
            text = text.replace(value, "...")
    return text
