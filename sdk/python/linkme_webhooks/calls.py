"""Lets one text of a receiver serve both worlds: it yields each call of somebody else's code, and is sent the result.

``run`` makes the calls at once, for WSGI; ``run_async`` waits for coroutines, and makes the other calls in a thread, so that
a handler that waits for its database does not hold up the event loop.
"""

import asyncio
import inspect
from collections.abc import Generator
from typing import Any, Callable, TypeVar

from .errors import LinkMeUsageError

Result = TypeVar("Result")
Call = Callable[[], Any]
Work = Generator[Call, Any, Result]
"""Yields calls without arguments, and is sent what they return or thrown what they raise."""


def run(work: "Work[Result]") -> Result:
    """Makes every call in this thread."""
    try:
        call = next(work)
        while True:
            try:
                value = _call(call)
            except Exception as error:
                call = work.throw(error)
            else:
                call = work.send(value)
    except StopIteration as end:
        result: Result = end.value
        return result


async def run_async(work: "Work[Result]") -> Result:
    """Waits for every call that is a coroutine, and makes the others in threads."""
    try:
        call = next(work)
        while True:
            try:
                value = await _call_async(call)
            except Exception as error:
                call = work.throw(error)
            else:
                call = work.send(value)
    except StopIteration as end:
        result: Result = end.value
        return result


def _call(call: Call) -> object:
    value = call()
    if not inspect.isawaitable(value):
        return value
    if inspect.iscoroutine(value):
        # Otherwise Python warns that nobody waited for it.
        value.close()
    raise LinkMeUsageError(
        "handler_async",
        "A coroutine was given where nobody can wait for one: write def instead of async def, or call receive_async, as "
        "the adapter for FastAPI does.",
    )


async def _call_async(call: Call) -> object:
    # A partial of a coroutine function is one, too: nothing of it would run in the thread.
    value = call() if inspect.iscoroutinefunction(call) else await asyncio.to_thread(call)
    return await value if inspect.isawaitable(value) else value
