"""For FastAPI, and for Starlette on which it is built. Imports Starlette, which the program that uses this has."""

import asyncio
from collections.abc import Awaitable
from typing import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from .raw_body import BodyCut, BodyLimits, BodyTooLarge, BodyTooSlow, missing_body_error
from .receiver import Receiver


def to_fastapi_endpoint(receiver: Receiver) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for a route. It reads the body by itself, up to the limit of the receiver.

    Handlers may be coroutines; those that are none run in threads. A body that something else has read is answered 500,
    and ``on_error`` is told what to change.

    Use it as ``app.add_api_route("/webhooks/linkme", to_fastapi_endpoint(receiver), methods=["POST"])``.
    """

    async def linkme_webhook(request: Request) -> Response:
        async def read(limits: BodyLimits) -> bytes:
            return await _read(request, limits)

        # All pairs: a header that is there twice is seen twice.
        received = await receiver.receive_async(request.method, request.headers.items(), read, "fastapi")
        return Response(received.body, received.status, received.headers)

    return linkme_webhook


async def _read(request: Request, limits: BodyLimits) -> bytes:
    try:
        return await asyncio.wait_for(_collect(request, limits.max_bytes), limits.timeout_seconds)
    except asyncio.TimeoutError:
        raise BodyTooSlow from None
    except ClientDisconnect:
        raise BodyCut from None


async def _collect(request: Request, max_bytes: int) -> bytes:
    chunks = request.stream()
    body = bytearray()
    try:
        while True:
            try:
                # Only this call: a RuntimeError says that the stream was consumed by somebody else.
                chunk = await chunks.__anext__()
            except StopAsyncIteration:
                return bytes(body)
            except RuntimeError:
                raise missing_body_error("fastapi") from None
            body += chunk
            if len(body) > max_bytes:
                raise BodyTooLarge
    finally:
        await chunks.aclose()
