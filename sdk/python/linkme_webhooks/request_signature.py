"""Decides whether a request comes from somebody who knows a secret, and was made just now.

Sources: LinkMe's webhook guide for ``X-LinkMe-Signature``; the Standard Webhooks specification for the three headers
``webhook-…``. Pure; called by the receiver for each request.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Optional

_LINKME_FORM = re.compile(r"sha256=([0-9a-f]{64})")
_STANDARD_FORM = re.compile(r"v1,([A-Za-z0-9+/]{43}=)")
_TIMESTAMP_FORM = re.compile(r"[0-9]{1,12}")
_STANDARD_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
# A server sends 12 at the most, the asymmetric ones first; of what a stranger sends no more are tried.
_SIGNATURES_MAX = 16
_SECRET_PREFIX = "whsec_"

SIGNATURE_REASONS = {
    "signature_missing": "there is no X-LinkMe-Signature header",
    "signature_malformed": "a signature header is malformed, incomplete or there twice",
    "signature_mismatch": "no signature fits this body and the secrets of this receiver",
    "timestamp_malformed": "webhook-timestamp is no number of seconds",
    "timestamp_outside": "webhook-timestamp is too far from the clock of this receiver",
}


def find_signature_fault(
    body: bytes,
    headers: Mapping[str, Optional[str]],
    secrets: Sequence[str],
    tolerance_seconds: float,
    now: float,
) -> Optional[str]:
    """Why a request must not be believed (a key of ``SIGNATURE_REASONS``), or ``None`` when it may be.

    ``X-LinkMe-Signature`` has to fit; in the grace period of a rotation ``X-LinkMe-Signature-Previous`` does as well.
    Where there is any of the headers of Standard Webhooks, all three have to be there, one signature ``v1`` has to fit,
    and the time of the delivery has to be near now. The time of the event is never looked at: a retry may come days later.

    :param headers: From ``read_headers``.
    :param secrets: Not empty. All of them are always compared.
    :param now: Seconds since 1970.
    """
    fault = _find_linkme_fault(body, headers, secrets)
    if fault is not None:
        return fault
    keys = [key for key in map(standard_key_of, secrets) if key]
    # A secret that is no base64 at all leaves an empty key, with which anybody can sign: those headers then say nothing.
    if not keys or not any(name in headers for name in _STANDARD_HEADERS):
        return None
    message_id, timestamp, signatures = (headers.get(name) for name in _STANDARD_HEADERS)
    if message_id is None or timestamp is None or signatures is None:
        return "signature_malformed"
    if not _TIMESTAMP_FORM.fullmatch(timestamp):
        return "timestamp_malformed"
    message = utf8(f"{message_id}.{timestamp}.") + body
    if not _is_signed(message, _read_standard(signatures), keys):
        return "signature_mismatch"
    # Written so that a tolerance that is no number accepts nothing.
    return None if abs(now - int(timestamp)) <= tolerance_seconds else "timestamp_outside"


def _find_linkme_fault(body: bytes, headers: Mapping[str, Optional[str]], secrets: Sequence[str]) -> Optional[str]:
    if "x-linkme-signature" not in headers:
        return "signature_missing"
    current = _read_linkme(headers["x-linkme-signature"])
    if current is None:
        return "signature_malformed"
    previous = _read_linkme(headers.get("x-linkme-signature-previous"))
    given = [current] if previous is None else [current, previous]
    return None if _is_signed(body, given, [utf8(secret) for secret in secrets]) else "signature_mismatch"


def _is_signed(message: bytes, given: Sequence[bytes], keys: Sequence[bytes]) -> bool:
    """Whether a key made a signature. Every key is tried with every signature, in constant time."""
    is_signed = False
    for key in keys:
        expected = sign(key, message)
        for signature in given:
            # The comparison stands first: `is_signed or` would skip it after the first success.
            is_signed = hmac.compare_digest(expected, signature) or is_signed
    return is_signed


def _read_linkme(header: Optional[str]) -> Optional[bytes]:
    form = _LINKME_FORM.fullmatch(header or "")
    return None if form is None else bytes.fromhex(form.group(1))


def _read_standard(header: str) -> "list[bytes]":
    forms = (_STANDARD_FORM.fullmatch(text) for text in header.split(" ")[:_SIGNATURES_MAX])
    return [base64.b64decode(form.group(1)) for form in forms if form is not None]


def standard_key_of(secret: str) -> bytes:
    """What the base64 after the prefix stands for, as senders decode it.

    Both alphabets are read, what belongs to neither is passed over, and nothing counts after the first ``=``.
    """
    text = secret[len(_SECRET_PREFIX) :] if secret.startswith(_SECRET_PREFIX) else secret
    digits = re.sub(r"[^A-Za-z0-9+/]", "", text.split("=")[0].replace("-", "+").replace("_", "/"))
    # A single digit at the end stands for less than a byte.
    whole = digits[:-1] if len(digits) % 4 == 1 else digits
    return base64.b64decode(whole + "=" * (-len(whole) % 4))


def sign(key: bytes, message: bytes) -> bytes:
    """The HMAC-SHA256 of a message."""
    return hmac.new(key, message, hashlib.sha256).digest()


def utf8(text: str) -> bytes:
    # A lone surrogate has no UTF-8 form. It must end as a signature that does not match, not as an exception that a
    # stranger can cause.
    return text.encode("utf-8", "surrogatepass")
