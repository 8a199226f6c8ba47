"""How a long step tells the caller where it is, without the library printing anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Wraps an iterable so that its progress is shown; the command line passes one that draws a bar."""

    def __call__(self, items: Iterable[T], description: str, total: int) -> Iterator[T]: ...


def silent(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """The default: iterate and show nothing."""
    yield from items
