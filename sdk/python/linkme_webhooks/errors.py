"""The two errors of this package, each with a closed set of stable codes.

The first is about what was received; the second is about how this package was called, so it belongs in a log and
never in an answer.
"""

from typing import Optional


class LinkMeWebhookError(ValueError):
    """What was received is not a LinkMe webhook.

    ``code`` is ``envelope_not_object``, ``field_missing``, ``field_invalid`` or ``key_document_invalid``; ``field``
    names the offending member, if it is one member's fault.
    """

    def __init__(self, code: str, message: str, field: Optional[str] = None) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class LinkMeUsageError(TypeError):
    """A mistake in the code or the configuration of the receiver; the message says how to mend it.

    ``code`` is ``raw_body_parsed``, ``raw_body_missing``, ``raw_body_type``, ``secret_missing``, ``key_missing``,
    ``key_invalid`` or ``cryptography_missing``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
