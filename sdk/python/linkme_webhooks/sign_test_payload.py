"""Signs a body as the server does, for the tests of those who write receivers."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Optional, Union

from .errors import LinkMeUsageError
from .request_signature import sign, standard_key_of, utf8


@dataclass(frozen=True)
class SignedPayload:
    body: bytes
    """To be sent as it is."""
    headers: "dict[str, str]"
    """Names in lower case. Both forms of the signature are there."""


def sign_test_payload(
    payload: Union[Mapping[str, object], bytes, str], secret: str, at: Union[float, datetime, None] = None
) -> SignedPayload:
    """A request as LinkMe Server sends it: the body, and its headers with both signatures.

    :param payload: An envelope, which is printed as JSON, or a body that is taken as it is, valid JSON or not.
    :param secret: The secret that the receiver under test knows.
    :param at: When the delivery is made: seconds since 1970, or a ``datetime`` with a zone; now if left out.
    :raises LinkMeUsageError: ``secret_missing``

    >>> sign_test_payload({"id": "1", "event": "link.click"}, secret="whsec_dGVzdA==").body
    b'{"id":"1","event":"link.click"}'
    """
    if not isinstance(secret, str) or not secret:
        raise LinkMeUsageError(
            "secret_missing", "sign_test_payload needs the secret that the receiver under test knows."
        )
    seconds = at.timestamp() if isinstance(at, datetime) else time.time() if at is None else at
    timestamp = str(int(seconds))
    body = _print(payload)
    message_id = _read_id(payload) or "msg_test"
    headers = {
        "content-type": "application/json",
        "user-agent": "LinkMe-Webhooks/test",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "x-linkme-signature": f"sha256={sign(utf8(secret), body).hex()}",
    }
    key = standard_key_of(secret)
    if key:
        signature = sign(key, utf8(f"{message_id}.{timestamp}.") + body)
        headers["webhook-signature"] = f"v1,{base64.b64encode(signature).decode('ascii')}"
    return SignedPayload(body, headers)


def _print(payload: object) -> bytes:
    if isinstance(payload, str):
        return utf8(payload)
    if isinstance(payload, bytes):
        return payload
    return utf8(json.dumps(payload, ensure_ascii=False, separators=(",", ":")))


def _read_id(payload: object) -> Optional[str]:
    given = payload.get("id") if isinstance(payload, Mapping) else None
    return given if isinstance(given, str) and given else None
