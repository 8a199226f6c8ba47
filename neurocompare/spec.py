"""The content of a study file, validated."""

from __future__ import annotations

import reprlib
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neurocompare.controls import controls_of
from neurocompare.errors import InputError, unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


Seed = Annotated[int, Field(ge=0, lt=2**31)]  # a score's file keeps it in 32 bits


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(_Strict):
    """How every network is trained.

    Attributes:
        epochs, batch_size: as ``train`` takes them.
        items: of the dataset to use, at most, in either split; all by default.
        test_items: to test on, at most, where that should be fewer.
        snapshots: after how many steps networks are scored, too, beside when training is over.
        learning_rate: by rule; a rule that is not named uses its own default.
    """

    epochs: Annotated[int, Field(ge=1)] = 5
    batch_size: Annotated[int, Field(ge=1)] = 128
    items: Annotated[int, Field(ge=1)] | None = None
    test_items: Annotated[int, Field(ge=1)] | None = None
    snapshots: tuple[Annotated[int, Field(ge=0)], ...] = ()
    learning_rate: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}


class StudySpec(_Strict):
    """The validated content of a study file.

    Attributes:
        name: of the study.
        dataset: a key of ``LOADERS``.
        modality: what networks and brains are shown.
        rules, controls: keys of ``RULES`` and ``CONTROLS`` (names are checked when a ``Study`` is made of it); every
            control for the modality unless some are named.
        regions: each benchmark's region is also a model of other recordings with the same stimuli.
        seeds: each makes one network per rule, its feedback weights and its order of data.
        network: an architecture and its arguments; input shape and classes come from the dataset.
        training: see ``Training``.
        rule_settings: arguments of a rule, by rule.
        benchmarks: the metrics to score, by benchmark.
    """

    name: str
    modality: Literal["image", "sound"] = "image"
    dataset: str
    rules: tuple[str, ...] = ()
    controls: tuple[str, ...] | None = None
    regions: bool = True
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    network: dict[str, Any] = {"architecture": "convnet"}
    training: Training = Training()
    rule_settings: dict[str, dict[str, Any]] = {}
    benchmarks: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]

    @property
    def all_controls(self) -> tuple[str, ...]:
        """Those that are named, or else every one for the modality."""
        return controls_of(self.modality) if self.controls is None else self.controls

    def quick(self) -> StudySpec:
        """A small version: one epoch of at most 5,000 items, two seeds, and no snapshots."""
        fewer = {"epochs": 1, "items": min(self.training.items or 5000, 5000), "snapshots": ()}
        training = self.training.model_copy(update=fewer)
        name = f"{self.name} (quick)"
        return self.model_copy(update={"name": name, "seeds": self.seeds[:2], "training": training})


def read_spec(path: Path) -> StudySpec:
    """Read and validate a study file.

    Raises:
        InputError: there is no such file, it is not TOML, a key is misspelt, or a value is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # also a number of 5,000 digits, or 1,000 brackets
        raise InputError(f"cannot read the study {path}: {error}") from error
    try:
        spec = StudySpec.model_validate(content)
        spec.model_dump_json()  # as its folder will keep it
    except ValidationError as error:
        raise _first_problem(path, error) from error
    except ValueError as error:
        raise InputError(f"cannot write the study {path} as JSON: {error}") from error
    return spec


def builtin_spec(name: str) -> StudySpec:
    """A study that ships with the package: ``first_light``, ``hearing``, or ``offline`` for machines without data."""
    with resources.as_file(resources.files("neurocompare") / "studies" / f"{name}.toml") as path:
        return read_spec(path)


def _first_problem(path: Path, error: ValidationError) -> InputError:
    problem = error.errors()[0]
    *parents, key = map(str, problem["loc"])
    if problem["type"] == "extra_forbidden":
        fields = Training.model_fields if parents == ["training"] else StudySpec.model_fields
        return InputError(f"{path}: {unknown_name('key', key, fields)}")
    return InputError(
        f"{path}: {'.'.join([*parents, key])}: {problem['msg']} (got {reprlib.repr(problem.get('input')):.80})"
    )
