"""A user's own model: made by a function in a Python file, with preprocessing of the user's choice."""

from __future__ import annotations

import importlib.util
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from neurocompare.errors import InputError, unknown_name
from neurocompare.model import Model
from neurocompare.stimuli import ImagePreprocess

HOW = "a model of your own is given as path/to/file.py:function"


def function_of(file: Path, name: str) -> Callable[[], object]:
    """The function of that name in a Python file, which is executed.

    Raises:
        InputError: no Python file, no such function, or one that cannot be called without arguments.
    """
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} is not a Python file; {HOW}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    functions = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
    if name not in functions:
        raise unknown_name(f"function of {file}", name, functions)
    function = getattr(module, name)
    needed = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty and p.kind < 2]
    if needed:
        raise InputError(
            f"{name} of {file} cannot be called without {', '.join(needed)}; "
            "give a function without arguments that returns the model"
        )
    return function


def with_preprocess(
    model: Model,
    *,
    side: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Model:
    """The model with other inputs; what is None stays as it is.

    Args:
        model: its preprocessing must be an ``ImagePreprocess``.
        side: height and width of the input, in pixels.
        mean, std: one per channel (one means grey), in units of [0, 1]; standard deviations above 0.
    Raises:
        InputError: the model prepares its inputs in another way, or the numbers do not fit.
    """
    if side is None and mean is None and std is None:
        return model
    old = model.preprocess
    if not isinstance(old, ImagePreprocess):
        raise InputError(
            f"side, mean and std belong to an ImagePreprocess, but {model.name!r} prepares its inputs by a "
            f"{type(old).__name__}; set them there"
        )
    mean, std = tuple(old.mean if mean is None else mean), tuple(old.std if std is None else std)
    if len(mean) != len(std) or len(mean) not in (1, 3):
        raise InputError(
            f"mean and std need one number for each of 3 channels, or one for grey; there came {len(mean)} for the mean "
            f"and {len(std)} for the standard deviation; give both"
        )
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise InputError(f"mean must be finite and std above 0, in units of [0, 1]; there came {mean} and {std}")
    if side is not None and side < 1:
        raise InputError(f"side must be at least 1 pixel; there came {side}")
    height, width = (old.height, old.width) if side is None else (side, side)
    return replace(model, preprocess=ImagePreprocess(height, width, mean, std))
