"""Verify and read LinkMe webhooks. The words are those of the Node SDK.

Nothing beyond the standard library, but for signatures of Ed25519: those need the package ``cryptography``.
"""

from .ed25519 import select_linkme_webhook_keys, verify_linkme_webhook_ed25519
from .envelope import LinkMeWebhookEnvelope, parse_linkme_webhook_envelope
from .errors import LinkMeUsageError, LinkMeWebhookError
from .signature import verify_linkme_webhook_signature

__all__ = [
    "LinkMeUsageError",
    "LinkMeWebhookEnvelope",
    "LinkMeWebhookError",
    "parse_linkme_webhook_envelope",
    "select_linkme_webhook_keys",
    "verify_linkme_webhook_ed25519",
    "verify_linkme_webhook_signature",
]
