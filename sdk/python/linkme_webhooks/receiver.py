"""The receiver: from a request of HTTP to the handler of its event, and to the answer.

Nothing is parsed, stored or called before the signature fits, and nothing is answered 2xx before the handler is done. The
words and the answers are those of the Node SDK. Adapters bring the requests of frameworks to ``receive``.
"""

import json
import logging
import re
import threading
import time
import uuid
from functools import partial
from typing import Any, Callable, Literal, NoReturn, Optional, TypeVar, Union, get_args, overload
from urllib.parse import quote

from .answer import OutcomeKind, Received, ReceiveOutcome, answer_to
from .calls import Work, run, run_async
from .dedupe import DedupeStore, MemoryDedupe
from .envelope import LinkMeWebhookEnvelope, parse_linkme_webhook_envelope
from .errors import LinkMeFinalError, LinkMeRetryError, LinkMeUsageError, LinkMeWebhookError
from .events import (
    LinkAppOpenEvent,
    LinkClaimEvent,
    LinkClickEvent,
    LinkDeferredClaimAttemptEvent,
    LinkTokenCreatedEvent,
)
from .headers import Headers, read_headers
from .raw_body import BodyCut, BodyLimits, BodyTooLarge, BodyTooSlow, Framework, RawBody, ReadBody, bytes_of
from .read_event import EVENT_CLASSES, read_linkme_event
from .receiver_options import ReceiverOptions, check_options
from .request_signature import SIGNATURE_REASONS, find_signature_fault
from .secret_source import SecretSource, check_secrets, find_secret_fault

# Ids of events are UUIDs; the bound keeps the keys of dedupe stores within what each of them takes.
_ID_MAX_CHARS = 255
_JSON_TYPE = re.compile(r"application/json\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_LENGTH_FORM = re.compile(r"[0-9]{1,15}")

_log = logging.getLogger("linkme_webhooks")

UnknownWhy = Literal["type", "data"]
"""``type``: this version does not know the type. ``data``: of a known type, but members are missing or of another form."""

_Function = TypeVar("_Function", bound=Callable[..., object])
_OnClick = TypeVar("_OnClick", bound=Callable[[LinkClickEvent], object])
_OnTokenCreated = TypeVar("_OnTokenCreated", bound=Callable[[LinkTokenCreatedEvent], object])
_OnClaim = TypeVar("_OnClaim", bound=Callable[[LinkClaimEvent], object])
_OnAppOpen = TypeVar("_OnAppOpen", bound=Callable[[LinkAppOpenEvent], object])
_OnAttempt = TypeVar("_OnAttempt", bound=Callable[[LinkDeferredClaimAttemptEvent], object])
_OnUnknown = TypeVar("_OnUnknown", bound=Callable[[LinkMeWebhookEnvelope, UnknownWhy], object])
_OnError = TypeVar("_OnError", bound=Callable[[Exception, Optional[LinkMeWebhookEnvelope]], object])


class Receiver:
    """Verifies, remembers and answers; calls the handlers that ``on`` registers.

    Handlers are ``def``, or ``async def`` where ``receive_async`` is called. What they raise makes the event come again, but
    for a ``LinkMeFinalError``. Safe to use from many threads.

    >>> receiver = Receiver(secrets="whsec_dGVzdA==")
    >>> @receiver.on("link.claim")
    ... def save_claim(event):
    ...     print(event.data["link_id"], event.data.get("user_id"))
    """

    def __init__(
        self,
        secrets: SecretSource,
        *,
        tolerance_seconds: float = 300,
        dedupe: Optional[DedupeStore] = None,
        max_body_bytes: int = 1024 * 1024,
        body_timeout_seconds: float = 10,
        lease_seconds: float = 60,
        ttl_seconds: float = 7 * 24 * 3600,
        retry_after_seconds: float = 30,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        :param secrets: What signatures are verified with: a secret, several, or a function that is called for each request.
        :param tolerance_seconds: By how much ``webhook-timestamp``, the time of the delivery, may differ from now, in both
            directions.
        :param dedupe: Where it is remembered what is done; in memory, for this process, if left out.
        :param max_body_bytes: LinkMe Server sends no more than 256 KiB.
        :param body_timeout_seconds: How long a body may take to arrive with the adapter for FastAPI. Servers of WSGI have
            time-outs of their own.
        :param lease_seconds: Longer than a handler takes: after it, an event that comes again is handled again.
        :param ttl_seconds: How long it is remembered that an event was handled: longer than any retry or replay takes.
        :param retry_after_seconds: What ``Retry-After`` asks for where nothing else is known.
        :param now: Seconds since 1970; the clock.
        :raises LinkMeUsageError: ``secret_missing``, ``receiver_option``
        """
        if not callable(secrets):
            check_secrets(secrets)
        self._secrets = secrets
        options = ReceiverOptions(
            tolerance_seconds, max_body_bytes, body_timeout_seconds, lease_seconds, ttl_seconds, retry_after_seconds
        )
        self._options = check_options(options)
        self._now = now
        self._dedupe: DedupeStore = MemoryDedupe(now=now) if dedupe is None else dedupe
        self._handlers: "dict[str, Callable[..., object]]" = {}
        self._counts: "dict[OutcomeKind, int]" = dict.fromkeys(get_args(OutcomeKind), 0)
        self._lock = threading.Lock()

    @overload
    def on(self, event: Literal["link.click"]) -> Callable[[_OnClick], _OnClick]: ...
    @overload
    def on(self, event: Literal["link.token_created"]) -> Callable[[_OnTokenCreated], _OnTokenCreated]: ...
    @overload
    def on(self, event: Literal["link.claim"]) -> Callable[[_OnClaim], _OnClaim]: ...
    @overload
    def on(self, event: Literal["link.app_open"]) -> Callable[[_OnAppOpen], _OnAppOpen]: ...
    @overload
    def on(self, event: Literal["link.deferred_claim_attempt"]) -> Callable[[_OnAttempt], _OnAttempt]: ...
    def on(self, event: str) -> Callable[[Any], Any]:
        """A decorator that registers the handler of an event type.

        :raises LinkMeUsageError: ``handler_twice``: there is one already. ``receiver_option``: there is no such event.
        """
        if event not in EVENT_CLASSES:
            raise LinkMeUsageError(
                "receiver_option",
                f'There is no event "{event}": on() takes {", ".join(EVENT_CLASSES)}; on_unknown the rest.',
            )

        def register(handler: _Function) -> _Function:
            return self._register(event, f'on("{event}")', handler)

        return register

    def on_unknown(self, handler: _OnUnknown) -> _OnUnknown:
        """Registers what gets events for which ``on`` has no type: called with the envelope, and ``"type"`` or ``"data"``.

        :raises LinkMeUsageError: ``handler_twice``
        """
        return self._register("on_unknown", "on_unknown", handler)

    def on_error(self, handler: _OnError) -> _OnError:
        """Registers what is told of errors, instead of the logger ``linkme_webhooks``.

        Called with the error and the envelope, ``None`` before the signature was verified.

        :raises LinkMeUsageError: ``handler_twice``
        """
        return self._register("on_error", "on_error", handler)

    def receive(
        self,
        method: str,
        headers: Headers,
        body: Union[RawBody, ReadBody, None],
        framework: Optional[Framework] = None,
    ) -> Received:
        """Takes a request and answers it. Raises nothing; handlers, stores and secrets are called in this thread.

        :param headers: What frameworks call headers, or pairs; names in any case.
        :param body: The body as it was sent, or a function that reads it.
        :param framework: For errors that name the fix.

        >>> Receiver(secrets="whsec_dGVzdA==").receive("GET", {}, b"").status
        405
        """
        return run(self._receive(method, headers, body, framework))

    async def receive_async(
        self,
        method: str,
        headers: Headers,
        body: Union[RawBody, ReadBody, None],
        framework: Optional[Framework] = None,
    ) -> Received:
        """``receive`` for asyncio: waits for what is a coroutine, and calls the rest in threads."""
        return await run_async(self._receive(method, headers, body, framework))

    def counts(self) -> "dict[OutcomeKind, int]":
        """How many requests have ended in which way, since the receiver was made."""
        with self._lock:
            return dict(self._counts)

    def _register(self, name: str, words: str, handler: _Function) -> _Function:
        with self._lock:
            if name in self._handlers:
                raise LinkMeUsageError(
                    "handler_twice",
                    f"{words} has a handler already, and one would never be called: call both from one.",
                )
            self._handlers[name] = handler
        return handler

    def _receive(
        self, method: str, headers: Headers, body: object, framework: Optional[Framework]
    ) -> "Work[Received]":
        outcome = yield from self._decide(method, headers, body, framework)
        with self._lock:
            self._counts[outcome.kind] += 1
        return answer_to(outcome)

    def _decide(
        self, method: str, headers: Headers, body: object, framework: Optional[Framework]
    ) -> "Work[ReceiveOutcome]":
        if method.upper() != "POST":
            return _refused("method_not_allowed", "webhooks are sent with POST")
        found = read_headers(headers)
        if not _JSON_TYPE.fullmatch(found.get("content-type") or ""):
            return _refused("content_type", "webhooks are sent as application/json")
        length = found.get("content-length") or ""
        if _LENGTH_FORM.fullmatch(length) and int(length) > self._options.max_body_bytes:
            return self._too_large()
        try:
            raw_body = yield from self._read_body(body, framework)
            secrets = yield from self._read_secrets()
            code = find_signature_fault(raw_body, found, secrets, self._options.tolerance_seconds, self._now())
        except BodyTooLarge:
            return self._too_large()
        except BodyTooSlow:
            return _refused("body_too_slow", f"the body took more than {self._options.body_timeout_seconds} s")
        except BodyCut:
            return _refused("body_cut", "the body ended too early")
        except Exception as error:
            return (yield from self._fault(error))
        if code is None:
            return (yield from self._take(raw_body))
        hint = find_secret_fault(secrets) if code == "signature_mismatch" else None
        if hint is not None:
            yield from self._report(hint, None)
        return _refused(code, SIGNATURE_REASONS[code])

    def _read_body(self, body: object, framework: Optional[Framework]) -> "Work[bytes]":
        options = self._options
        if callable(body):
            read, limits = body, BodyLimits(options.max_body_bytes, options.body_timeout_seconds)
            try:
                body = yield partial(read, limits)
            except OSError:
                # What reads from a connection raises these: it ended, or nothing came for too long.
                raise BodyCut from None
        raw_body = bytes_of(body, framework)
        if len(raw_body) > options.max_body_bytes:
            raise BodyTooLarge
        return raw_body

    def _read_secrets(self) -> "Work[list[str]]":
        if not callable(self._secrets):
            return check_secrets(self._secrets)
        given = yield self._secrets
        return check_secrets(given, is_called=True)

    def _too_large(self) -> ReceiveOutcome:
        return _refused("body_too_large", f"the body has more than {self._options.max_body_bytes} bytes")

    def _fault(self, error: Exception) -> "Work[ReceiveOutcome]":
        """Of an error that is the receiver's own: a mistake in its code, or something that it needs and does not get."""
        yield from self._report(error, None)
        if isinstance(error, LinkMeUsageError):
            return ReceiveOutcome("misconfigured", code=error.code)
        return self._retry(None, "something that this receiver needs is not there")

    def _take(self, raw_body: bytes) -> "Work[ReceiveOutcome]":
        try:
            event = _read_envelope(raw_body)
        except LinkMeWebhookError as error:
            return _refused("envelope_invalid", str(error))
        known = read_linkme_event(event)
        if known is not None:
            handler = self._handlers.get(event.event)
            if handler is None:
                return ReceiveOutcome("ignored", event)
            return (yield from self._handle(event, partial(handler, known), "processed"))
        why: UnknownWhy = "data" if event.event in EVENT_CLASSES else "type"
        unknown = self._handlers.get("on_unknown")
        if unknown is not None:
            return (yield from self._handle(event, partial(unknown, event, why), "unknown_event"))
        if why == "type" or event.event not in self._handlers:
            return ReceiveOutcome("unknown_event", event)
        # The handler is there and is not called: whoever wrote it has to learn of it.
        return (yield from self._handle(event, partial(_refuse_data, event), "unknown_event"))

    def _handle(
        self, event: LinkMeWebhookEnvelope, call: Callable[[], object], kind: OutcomeKind
    ) -> "Work[ReceiveOutcome]":
        key, owner, options = _key_of(event), uuid.uuid4().hex, self._options
        try:
            begun = yield partial(self._dedupe.begin, key, owner, options.lease_seconds)
        except Exception as error:
            yield from self._report(error, event)
            return self._retry(event, "the dedupe store cannot be reached")
        if begun == "done":
            return ReceiveOutcome("duplicate", event)
        if begun != "fresh":
            return self._retry(event, "it is being handled")
        outcome = ReceiveOutcome(kind, event)
        try:
            yield call
        except LinkMeFinalError as error:
            yield from self._report(error, event)
            outcome = ReceiveOutcome(kind, event, reason=str(error))
        except Exception as error:
            yield from self._report(error, event)
            # What an error says may name things that are nobody's business: it was reported, and stays here.
            delay = error.retry_after_seconds if isinstance(error, LinkMeRetryError) else None
            outcome = self._retry(event, "the handler did not succeed", delay)
        try:
            if outcome.kind == "retry":
                yield partial(self._dedupe.release, key, owner)
            else:
                yield partial(self._dedupe.done, key, options.ttl_seconds)
        except Exception as error:
            # What was done is done: asking for the event again would do it twice. The lease that stays runs out by itself.
            yield from self._report(error, event)
        return outcome

    def _retry(
        self, event: Optional[LinkMeWebhookEnvelope], reason: str, delay: Optional[float] = None
    ) -> ReceiveOutcome:
        seconds = self._options.retry_after_seconds if delay is None else delay
        return ReceiveOutcome("retry", event, reason=reason, retry_after_seconds=seconds)

    def _report(self, error: Exception, event: Optional[LinkMeWebhookEnvelope]) -> "Work[None]":
        handler = self._handlers.get("on_error", _log_error)
        try:
            yield partial(handler, error, event)
        except Exception as failure:
            # What becomes of an event must not depend on whether its error could be told.
            _log.error("LinkMe receiver: on_error raised %s", type(failure).__name__)


def _refused(code: str, reason: str) -> ReceiveOutcome:
    return ReceiveOutcome("refused", code=code, reason=reason)


def _refuse_data(event: LinkMeWebhookEnvelope) -> NoReturn:
    raise LinkMeFinalError(
        f"{event.event} came with data of another form than its handler is promised; on_unknown would get it"
    )


def _read_envelope(raw_body: bytes) -> LinkMeWebhookEnvelope:
    """:raises LinkMeWebhookError: the body is no envelope; the words hold nothing of what was received."""
    try:
        # Strict, as json.loads would guess the encoding of bytes, and takes NaN for a number.
        parsed = json.loads(raw_body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise LinkMeWebhookError("envelope_not_object", "The body is no JSON in UTF-8.") from None
    envelope = parse_linkme_webhook_envelope(parsed)
    if len(envelope.id) > _ID_MAX_CHARS:
        raise LinkMeWebhookError("field_invalid", f'"id" has more than {_ID_MAX_CHARS} characters.', "id")
    return envelope


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _key_of(event: LinkMeWebhookEnvelope) -> str:
    """One key for each event: ids are unique within an app only."""
    parts = (event.app_id or "", event.id, "handler")
    # A lone surrogate is an odd character in an id, and nothing to fail at.
    return ":".join(quote(part, safe="!'()*", errors="surrogatepass") for part in parts)


def _log_error(error: Exception, event: Optional[LinkMeWebhookEnvelope]) -> None:
    """What errors are told to when nobody asks for them: a receiver that fails silently is the worst."""
    where = f" ({event.event} {event.id})" if event is not None else ""
    # The mistakes that this package names need no trace of where it found them.
    trace = None if isinstance(error, LinkMeUsageError) else error
    _log.error("LinkMe receiver%s: %s", where, error, exc_info=trace)
