"""Reads headers, whatever holds them. Called for each request before anything of it is believed."""

from collections.abc import Iterable
from typing import Optional, Protocol, Union, runtime_checkable


@runtime_checkable
class HeaderItems(Protocol):
    """What frameworks call headers; not all of them are a ``Mapping``."""

    def items(self) -> "Iterable[tuple[str, str]]": ...


Headers = Union[HeaderItems, Iterable["tuple[str, str]"]]
"""Headers (a dict of them, too), or pairs of names and values; names in any case."""


def read_headers(headers: Headers) -> "dict[str, Optional[str]]":
    """All headers under their names in lower case.

    ``None`` stands for a header that is there more than once, in whatever case, or is no text: of two values nobody knows
    which one was meant.
    """
    # Frameworks whose mappings hold a name twice give both with items().
    # What comes from outside need not be of the type that it says.
    pairs: "Iterable[tuple[str, object]]" = headers.items() if isinstance(headers, HeaderItems) else headers
    found: "dict[str, Optional[str]]" = {}
    for name, value in pairs:
        lower = name.lower()
        if value is not None:
            found[lower] = value if isinstance(value, str) and lower not in found else None
    return found
