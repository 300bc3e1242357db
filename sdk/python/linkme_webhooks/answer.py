"""What a receiver says: one answer of HTTP for each way in which a request can end. Pure.

The bodies are read by whoever looks at the history of a delivery, so they say what to do, and nothing about secrets.
"""

import json
import math
from dataclasses import dataclass
from typing import Literal, Optional

from .envelope import LinkMeWebhookEnvelope
from .request_signature import SIGNATURE_REASONS

OutcomeKind = Literal["processed", "duplicate", "unknown_event", "ignored", "retry", "refused", "misconfigured"]


@dataclass(frozen=True)
class ReceiveOutcome:
    """What became of a request.

    - ``processed``: the handler is done, for good or ill; ``reason`` is there when it gave up.
    - ``duplicate``: it had been done before.
    - ``unknown_event``: of a type that this version does not know, or with data of another form than it knows.
    - ``ignored``: of a known type for which there is no handler.
    - ``retry``: something did not work, or is being done at this moment: the event is to come again.
    - ``refused``: nothing was believed, and nothing done; ``code`` says why.
    - ``misconfigured``: the receiver itself is at fault; ``code`` is that of the error that ``on_error`` was told.
    """

    kind: OutcomeKind
    event: Optional[LinkMeWebhookEnvelope] = None
    """``None`` where nothing was believed."""
    code: Optional[str] = None
    reason: Optional[str] = None
    retry_after_seconds: Optional[float] = None


@dataclass(frozen=True)
class Received:
    """The answer to give, and why."""

    status: int
    headers: "dict[str, str]"
    """Names in lower case."""
    body: bytes
    """JSON."""
    outcome: ReceiveOutcome


_REFUSALS = {
    "method_not_allowed": 405,
    "content_type": 415,
    "body_too_large": 413,
    "body_too_slow": 408,
    "body_cut": 400,
    "envelope_invalid": 400,
    **dict.fromkeys(SIGNATURE_REASONS, 401),
}


def answer_to(outcome: ReceiveOutcome) -> Received:
    """The answer that an outcome has."""
    if outcome.kind == "refused":
        code = outcome.code or ""
        allowed = {"allow": "POST"} if code == "method_not_allowed" else {}
        return _json(_REFUSALS[code], {"error": code, "message": outcome.reason}, outcome, allowed)
    if outcome.kind == "misconfigured":
        message = f"This receiver is misconfigured ({outcome.code}). Its log says what to change."
        return _json(500, {"error": "misconfigured", "message": message}, outcome, {})
    if outcome.kind == "retry":
        seconds = str(max(1, math.ceil(outcome.retry_after_seconds or 0)))
        return _json(503, {"error": "try_again", "message": outcome.reason}, outcome, {"retry-after": seconds})
    event_id = outcome.event.id if outcome.event else None
    return _json(200, {"outcome": outcome.kind, "id": event_id}, outcome, {})


def _json(status: int, body: object, outcome: ReceiveOutcome, headers: "dict[str, str]") -> Received:
    text = json.dumps(body, separators=(",", ":"))
    return Received(status, {"content-type": "application/json", **headers}, text.encode("ascii"), outcome)
