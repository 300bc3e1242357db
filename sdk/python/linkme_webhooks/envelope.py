"""Reads the envelope of a webhook whose signature has been verified.

Accepts what LinkMe's published SDKs accept, so also event types and data that this version does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .errors import LinkMeWebhookError


@dataclass(frozen=True)
class LinkMeWebhookEnvelope:
    """Any webhook body. ``event`` may be a type that this version does not know; ``data`` is whatever was sent."""

    id: str
    """Stays the same when a delivery is repeated: remember it to handle each event once."""

    event: str
    """``link.click``, ``link.token_created``, ``link.claim``, ``link.app_open``, ``link.deferred_claim_attempt``, or
    a type of a newer server."""

    ts: Optional[str] = None
    """When it happened: ISO 8601, UTC, with milliseconds. ``None`` if it was not sent."""

    app_id: Optional[str] = None
    """``None`` if it was not sent."""

    data: Optional["dict[str, Any]"] = None
    """``None`` if it was not sent."""


def parse_linkme_webhook_envelope(input: object) -> LinkMeWebhookEnvelope:
    """The envelope of a webhook.

    ``id`` and ``event`` are non-empty strings; ``ts`` and ``app_id`` are strings and ``data`` is an object, each of
    them if present; null is not accepted. Other members are left out. The answer shares only the values inside
    ``data`` with the input.

    :param input: The body after ``json.loads``.
    :raises LinkMeWebhookError: ``envelope_not_object``, ``field_missing`` or ``field_invalid``.

    >>> parse_linkme_webhook_envelope({"id": "1", "event": "link.click", "data": {"slug": "sale"}}).data
    {'slug': 'sale'}
    """
    if not isinstance(input, Mapping):
        raw = isinstance(input, (str, bytes, bytearray, memoryview))
        hint = ": call json.loads on the body first" if raw else ""
        raise LinkMeWebhookError(
            "envelope_not_object", f"The envelope must be a JSON object, but it is {_name_of(input)}{hint}."
        )
    return LinkMeWebhookEnvelope(
        id=_required_text(input, "id"),
        event=_required_text(input, "event"),
        ts=_optional_text(input, "ts"),
        app_id=_optional_text(input, "app_id"),
        data=_optional_object(input, "data"),
    )


def _required_text(envelope: "Mapping[Any, Any]", field: str) -> str:
    if field not in envelope:
        raise LinkMeWebhookError("field_missing", f'"{field}" is missing: a non-empty string is required.', field)
    value = envelope[field]
    if isinstance(value, str) and value:
        return value
    raise _invalid(field, "a non-empty string", value)


def _optional_text(envelope: "Mapping[Any, Any]", field: str) -> Optional[str]:
    if field not in envelope:
        return None
    value = envelope[field]
    if isinstance(value, str):
        return value
    raise _invalid(field, "a string, or absent", value)


def _optional_object(envelope: "Mapping[Any, Any]", field: str) -> Optional["dict[str, Any]"]:
    if field not in envelope:
        return None
    value = envelope[field]
    if isinstance(value, Mapping):
        return dict(value)
    raise _invalid(field, "a JSON object, or absent", value)


def _invalid(field: str, accepted: str, value: object) -> LinkMeWebhookError:
    return LinkMeWebhookError("field_invalid", f'"{field}" must be {accepted}, but it is {_name_of(value)}.', field)


def _name_of(value: object) -> str:
    """What a value is, in words and without its content: messages may end up in logs."""
    if value is None:
        return "null"
    if value == "":
        return "an empty string"
    names = {
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), f"of the type {type(value).__name__}")
