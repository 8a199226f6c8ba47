"""The two errors that a user can mend; the command line shows either as one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What was asked for cannot be done as asked: the message says what was needed, what came, what to do."""


class DataUnavailable(InputError):
    """A data file is in no place that was looked at, or is not what it should be."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """An error for a name that no registry holds, with the nearest names that one does.

    Args:
        kind: what the name should have been, as a noun ("rule", "benchmark").
        name: what was given.
        known: the names that exist.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are: {', '.join(known) or 'none'}"
    return InputError(f"unknown {kind} {name!r}; {hint}")
