"""Brings the body of a request into one form: bytes as they were sent.

Where a framework has parsed it already the bytes are gone; the error then says what to change in that framework. Called by
the receiver, and by adapters for their requests.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Callable, Literal, Optional, Union

from .errors import LinkMeUsageError
from .request_signature import utf8

Framework = Literal["fastapi", "flask", "django"]
RawBody = Union[bytes, bytearray, memoryview, str]


@dataclass(frozen=True)
class BodyLimits:
    max_bytes: int
    timeout_seconds: float
    """From the first look at the body to its end. Only what can wait for two things at once heeds it."""


ReadBody = Callable[[BodyLimits], Union[RawBody, None, Awaitable[Optional[RawBody]]]]
"""Reads the body, once the request has passed what needs none."""

_PROMISE = "the signature is over the bytes as they were sent, and printed again they are other bytes"

# Where parsers are, and how each framework lets the bytes through.
_FIXES = {
    "fastapi": (
        "In FastAPI and Starlette let the endpoint take the Request alone, with no model or dict as a parameter, and pass "
        "await request.body(), or register to_fastapi_endpoint(receiver). A middleware that reads request.stream(), "
        "request.form() or receive() must leave this path out."
    ),
    "flask": (
        "In Flask pass request.get_data(), and not request.json or request.get_json(), or register "
        "to_flask_view(receiver). A before_request that reads request.stream or calls get_json(cache=False) or "
        "get_data(cache=False) must leave this path out."
    ),
    "django": (
        "In Django pass request.body, and not json.loads(request.body), request.POST or the request.data of REST "
        "framework, or route to to_django_view(receiver). A middleware that calls request.read() or reads request.POST of a "
        "form must leave this path out."
    ),
}


class BodyTooLarge(Exception):
    """The body is larger than is taken."""


class BodyTooSlow(Exception):
    """The body did not end in time."""


class BodyCut(Exception):
    """The connection ended before the body did."""


def bytes_of(body: object, framework: Optional[Framework]) -> bytes:
    """The bytes of a body; none for an absent one.

    :raises LinkMeUsageError: ``raw_body_parsed``
    """
    if body is None:
        return b""
    if isinstance(body, str):
        return utf8(body)
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    fix = " ".join(_FIXES.values()) if framework is None else _FIXES[framework]
    raise LinkMeUsageError(
        "raw_body_parsed", f"The body was parsed before the receiver got it, but {_PROMISE}. {fix}"
    )


def missing_body_error(framework: Framework) -> LinkMeUsageError:
    """For a body of which nothing, or not everything, is left."""
    what = "Something has read the body before the receiver got it, and has left no bytes"
    return LinkMeUsageError("raw_body_missing", f"{what}, but {_PROMISE}. {_FIXES[framework]}")
