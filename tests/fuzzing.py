"""Whatever a user hands over is read, or refused by an error that says why: how tests make such things up at random.

The same ones are made every time. What was accepted has to keep a promise, or the error would hide what went wrong.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written_study import NETWORK, SHAPE

from neurocompare.errors import InputError
from neurocompare.networks import build
from neurocompare.stimuli import ImagePreprocess

T = TypeVar("T")
FUZZ = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class RefusedError(Exception):
    """What was made up is refused by a clean error, and that is the end of the example."""


def fuzz(examples: int, *strategies: st.SearchStrategy) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test on so many examples, drawn for its last arguments, each of which may be refused."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @settings(FUZZ, max_examples=examples)
        @given(*strategies)
        @functools.wraps(test)
        def one_example(*args: Any, **kwargs: Any) -> None:
            with contextlib.suppress(RefusedError):
                test(*args, **kwargs)

        return one_example

    return decorate


def accepted(call: Callable[[], T]) -> T:
    """What a call gives, if it does not refuse; any error but a clean one fails the test."""
    try:
        return call()
    except InputError as error:
        assert 10 < len(str(error)) < 5000
        raise RefusedError from error


EXTREME = st.sampled_from([0, -1, 2**31, 2**63, -(2**63) - 1, 10**300, math.inf, -math.inf, math.nan, 1e-320, -0.0])
PLAIN = st.one_of(
    EXTREME, st.integers(), st.floats(), st.booleans(), st.text(max_size=8), st.just("digits"), st.dates()
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ID = st.sampled_from(["a", "b", "c", "é", "", " ", "a\0", "<b>", "\U0001f600"]) | st.text(max_size=3)


def same(a: object, b: object) -> bool:
    return repr(a) == repr(b)  # where NaN is itself


LOOK = ImagePreprocess(8, 8, (0.3,), (0.4,))
NET = build({**NETWORK, **SHAPE, "seed": 0})
