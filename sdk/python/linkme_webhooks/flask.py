"""For Flask. Imports it, which the program that uses this has."""

from typing import Callable

from flask import Response, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from .raw_body import BodyCut, BodyLimits, BodyTooLarge, missing_body_error
from .receiver import Receiver


def to_flask_view(receiver: Receiver) -> Callable[[], Response]:
    """A view function. It reads the body by itself, or takes what ``request.get_data()`` has kept.

    Handlers are ``def`` and no coroutines. A body that something else has read is answered 500, and ``on_error`` is told
    what to change.

    Use it as ``app.add_url_rule("/webhooks/linkme", view_func=to_flask_view(receiver), methods=["POST"])``.
    """

    def linkme_webhook() -> Response:
        received = receiver.receive(request.method, request.headers, _read, "flask")
        return Response(received.body, received.status, received.headers)

    return linkme_webhook


def _read(limits: BodyLimits) -> bytes:
    try:
        # get_data() alone would read a body of unknown length to its end, however long it is.
        body = _read_stream(limits.max_bytes) or request.get_data()
    except RequestEntityTooLarge:
        raise BodyTooLarge from None
    except ClientDisconnected:
        raise BodyCut from None
    if len(body) < (request.content_length or 0):
        # Of a sender that went away there is a part, as a rule; who has read it before leaves nothing.
        raise BodyCut if body else missing_body_error("flask")
    return body


def _read_stream(max_bytes: int) -> bytes:
    body = bytearray()
    while len(body) <= max_bytes:
        chunk = request.stream.read(max_bytes + 1 - len(body))
        if not chunk:
            return bytes(body)
        body += chunk
    raise BodyTooLarge
