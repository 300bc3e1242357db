"""The errors of this package, and the two that handlers may raise.

The first two have a closed set of stable codes each: one is about what was received, the other about how this package was
called, so it belongs in a log and never in an answer. The last two decide what becomes of an event.
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

    ``code`` is ``raw_body_parsed``, ``raw_body_missing``, ``raw_body_type``, ``secret_missing``, ``secret_whitespace``,
    ``key_missing``, ``key_invalid``, ``cryptography_missing``, ``receiver_option``, ``handler_twice`` or
    ``handler_async``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LinkMeFinalError(Exception):
    """Raised by a handler: this event cannot be handled, and sending it again would not help.

    It is answered 200 and told to ``on_error``.
    """


class LinkMeRetryError(Exception):
    """Raised by a handler that knows when the next attempt may work.

    ``retry_after_seconds`` is what ``Retry-After`` asks for, rounded up.
    """

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
