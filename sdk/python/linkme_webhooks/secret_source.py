"""The secrets of a receiver: a text, several, or a function for those that exist only while it runs.

A receiver without a secret is a mistake that is named, never one that verifies nothing.
"""

from collections.abc import Awaitable, Sequence
from typing import Callable, Optional, Union

from .errors import LinkMeUsageError

Secret = Union[str, Sequence[str]]
"""The signing secret of the webhook, whole (``whsec_…``); during a rotation, all secrets to accept."""

SecretSource = Union[Secret, Callable[[], Union[Optional[Secret], Awaitable[Optional[Secret]]]]]
"""A function is called for each request, so that a secret may come from a place that is filled only at run time, or
changes. Let it keep what costs time."""

# More are a mistake, and each costs two HMACs for each request.
_SECRETS_MAX = 16


def check_secrets(given: object, is_called: bool = False) -> "list[str]":
    """The secrets that are given.

    :param is_called: Whether a function returned them, for the words of the error.
    :raises LinkMeUsageError: ``secret_missing``: there is none, or one is empty.
    """
    # bytes are a sequence too, of numbers, and so are refused below.
    secrets = [given] if isinstance(given, str) else list(given) if isinstance(given, Sequence) else []
    usable = [one for one in secrets if isinstance(one, str) and one.strip()]
    if usable and len(usable) == len(secrets) <= _SECRETS_MAX:
        return usable
    where = "The function that was given as secrets returned" if is_called else "secrets holds"
    what = "no signing secret"
    if len(secrets) > 1:
        what = "an empty secret beside others" if len(secrets) <= _SECRETS_MAX else f"more than {_SECRETS_MAX} secrets"
    raise LinkMeUsageError(
        "secret_missing",
        f"{where} {what}, so nothing can be verified. Give the signing_secret of the webhook (whsec_…), as a text or a "
        "list: is the environment variable that holds it set? A secret that exists only at run time is given as a "
        'function, secrets=lambda: os.environ["LINKME_WEBHOOK_SECRET"].',
    )


def find_secret_fault(secrets: "list[str]") -> Optional[LinkMeUsageError]:
    """A likely reason why no signature fits, or ``None``: a secret with white space around it.

    It is not removed, as it is part of the key where it was meant.
    """
    if all(secret == secret.strip() for secret in secrets):
        return None
    is_broken = any(secret.endswith(("\r", "\n")) for secret in secrets)
    return LinkMeUsageError(
        "secret_whitespace",
        f"A signature did not fit, and a secret {'ends with a line break' if is_broken else 'has white space around it'}, "
        'which is part of the key. Store it again without: printf %s "$SECRET" instead of echo, or give '
        'secrets=lambda: os.environ["LINKME_WEBHOOK_SECRET"].strip().',
    )
