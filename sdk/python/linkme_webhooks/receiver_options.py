"""The bounds of a receiver, checked when it is made: a mistake is found at the start of the program."""

import math
from dataclasses import asdict, dataclass

from .errors import LinkMeUsageError


@dataclass(frozen=True)
class ReceiverOptions:
    """As ``Receiver`` describes them."""

    tolerance_seconds: float
    max_body_bytes: int
    body_timeout_seconds: float
    lease_seconds: float
    ttl_seconds: float
    retry_after_seconds: float


def check_options(options: ReceiverOptions) -> ReceiverOptions:
    """:raises LinkMeUsageError: ``receiver_option``"""
    for name, value in asdict(options).items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not value > 0 or not math.isfinite(value):
            raise LinkMeUsageError(
                "receiver_option",
                f"{name} must be a number above 0, and the window for replays has no way to be off.",
            )
    return options
