"""What a study keeps of each of its scores: the score, or why there is none, or that it is being worked on.

Each is a file of its own, written whole or not at all, so that many processes can work in one folder and any may die.
"""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurocompare.files import write_text


@dataclass(frozen=True)
class Cell:
    """One score of a study.

    Attributes:
        benchmark, metric: their names.
        label: of the model.
    """

    benchmark: str
    metric: str
    label: str


@dataclass(frozen=True)
class Cells:
    """The scores in a study's folder.

    Attributes:
        folder: of the study.
    """

    folder: Path

    def score(self, cell: Cell) -> Path:
        """Where its score is, or will be."""
        return self.folder / "scores" / cell.benchmark / cell.metric / f"{cell.label}.nc"

    def failure(self, cell: Cell) -> Path:
        """Where it is said why there is none, if one was tried."""
        return self.folder / "failures" / cell.benchmark / cell.metric / f"{cell.label}.json"

    def is_done(self, cell: Cell) -> bool:
        """Whether there is a score."""
        return self.score(cell).is_file()

    def is_open(self, cell: Cell) -> bool:
        """Whether it is still to do: neither finished nor failed."""
        return not self.is_done(cell) and not self.failure(cell).is_file()

    def fail(self, cell: Cell, error: BaseException) -> None:
        """Keep the reason; what led to it goes beside it."""
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        content = {"reason": reason, "traceback": traceback.format_exception(error)}
        write_text(self.failure(cell), json.dumps(content, indent=1) + "\n")

    def reason(self, cell: Cell) -> str | None:
        """Why it failed; None where it did not."""
        try:
            return str(json.loads(self.failure(cell).read_text(encoding="utf-8"))["reason"])
        except FileNotFoundError:
            return None
        except (OSError, KeyError, json.JSONDecodeError):
            return "unknown: its record is damaged"

    def forgive(self, cell: Cell) -> None:
        """Forget that it failed, so that it is tried again."""
        self.failure(cell).unlink(missing_ok=True)

    def present(self) -> tuple[set[Cell], set[Cell]]:
        """All finished and all failed ones, from one look at the folder."""
        return self._in("scores", ".nc"), self._in("failures", ".json")

    def _in(self, kind: str, suffix: str) -> set[Cell]:
        found: set[Cell] = set()
        for benchmark in _folders(self.folder / kind):
            for metric in _folders(Path(benchmark.path)):
                names = (e.name for e in os.scandir(metric.path) if e.name.endswith(suffix) and e.name[0] != ".")
                found.update(Cell(benchmark.name, metric.name, name.removesuffix(suffix)) for name in names)
        return found

    @contextmanager
    def running(self, label: str) -> Iterator[None]:
        """Note that a model is being worked on here."""
        note = self.folder / "running" / f"{label}.json"
        write_text(note, json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": time.time()}) + "\n")
        try:
            yield
        finally:
            note.unlink(missing_ok=True)

    def at_work(self) -> dict[str, dict[str, Any]]:
        """Models that are being worked on, or were when a process died."""
        found = {}
        for path in (self.folder / "running").glob("[!.]*.json"):
            try:
                found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, json.JSONDecodeError):  # finished meanwhile
                continue
        return found


def _folders(path: Path) -> list[os.DirEntry[str]]:
    return [entry for entry in os.scandir(path) if entry.is_dir()] if path.is_dir() else []
