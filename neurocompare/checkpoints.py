"""Training that was broken off and goes on as if it had not been, and networks as they were along the way.

A checkpoint is one file: what it is, the sha256 of the rest, the settings as a line of JSON, then all that changes while a
network learns. The order of the data is not in it, as it follows from the seed.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurocompare import __version__, parallel
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.files import atomic, sha256_of
from neurocompare.networks import LayeredNet
from neurocompare.rules import Rule

State = dict[str, dict[str, Tensor]]  # of network and rule, by "net" and "rule"
FIRST_LINE = b"a checkpoint of a training by neurocompare\n"
log = logging.getLogger(__name__)


def state_of(net: nn.Module, rule: nn.Module) -> State:
    """Parameters and buffers, copied to main memory."""
    return {
        name: {key: value.detach().to("cpu", copy=True) for key, value in module.state_dict().items()}
        for name, module in (("net", net), ("rule", rule))
    }


def write_state(path: Path, state: State) -> str:
    """Write a state, whole or not at all; returns the file's sha256, which is that of any equal state."""
    with atomic(path) as temporary, temporary.open("wb") as stream:  # given a path, torch writes its name into the file
        torch.save(state, stream)
    return sha256_of(path)


def read_state(path: Path, expected: str) -> State:
    """Read what ``write_state`` wrote.

    Raises:
        DataUnavailable: it is not the file with the ``expected`` sha256.
    """
    found = sha256_of(path) if path.is_file() else "no file"
    if found != expected:
        raise DataUnavailable(
            f"{path} is not what was written: expected sha256 {expected}, found {found}; "
            "delete the folder and train again"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


@dataclass(frozen=True)
class Stored:
    """A state in a file, which is read when it is asked for."""

    path: Path
    sha256: str


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What training had made of a network after some steps.

    Attributes:
        step: how many.
        epoch: as many epochs, a fraction.
        results: of the test split, as a run's record has them.
        source: of ``state``.
    """

    step: int
    epoch: float
    results: Mapping[str, Any]
    source: State | Stored = field(repr=False)

    @property
    def test_accuracy(self) -> float:
        """At that time."""
        return self.results["test_accuracy"]

    def state(self) -> State:
        """Parameters and buffers of the network and the rule at that time; of a loaded run read from its file.

        Raises:
            DataUnavailable: the file is gone, or is not what was written.
        """
        return read_state(self.source.path, self.source.sha256) if isinstance(self.source, Stored) else self.source

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the state into a run's folder; returns what ``load`` makes the snapshot of again."""
        described = {"step": self.step, "epoch": self.epoch, **self.results}
        return {**described, "file_sha256": write_state(_file(folder, self.step), self.state())}

    @classmethod
    def load(cls, folder: Path, description: Mapping[str, Any]) -> Snapshot:
        """The snapshot that ``save`` described; its state is not read yet."""
        results = {**description}
        step, epoch, sha256 = (results.pop(key) for key in ("step", "epoch", "file_sha256"))
        return cls(step, epoch, results, Stored(_file(folder, step), sha256))


def _file(folder: Path, step: int) -> Path:
    return folder / "snapshots" / f"step{step:08d}.pt"


@dataclass
class Progress:
    """All that changes while a network learns.

    Whatever a rule carries from step to step must be in its ``state_dict``.

    Attributes:
        net, rule, optimizer: between two steps.
        noise: the generator of this process.
        losses: of the steps so far.
        snapshots: taken so far.
    """

    net: LayeredNet
    rule: Rule
    optimizer: torch.optim.Optimizer
    noise: torch.Generator
    losses: list[float] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)

    @property
    def step(self) -> int:
        """How many have been taken."""
        return len(self.losses)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values; every process has to ask for it, as each has noise of its own."""
        return {
            "net": self.net.state_dict(),
            "rule": self.rule.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "noise": parallel.gather(self.noise.get_state()),
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "snapshots": [{**vars(s), "results": dict(s.results), "source": s.state()} for s in self.snapshots],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a ``state``."""
        self.net.load_state_dict(state["net"])
        self.rule.load_state_dict(state["rule"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.noise.set_state(state["noise"][parallel.rank()])
        self.losses[:] = state["losses"].tolist()
        self.snapshots[:] = [Snapshot(**fields) for fields in state["snapshots"]]


@dataclass(frozen=True)
class Checkpoint:
    """Where the progress of a training is kept, in case that it is broken off.

    Attributes:
        path: of the file; processes that train together must all see it.
        every: so many steps it is written anew.
        settings: what equal trainings have in common, plain values; the package's version is added.
    """

    path: Path
    every: int
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"a checkpoint is written every so many steps, at least 1, but got {self.every}")
        if self.path.is_dir():
            raise InputError(f"a checkpoint is a file, but {self.path} is a folder; name a file in it")

    def resume(self, progress: Progress) -> None:
        """Go on from the file where there is one; where it is damaged, say so and begin anew.

        Raises:
            InputError: it is of another training, is no checkpoint, or not every process sees it.
        """
        state = self._read() if self.path.is_file() else None
        if state is not None:
            progress.restore(state)
        steps = [int(step) for step in parallel.gather(torch.tensor(progress.step))]
        if len(set(steps)) > 1:
            raise InputError(f"{self.path} must be on a disk that every process sees, but they are at steps {steps}")

    def keep(self, progress: Progress) -> None:
        """Write the file when it is time."""
        if progress.step % self.every:
            return
        state = progress.state()
        if not parallel.is_main():
            return
        content = io.BytesIO()
        content.write(_line(self.settings))
        torch.save(state, content)
        with atomic(self.path) as temporary, temporary.open("wb") as stream:
            stream.write(FIRST_LINE + hashlib.sha256(content.getbuffer()).hexdigest().encode() + b"\n")
            stream.write(content.getbuffer())

    def remove(self) -> None:
        """Training is over."""
        if parallel.is_main():
            self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any] | None:
        content = self.path.read_bytes()
        start = len(FIRST_LINE)
        if content[:start] != FIRST_LINE[: len(content)]:  # never write over what somebody else keeps there
            raise InputError(f"{self.path} is not a checkpoint of a training; choose another path, or delete that file")
        expected, _, rest = content[start:].partition(b"\n")
        if hashlib.sha256(rest).hexdigest().encode() != expected:
            if parallel.is_main():
                log.warning("%s is damaged (its sha256 is not the one in it); training begins anew", self.path)
            return None
        settings, _, payload = rest.partition(b"\n")
        self._compare(json.loads(settings))
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)

    def _compare(self, theirs: Mapping[str, Any]) -> None:
        there, here = _leaves(theirs), _leaves(json.loads(_line(self.settings)))
        differing = [
            f"{key} is {there.get(key)} there and {here.get(key)} here"
            for key in {**here, **there}
            if here.get(key) != there.get(key)
        ]
        if differing:
            raise InputError(
                f"{self.path} is a checkpoint of another training ({'; '.join(differing)}); choose another path, or "
                "delete that file"
            )


def _line(settings: Mapping[str, Any]) -> bytes:
    return json.dumps({"neurocompare": __version__, **settings}).encode() + b"\n"


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values at the ends of nested settings, by dotted name."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
