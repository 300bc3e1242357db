"""The five events of this version, as types. ``event`` tells which one it is, and so what ``data`` holds.

Members that are unknown are absent, never ``None``. The words are those of the Node SDK.
"""

from dataclasses import dataclass
from typing import Literal, TypedDict, Union

LinkMeEventType = Literal[
    "link.click", "link.token_created", "link.claim", "link.app_open", "link.deferred_claim_attempt"
]
LinkMePlatform = Literal["ios", "android", "web"]
"""Where something happened; a desktop browser is ``web``."""
LinkMeClaimType = Literal["direct", "install_referrer", "pasteboard", "fingerprint"]
"""How a click was recognised in the app."""
LinkMeAttemptReason = Literal["matched", "no_match", "expired", "already_claimed"]

# Members that may be absent stand in the second class of each pair: NotRequired came with Python 3.11.


class _GoogleIds(TypedDict):
    cookies: "dict[str, str]"


class LinkMeGoogleIds(_GoogleIds, total=False):
    """What Google Analytics had stored in the visitor's browser; only from apps with ``analytics_consent``.

    ``client_id`` is the two numbers of the cookie ``_ga``; ``cookies`` are ``_ga`` and ``_ga_<stream>``, as they came with
    the click.
    """

    client_id: str


class LinkMeSurroundings(TypedDict, total=False):
    """What a browser says of itself; only from apps with ``analytics_consent``.

    ``os`` is the operating system, like ``iOS``, ``language`` the first of the browser in lower case, like ``en-nz``, ``country``
    two letters of ISO 3166-1.
    """

    os: str
    os_version: str
    language: str
    device_category: Literal["mobile", "tablet", "desktop"]
    country: str


class _ClickData(TypedDict):
    link_id: str
    platform: LinkMePlatform
    dest_url: str


class LinkClickData(_ClickData, LinkMeSurroundings, total=False):
    """Somebody opened a link, and was sent to ``dest_url``.

    ``hostname`` is where the link was opened, ``cid`` the click token (32 lower-case hex digits), ``utm`` the UTM values of
    the link and of the request together, ``params`` their other parameters, ``referrer`` the host of the referring page.
    ``test`` marks a sample that was sent by hand.
    """

    slug: str
    hostname: str
    cid: str
    utm: "dict[str, str]"
    params: "dict[str, str]"
    referrer: str
    force_web: Literal[True]
    ga: LinkMeGoogleIds
    test: Literal[True]


class _TokenCreatedData(TypedDict):
    link_id: str
    platform: LinkMePlatform
    cid: str
    dest_url: str
    expires_at: str
    methods: "list[LinkMeClaimType]"


class LinkTokenCreatedData(_TokenCreatedData, LinkMeSurroundings, total=False):
    """A click got a token, with which the app can claim it until ``expires_at`` (ISO 8601, UTC) in one of ``methods``."""

    slug: str
    ga: LinkMeGoogleIds
    test: Literal[True]


class _ClaimData(TypedDict):
    link_id: str
    platform: LinkMePlatform
    cid: str
    claim_type: LinkMeClaimType
    duplicate: Literal[False]
    claimed_at: str


class LinkClaimData(_ClaimData, total=False):
    """The app recognised a click, for the first time.

    ``first_cid`` is the first click that led to this device or user. Times are ISO 8601, UTC, with milliseconds.
    """

    path: str
    params: "dict[str, str]"
    utm: "dict[str, str]"
    clicked_at: str
    user_id: str
    first_cid: str
    ga: LinkMeGoogleIds
    test: Literal[True]


class _AppOpenData(TypedDict):
    platform: LinkMePlatform
    type: Literal["open"]


class LinkAppOpenData(_AppOpenData, total=False):
    """The app was opened, through a link or not.

    ``detail`` is JSON text as the app's SDK sent it, ``timestamp`` the clock of the device in seconds since 1970.
    """

    link_id: str
    cid: str
    user_id: str
    first_cid: str
    ga: LinkMeGoogleIds
    detail: str
    timestamp: int
    test: Literal[True]


class _DeferredClaimAttemptData(TypedDict):
    platform: LinkMePlatform
    matched: bool
    method: Literal["fingerprint"]
    reason: LinkMeAttemptReason


class LinkDeferredClaimAttemptData(_DeferredClaimAttemptData, total=False):
    """The app asked on its first start whether it was installed because of a click."""

    link_id: str
    cid: str
    bundle_id: str
    test: Literal[True]


# They have the members of an envelope and are none: there ts, app_id and data may be None.


@dataclass(frozen=True)
class LinkClickEvent:
    id: str
    event: Literal["link.click"]
    ts: str
    app_id: str
    data: LinkClickData


@dataclass(frozen=True)
class LinkTokenCreatedEvent:
    id: str
    event: Literal["link.token_created"]
    ts: str
    app_id: str
    data: LinkTokenCreatedData


@dataclass(frozen=True)
class LinkClaimEvent:
    id: str
    event: Literal["link.claim"]
    ts: str
    app_id: str
    data: LinkClaimData


@dataclass(frozen=True)
class LinkAppOpenEvent:
    id: str
    event: Literal["link.app_open"]
    ts: str
    app_id: str
    data: LinkAppOpenData


@dataclass(frozen=True)
class LinkDeferredClaimAttemptEvent:
    id: str
    event: Literal["link.deferred_claim_attempt"]
    ts: str
    app_id: str
    data: LinkDeferredClaimAttemptData


LinkMeEvent = Union[
    LinkClickEvent, LinkTokenCreatedEvent, LinkClaimEvent, LinkAppOpenEvent, LinkDeferredClaimAttemptEvent
]
"""One of the five events that this version knows."""
