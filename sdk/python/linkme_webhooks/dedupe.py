"""Remembers what has been done, so that an event that comes twice is handled once.

In two phases: a lease while somebody is at work, and a mark when it is done. Whoever dies in between leaves a lease that
runs out, and the next delivery is handled.
"""

import threading
import time
from collections.abc import Awaitable
from typing import Callable, Literal, Protocol, Union

BeginAnswer = Literal["fresh", "done", "in_progress"]

_MAX_KEYS_DEFAULT = 10_000


class DedupeStore(Protocol):
    """Where a receiver remembers.

    Every call is atomic over all processes that share the store. A call of ``begin`` that raises is answered 503, so the
    event comes again. Methods may be coroutines where ``receive_async`` calls them.
    """

    def begin(self, key: str, owner: str, lease_seconds: float) -> Union[BeginAnswer, Awaitable[BeginAnswer]]:
        """Takes a lease on a key: ``fresh`` when nobody holds one and the key is not done, or its time is over.

        :param key: ASCII without white space, up to some 1,800 characters; as a rule about 60.
        :param owner: Who asks: 32 hex digits, others for each delivery.
        """
        ...

    def done(self, key: str, ttl_seconds: float) -> Union[None, Awaitable[None]]:
        """Marks a key as done for so long, whoever holds the lease."""
        ...

    def release(self, key: str, owner: str) -> Union[None, Awaitable[None]]:
        """Gives the lease back, so that the next delivery begins at once. A lease of another owner stays."""
        ...


class MemoryDedupe:
    """Remembers within this process and until it ends.

    For tests, for development, and where handling an event twice does no harm. Leases are never forgotten before their
    time: when ``max_keys`` are held at once, ``begin`` raises. Of marks the oldest are forgotten first.

    >>> MemoryDedupe().begin("shop:1:handler", "a", 60)
    'fresh'
    """

    def __init__(self, max_keys: int = _MAX_KEYS_DEFAULT, now: Callable[[], float] = time.time) -> None:
        self._max_keys = max_keys
        self._now = now
        self._lock = threading.Lock()
        # Until when each is held (and by whom) or remembered, in seconds since 1970. The oldest stand first.
        self._leases: "dict[str, tuple[float, str]]" = {}
        self._marks: "dict[str, float]" = {}

    def begin(self, key: str, owner: str, lease_seconds: float) -> BeginAnswer:
        with self._lock:
            now = self._now()
            if self._marks.get(key, 0) > now:
                return "done"
            if self._leases.get(key, (0, ""))[0] > now:
                return "in_progress"
            self._leases.pop(key, None)
            if len(self._leases) >= self._max_keys:
                self._leases = {held: lease for held, lease in self._leases.items() if lease[0] > now}
            if len(self._leases) >= self._max_keys:
                raise RuntimeError(f"{self._max_keys} events are being handled at once")
            self._leases[key] = (now + lease_seconds, owner)
            return "fresh"

    def done(self, key: str, ttl_seconds: float) -> None:
        with self._lock:
            self._leases.pop(key, None)
            self._marks.pop(key, None)
            if len(self._marks) >= self._max_keys:
                del self._marks[next(iter(self._marks))]
            self._marks[key] = self._now() + ttl_seconds

    def release(self, key: str, owner: str) -> None:
        with self._lock:
            if self._leases.get(key, (0, ""))[1] == owner:
                del self._leases[key]
