"""Decides whether a webhook comes from the holder of a private key, of which the receiver knows the public half.

These are the signatures ``v1a`` of Standard Webhooks. Called by receivers before they parse anything. The arithmetic is
that of the package ``cryptography``, which is asked for only here: ``pip install linkme-webhooks[ed25519]``.
"""

import base64
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Callable, Optional, Union

from .errors import LinkMeUsageError, LinkMeWebhookError
from .headers import Headers, read_headers
from .signature import require_raw_body

TOLERANCE_DEFAULT_SECONDS = 300
# A server puts these first and sends 12 at the most; of what a stranger sends no more are tried with each key.
_SIGNATURES_MAX = 16
_KEY_FORM = re.compile(r"whpk_([A-Za-z0-9+/]{43}=)")
_SIGNATURE_FORM = re.compile(r"v1a,([A-Za-z0-9+/]{86}==)")
_TIMESTAMP_FORM = re.compile(r"[0-9]{1,12}")


def verify_linkme_webhook_ed25519(
    raw_body: Union[bytes, bytearray, memoryview, str],
    headers: Headers,
    public_key: Union[str, Sequence[str]],
    tolerance_seconds: float = TOLERANCE_DEFAULT_SECONDS,
    now: Optional[float] = None,
) -> bool:
    """Whether ``webhook-signature`` holds a signature ``v1a`` that one of these keys verifies for exactly this body.

    ``webhook-timestamp`` must not be further from now than the tolerance. Signatures of other versions are passed over;
    an absent or malformed header is ``False``.

    :param raw_body: The body as received. Bytes are best.
    :param headers: The headers of the request, or their pairs; names in any case.
    :param public_key: The ``public_key`` of the webhook, ``whpk_…``; during a rotation, all keys to accept.
    :param tolerance_seconds: By how much ``webhook-timestamp`` may differ from now, in both directions.
    :param now: Seconds since 1970; the clock's time if left out.
    :raises LinkMeUsageError: ``raw_body_parsed``, ``raw_body_missing``, ``raw_body_type``: ``raw_body`` is not a raw
        body. ``key_missing``: there is no key, or one is empty. ``key_invalid``: one is no public key.
        ``cryptography_missing``: the package that verifies is not installed.

    >>> verify_linkme_webhook_ed25519(b"{}", {}, "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    False
    """
    body = require_raw_body(raw_body)
    keys = _require_keys(public_key)
    verifiers = _load(keys)
    found = read_headers(headers)
    message_id = found.get("webhook-id")
    timestamp = found.get("webhook-timestamp")
    if message_id is None or timestamp is None or not _TIMESTAMP_FORM.fullmatch(timestamp):
        return False
    at = time.time() if now is None else now
    # Written so that a tolerance that is no number accepts nothing.
    if not abs(at - int(timestamp)) <= tolerance_seconds:
        return False
    message = f"{message_id}.{timestamp}.".encode("utf-8", "surrogatepass") + body
    signatures = _read_signatures(found.get("webhook-signature") or "")
    return any(verifies(signature, message) for signature in signatures for verifies in verifiers)


def select_linkme_webhook_keys(document: object, webhook_id: str, now: Optional[float] = None) -> "list[str]":
    """The public keys of this webhook in the parsed answer of ``/.well-known/linkme-webhooks-keys.json``.

    Keys of other webhooks are left out: who may sign for another webhook of the same server must not sign for yours.

    :param now: Seconds since 1970; the clock's time if left out.
    :raises LinkMeWebhookError: ``key_document_invalid``
    """
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list):
        raise LinkMeWebhookError("key_document_invalid", "The document of keys must be a JSON object with `keys`.")
    at = time.time() if now is None else now
    return [
        key["public_key"]
        for key in keys
        if isinstance(key, Mapping)
        and (key.get("kty"), key.get("crv"), key.get("webhook_id")) == ("OKP", "Ed25519", webhook_id)
        and isinstance(key.get("public_key"), str)
        and _KEY_FORM.fullmatch(key["public_key"])
        and not _is_over(key.get("valid_until"), at)
    ]


def _is_over(valid_until: object, now: float) -> bool:
    if not isinstance(valid_until, str):
        return False
    try:
        # Python before 3.11 does not read the Z.
        return datetime.fromisoformat(valid_until.replace("Z", "+00:00")).timestamp() <= now
    except ValueError:
        return False


def _read_signatures(header: str) -> "list[bytes]":
    forms = (_SIGNATURE_FORM.fullmatch(text) for text in header.split(" ")[:_SIGNATURES_MAX])
    return [base64.b64decode(form.group(1)) for form in forms if form is not None]


def _require_keys(public_key: object) -> "list[bytes]":
    given = [public_key] if isinstance(public_key, str) else list(public_key) if isinstance(public_key, Sequence) else []
    if not given or any(not isinstance(key, str) or not key for key in given):
        raise LinkMeUsageError(
            "key_missing",
            "public_key must be the public_key of the webhook (whpk_…), or a list of them, and none may be empty: "
            "is the environment variable that holds it set?",
        )
    forms = [_KEY_FORM.fullmatch(key) for key in given]
    if any(form is None for form in forms):
        raise LinkMeUsageError(
            "key_invalid",
            "public_key must be whpk_ and the base64 of 32 bytes: the public_key of the webhook, not its signing_secret.",
        )
    return [base64.b64decode(form.group(1)) for form in forms if form is not None]


def _load(keys: "list[bytes]") -> "list[Callable[[bytes, bytes], bool]]":
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise LinkMeUsageError(
            "cryptography_missing",
            "Signatures of Ed25519 are verified by the package cryptography, which is not installed: "
            "run `pip install linkme-webhooks[ed25519]`.",
        ) from error

    def verifier(raw: bytes) -> "Callable[[bytes, bytes], bool]":
        key = Ed25519PublicKey.from_public_bytes(raw)

        def verifies(signature: bytes, message: bytes) -> bool:
            try:
                key.verify(signature, message)
                return True
            except InvalidSignature:
                return False

        return verifies

    return [verifier(raw) for raw in keys]
