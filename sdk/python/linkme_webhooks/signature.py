"""Decides whether a webhook comes from somebody who knows the secret.

Called by receivers before they parse anything. The comparison takes the same time whether and wherever it fails.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Optional, Union

from .errors import LinkMeUsageError
from .request_signature import sign, utf8

_HEADER_FORM = re.compile(r"sha256=([0-9a-f]{64})")


def verify_linkme_webhook_signature(
    raw_body: Union[bytes, bytearray, memoryview, str],
    signature_header: Optional[str],
    secret: Union[str, Sequence[str]],
) -> bool:
    """Whether ``X-LinkMe-Signature`` was made for exactly this body with one of the secrets.

    The header is ``sha256=`` and 64 lower-case hex digits: HMAC-SHA256 of the raw body, the key being the whole
    secret (its ``whsec_`` included) as UTF-8. Any other form, an absent header or a list of headers is ``False``.

    :param raw_body: The body as received. Bytes are best: text that was decoded from something else than UTF-8 no
        longer has the bytes that were signed.
    :param signature_header: The value of ``X-LinkMe-Signature``, ``None`` if there is none.
    :param secret: The signing secret of the webhook; during a rotation, all secrets to accept. All of them are
        always compared.
    :raises LinkMeUsageError: ``raw_body_parsed``, ``raw_body_missing``, ``raw_body_type``: ``raw_body`` is not a raw
        body. ``secret_missing``: there is no secret, or one is empty, so that anybody could sign.

    >>> verify_linkme_webhook_signature(b"{}", "sha256=" + "0" * 64, "whsec_local")
    False
    """
    body = require_raw_body(raw_body)
    secrets = _require_secrets(secret)
    # fullmatch and not match with `$`, which would allow a line break at the end.
    form = _HEADER_FORM.fullmatch(signature_header) if isinstance(signature_header, str) else None
    if form is None:
        return False
    given = bytes.fromhex(form.group(1))
    matches = False
    for key in secrets:
        # The comparison stands first: `matches or` would skip it after the first success.
        matches = hmac.compare_digest(sign(utf8(key), body), given) or matches
    return matches


def require_raw_body(raw_body: object) -> bytes:
    if isinstance(raw_body, str):
        return utf8(raw_body)
    if isinstance(raw_body, (bytes, bytearray, memoryview)):
        return bytes(raw_body)
    if raw_body is None:
        raise LinkMeUsageError(
            "raw_body_missing",
            "raw_body is None: pass the raw request body, as bytes or str. In Flask use request.get_data().",
        )
    if isinstance(raw_body, (Mapping, Sequence)):
        raise LinkMeUsageError(
            "raw_body_parsed",
            "raw_body is a parsed object, but the signature is over the bytes: pass the raw request body. "
            "In Flask use request.get_data(), in Django request.body, in FastAPI await request.body().",
        )
    raise LinkMeUsageError("raw_body_type", "raw_body must be bytes or str.")


def _require_secrets(secret: object) -> "list[str]":
    # bytes are a sequence too, of numbers, and so are refused below.
    given = [secret] if isinstance(secret, str) else list(secret) if isinstance(secret, Sequence) else []
    usable = [one for one in given if isinstance(one, str) and one]
    if not usable or len(usable) < len(given):
        raise LinkMeUsageError(
            "secret_missing",
            "secret must be the signing secret of the webhook, or a list of them, and none may be empty: "
            "is the environment variable that holds it set?",
        )
    return usable
