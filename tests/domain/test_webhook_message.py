"""The bytes that are posted to webhooks, and their signature (webhooks.md 3)."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.webhook_message import envelope, sign, signed_headers
from tests.support.receiver import Received, is_signed_by

MESSAGE = UUID("01890000-0000-7000-8000-0000000000aa")
ORGANIZATION = UUID("01890000-0000-7000-8000-0000000000bb")
CREATED = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER = "whsec_Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
TIMESTAMP = 1767225600
BODY = b'{"id":"01890000-0000-7000-8000-0000000000aa","type":"program.funded"}'

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
)


@pytest.mark.example("webhooks.md", 5)
def test_the_vectors_of_the_specification() -> None:
    assert len(BODY) == 69
    assert sign(SECRET, MESSAGE, TIMESTAMP, BODY) == "v1,oEpQZi3g6xKjW/KrtFwTepIraXBym0RfJAeWZPS44Vg="
    assert sign(OTHER, MESSAGE, TIMESTAMP, BODY) == "v1,7dxNyyX28Y253NLUnXtbH4yf66E8+9J87NFCcIRoI0A="


def test_the_envelope_to_the_byte() -> None:
    assert (
        envelope(MESSAGE, "program.funded", CREATED, ORGANIZATION, '{"amount":"1.00","by":"Zoë"}')
        == (
            '{"id":"01890000-0000-7000-8000-0000000000aa","type":"program.funded","api_version":"2026-03-01",'
            '"created_at":"2026-01-01T12:30:00.000000Z","organization_id":"01890000-0000-7000-8000-0000000000bb",'
            '"data":{"amount":"1.00","by":"Zoë"}}'
        ).encode()
    )


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=4))
def test_data_arrives_as_it_was_kept(data: dict[str, object]) -> None:
    kept = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    body = envelope(MESSAGE, "event.completed", CREATED, ORGANIZATION, kept)
    assert json.loads(body)["data"] == data
    assert body.endswith(f'"data":{kept}}}'.encode())
    assert body == envelope(MESSAGE, "event.completed", CREATED, ORGANIZATION, kept)


def test_the_headers_of_an_attempt() -> None:
    assert signed_headers(MESSAGE, TIMESTAMP, BODY, [SECRET]) == {
        "content-type": "application/json",
        "user-agent": "OpenScrip-Webhooks/1",
        "webhook-id": "01890000-0000-7000-8000-0000000000aa",
        "webhook-timestamp": "1767225600",
        "webhook-signature": "v1,oEpQZi3g6xKjW/KrtFwTepIraXBym0RfJAeWZPS44Vg=",
    }


def test_while_secrets_overlap_each_signs_the_new_one_first() -> None:
    headers = signed_headers(MESSAGE, TIMESTAMP, BODY, [OTHER, SECRET])
    assert headers["webhook-signature"] == (
        "v1,7dxNyyX28Y253NLUnXtbH4yf66E8+9J87NFCcIRoI0A= v1,oEpQZi3g6xKjW/KrtFwTepIraXBym0RfJAeWZPS44Vg="
    )


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.binary(min_size=24, max_size=64))
def test_receivers_verify_what_was_signed_and_nothing_else(text: str, key: bytes) -> None:
    body, now = text.encode(), int(time.time())
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = signed_headers(MESSAGE, now, body, [OTHER, secret])
    received = Received("POST", "/", headers, body)
    assert is_signed_by(received, secret)
    assert is_signed_by(received, OTHER)
    assert not is_signed_by(received, SECRET)
    for changed in (
        Received("POST", "/", headers, body + b" "),
        Received("POST", "/", {**headers, "webhook-id": str(ORGANIZATION)}, body),
        Received("POST", "/", {**headers, "webhook-timestamp": str(now + 1)}, body),
    ):
        assert not is_signed_by(changed, secret)


@pytest.mark.parametrize("secret", ["whsec_%%%", "whsec_AAE", "sk_live", "whsec_AAEC\n", "whsec_"])
def test_what_is_no_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="not a webhook secret") as caught:
        sign(secret, MESSAGE, TIMESTAMP, BODY)
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_is_the_decoded_secret() -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, str(MESSAGE).encode() + b".1767225600." + BODY, hashlib.sha256).digest()
    assert sign(SECRET, MESSAGE, TIMESTAMP, BODY) == "v1," + base64.b64encode(digest).decode()
