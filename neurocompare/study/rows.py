"""The rows of a study's table, kept together, so that a score which was read once only has its checksum taken again.

Reading ten thousand netCDF files and making a table of each takes minutes; the sha256 of their bytes takes a second. The
file of the rows is no result: where it lacks, is damaged or of another version, all scores are read.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neurocompare import __version__
from neurocompare.cells import Cell, Cells
from neurocompare.files import atomic, sha256_of
from neurocompare.score import DamagedScore, Score

KEPT = "rows.kept"  # in the study's folder: a sha256, and the parquet file that it is of
_PLACE, _DIGEST = "place", "sha256"  # of a score's file


class Rows:
    """The rows of the scores in a study's folder: what ``Score.table`` has, and ``step``, after how many it was scored.

    Args:
        cells: of the study.
    """

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._table = _stored(cells.folder / KEPT)
        self._known = {} if self._table is None else dict(zip(self._table[_PLACE], self._table[_DIGEST], strict=True))
        self._checked: set[Cell] = set()
        self._fresh: list[pd.DataFrame] = []  # not in the table yet
        self._unstored = 0

    def check(self, wanted: Iterable[Cell]) -> dict[Cell, DamagedScore]:
        """Read the scores that were not read before, check the others against what they were; returns the damaged ones."""
        damaged = {}
        for cell in (cell for cell in wanted if cell not in self._checked):
            path = self.cells.score(cell)
            digest, place = sha256_of(path), _place(cell)
            if self._known.get(place) != digest:
                try:
                    score = Score.load(path)
                except DamagedScore as error:
                    damaged[cell] = error
                    continue
                step = pd.array([score.steps] * score.data.sizes["layer"], dtype="Int64")
                self._fresh.append(score.table().assign(step=step, **{_PLACE: place, _DIGEST: digest}))
                self._known[place] = digest
                self._unstored += 1
            self._checked.add(cell)
        return damaged

    def of(self, wanted: Sequence[Cell]) -> pd.DataFrame:
        """The rows of those scores, in their order.

        Raises:
            DamagedScore: one of them is not what was written.
        """
        for error in self.check(wanted).values():
            raise error
        table = self._merged()
        if table is None:
            return pd.DataFrame()
        order = table[_PLACE].map({_place(cell): k for k, cell in enumerate(wanted)}).to_numpy(float)
        chosen = np.argsort(order, kind="stable")[: np.isfinite(order).sum()]  # NaN, of what is not wanted, comes last
        return table.iloc[chosen].drop(columns=[_PLACE, _DIGEST]).reset_index(drop=True)

    def store(self, at_least: int = 1) -> None:
        """Write them into the study's folder, if that lacks so many scores or more."""
        if self._unstored < at_least or (table := self._merged()) is None:
            return
        content = io.BytesIO()
        table.to_parquet(content, index=False)
        with atomic(self.cells.folder / KEPT) as temporary, temporary.open("wb") as stream:
            stream.write(_seal(content.getbuffer()) + content.getbuffer())
        self._unstored = 0

    def _merged(self) -> pd.DataFrame | None:
        """All rows; those of a score that changed in place of what it had before."""
        if self._fresh:
            added = pd.concat(self._fresh, ignore_index=True)
            old = None if self._table is None else self._table[~self._table[_PLACE].isin(added[_PLACE])]
            self._table = added if old is None or old.empty else pd.concat([old, added], ignore_index=True)
            self._fresh = []
        return self._table


def _place(cell: Cell) -> str:
    return f"{cell.benchmark}/{cell.metric}/{cell.label}"


def _seal(content: bytes | memoryview) -> bytes:
    """The sha256 of this version's name and the content, as a line."""
    return hashlib.sha256(__version__.encode() + b"\n" + content).hexdigest().encode() + b"\n"


def _stored(path: Path) -> pd.DataFrame | None:
    """What ``store`` wrote; None where there is none, it is damaged, or another version wrote it."""
    if not path.is_file():
        return None
    seal, _, content = path.read_bytes().partition(b"\n")
    return pd.read_parquet(io.BytesIO(content)) if seal + b"\n" == _seal(content) else None
