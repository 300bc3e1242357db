"""Verify, read and receive LinkMe webhooks. The words are those of the Node SDK.

Nothing beyond the standard library, but for signatures of Ed25519: those need the package ``cryptography``. The adapters
``linkme_webhooks.fastapi``, ``.flask`` and ``.django`` import their framework, and are imported by nothing else.
"""

from .answer import OutcomeKind, Received, ReceiveOutcome
from .dedupe import BeginAnswer, DedupeStore, MemoryDedupe
from .ed25519 import select_linkme_webhook_keys, verify_linkme_webhook_ed25519
from .envelope import LinkMeWebhookEnvelope, parse_linkme_webhook_envelope
from .errors import LinkMeFinalError, LinkMeRetryError, LinkMeUsageError, LinkMeWebhookError
from .events import (
    LinkAppOpenData,
    LinkAppOpenEvent,
    LinkClaimData,
    LinkClaimEvent,
    LinkClickData,
    LinkClickEvent,
    LinkDeferredClaimAttemptData,
    LinkDeferredClaimAttemptEvent,
    LinkMeAttemptReason,
    LinkMeClaimType,
    LinkMeEvent,
    LinkMeEventType,
    LinkMeGoogleIds,
    LinkMePlatform,
    LinkMeSurroundings,
    LinkTokenCreatedData,
    LinkTokenCreatedEvent,
)
from .raw_body import BodyLimits
from .read_event import read_linkme_event
from .receiver import Receiver
from .sign_test_payload import SignedPayload, sign_test_payload
from .signature import verify_linkme_webhook_signature

__all__ = [
    "BeginAnswer",
    "BodyLimits",
    "DedupeStore",
    "LinkAppOpenData",
    "LinkAppOpenEvent",
    "LinkClaimData",
    "LinkClaimEvent",
    "LinkClickData",
    "LinkClickEvent",
    "LinkDeferredClaimAttemptData",
    "LinkDeferredClaimAttemptEvent",
    "LinkMeAttemptReason",
    "LinkMeClaimType",
    "LinkMeEvent",
    "LinkMeEventType",
    "LinkMeFinalError",
    "LinkMeGoogleIds",
    "LinkMePlatform",
    "LinkMeSurroundings",
    "LinkMeRetryError",
    "LinkMeUsageError",
    "LinkMeWebhookEnvelope",
    "LinkMeWebhookError",
    "LinkTokenCreatedData",
    "LinkTokenCreatedEvent",
    "MemoryDedupe",
    "OutcomeKind",
    "ReceiveOutcome",
    "Received",
    "Receiver",
    "SignedPayload",
    "parse_linkme_webhook_envelope",
    "read_linkme_event",
    "select_linkme_webhook_keys",
    "sign_test_payload",
    "verify_linkme_webhook_ed25519",
    "verify_linkme_webhook_signature",
]
