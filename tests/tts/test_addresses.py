"""Addresses that hold secrets are refused, and no secret is shown."""

from __future__ import annotations

import pytest

from tts.errors import SettingError, WeightsError
from tts.files.addresses import redacted, refuse_secrets, shown
from tts.files.downloads import fetch

SECRETS = (
    "s3://KEYID:HIDDEN@bucket/run",
    "s3://KEYID@bucket/run",
    "s3://bucket/run?access_key=KEY&secret_key=HIDDEN",
    "s3://bucket/run?session_token=HIDDEN",
    "https://user:HIDDEN@host/file.pth",
    "https://host/file.pth?X-Amz-Signature=HIDDEN",
    "https://host/file.pth?token=HIDDEN",
)


@pytest.mark.parametrize("address", SECRETS)
def test_secrets_are_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(SettingError) as error:
        refuse_secrets(address, "output")
    assert "HIDDEN" not in str(error.value)
    assert "KEYID@" not in str(error.value)


@pytest.mark.parametrize("address", ["s3://bucket/run", "s3://bucket/run?region=eu&endpoint_override=127.0.0.1:9"])
def test_other_addresses_are_taken(address: str) -> None:
    refuse_secrets(address, "output")
    assert redacted(f"at {address}, and so on") == f"at {address}, and so on"


def test_the_store_named_says_where_secrets_belong() -> None:
    with pytest.raises(SettingError, match="AWS_ACCESS_KEY_ID"):
        refuse_secrets("s3://a:b@bucket", "output")
    with pytest.raises(SettingError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        refuse_secrets("gs://a:b@bucket", "output")


@pytest.mark.parametrize("address", SECRETS)
def test_messages_are_redacted(address: str) -> None:
    text = redacted(f"cannot read '{address}' (no)")
    assert "HIDDEN" not in text
    assert shown(address) in text


@pytest.mark.parametrize("address", ["http://host.example/w.pth", "http://127.0.0.1.example/w.pth", "ftp://host/w.pth"])
def test_what_can_be_changed_on_its_way_is_refused(address: str) -> None:
    with pytest.raises(WeightsError, match="is no https address"):
        fetch(address, "weights")
