"""Verify and read LinkMe webhooks. The words are those of the Node SDK; nothing beyond the standard library."""

from .envelope import LinkMeWebhookEnvelope, parse_linkme_webhook_envelope
from .errors import LinkMeUsageError, LinkMeWebhookError
from .signature import verify_linkme_webhook_signature

__all__ = [
    "LinkMeUsageError",
    "LinkMeWebhookEnvelope",
    "LinkMeWebhookError",
    "parse_linkme_webhook_envelope",
    "verify_linkme_webhook_signature",
]
