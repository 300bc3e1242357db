"""Tells the five events of this version, with all their members in order, from everything else that parses.

The rest are types of newer servers, and data that a backend made up itself. Called by receivers that want typed ``data``.
"""

from collections.abc import Mapping
from typing import Any, Callable, Optional, get_args

from .envelope import LinkMeWebhookEnvelope
from .events import (
    LinkAppOpenEvent,
    LinkClaimEvent,
    LinkClickEvent,
    LinkDeferredClaimAttemptEvent,
    LinkMeAttemptReason,
    LinkMeClaimType,
    LinkMeEvent,
    LinkMePlatform,
    LinkTokenCreatedEvent,
)

_Check = Callable[[object], bool]
_ABSENT = object()
# What JSON's readers in other languages take for a whole number.
_SAFE_INTEGER_MAX = 2**53 - 1


def _text(value: object) -> bool:
    return isinstance(value, str)


def _text_map(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values())


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _SAFE_INTEGER_MAX


def _one_of(accepted: "tuple[object, ...]") -> _Check:
    # By type as well: 1 equals True, and a list cannot be hashed.
    return lambda value: any(value == one and type(value) is type(one) for one in accepted)


def _optional(check: _Check) -> _Check:
    return lambda value: value is _ABSENT or check(value)


def _google_ids(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    return _optional(_text)(value.get("client_id", _ABSENT)) and _text_map(value.get("cookies"))


_platform = _one_of(get_args(LinkMePlatform))
_claim_type = _one_of(get_args(LinkMeClaimType))
_mark = _optional(_one_of((True,)))


def _claim_types(value: object) -> bool:
    return isinstance(value, list) and all(_claim_type(one) for one in value)


_surroundings: "dict[str, _Check]" = {
    "os": _optional(_text),
    "os_version": _optional(_text),
    "language": _optional(_text),
    "device_category": _optional(_one_of(("mobile", "tablet", "desktop"))),
    "country": _optional(_text),
}

# One check for every member of every event; a test holds them to the types.
MEMBERS: "dict[str, dict[str, _Check]]" = {
    "link.click": {
        "link_id": _text,
        "platform": _platform,
        "dest_url": _text,
        "slug": _optional(_text),
        "hostname": _optional(_text),
        "cid": _optional(_text),
        "utm": _optional(_text_map),
        "params": _optional(_text_map),
        "referrer": _optional(_text),
        "force_web": _mark,
        "ga": _optional(_google_ids),
        **_surroundings,
        "test": _mark,
    },
    "link.token_created": {
        "link_id": _text,
        "platform": _platform,
        "cid": _text,
        "dest_url": _text,
        "slug": _optional(_text),
        "expires_at": _text,
        "methods": _claim_types,
        "ga": _optional(_google_ids),
        **_surroundings,
        "test": _mark,
    },
    "link.claim": {
        "link_id": _text,
        "platform": _platform,
        "cid": _text,
        "claim_type": _claim_type,
        "path": _optional(_text),
        "params": _optional(_text_map),
        "utm": _optional(_text_map),
        "duplicate": _one_of((False,)),
        "claimed_at": _text,
        "clicked_at": _optional(_text),
        "user_id": _optional(_text),
        "first_cid": _optional(_text),
        "ga": _optional(_google_ids),
        "test": _mark,
    },
    "link.app_open": {
        "platform": _platform,
        "type": _one_of(("open",)),
        "link_id": _optional(_text),
        "cid": _optional(_text),
        "user_id": _optional(_text),
        "first_cid": _optional(_text),
        "ga": _optional(_google_ids),
        "detail": _optional(_text),
        "timestamp": _optional(_whole),
        "test": _mark,
    },
    "link.deferred_claim_attempt": {
        "platform": _platform,
        "matched": _flag,
        "method": _one_of(("fingerprint",)),
        "reason": _one_of(get_args(LinkMeAttemptReason)),
        "link_id": _optional(_text),
        "cid": _optional(_text),
        "bundle_id": _optional(_text),
        "test": _mark,
    },
}

EVENT_CLASSES: "dict[str, Callable[..., LinkMeEvent]]" = {
    "link.click": LinkClickEvent,
    "link.token_created": LinkTokenCreatedEvent,
    "link.claim": LinkClaimEvent,
    "link.app_open": LinkAppOpenEvent,
    "link.deferred_claim_attempt": LinkDeferredClaimAttemptEvent,
}


def read_linkme_event(envelope: LinkMeWebhookEnvelope) -> Optional[LinkMeEvent]:
    """The envelope as one of the five events that this version knows, or ``None`` when it is none of them.

    It is one with ``ts``, ``app_id`` and every documented member of ``data`` of its type. Members that are not documented
    are allowed, and stay. Comparing ``event`` tells type checkers what ``data`` holds.

    Answer 2xx where this is ``None``: the envelope is well signed, and sending it again would not change it.

    >>> read_linkme_event(LinkMeWebhookEnvelope(id="1", event="link.shared")) is None
    True
    """
    members = MEMBERS.get(envelope.event)
    data: Any = envelope.data
    if members is None or data is None or not _text(envelope.ts) or not _text(envelope.app_id):
        return None
    if not all(check(data.get(member, _ABSENT)) for member, check in members.items()):
        return None
    make = EVENT_CLASSES[envelope.event]
    return make(id=envelope.id, event=envelope.event, ts=envelope.ts, app_id=envelope.app_id, data=data)
