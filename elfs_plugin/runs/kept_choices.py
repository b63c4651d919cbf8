"""What a run keeps of a coreset by any method: the order of choice, and which chosen image stands for each.

One file for each tag in the run's folder, 32 bytes for each sample, which the record names with the tag
(``saved[tag]["choice"]``), so that it is never taken for another choice. A coreset without one has lost no more than
its reasons.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checkpoints import fingerprint
from ..contracts import AnyPath, Array, Integers
from ..files import keep

if TYPE_CHECKING:
    from ..selectors import Selection
    from .run import Run

logger = logging.getLogger(__name__)

NOT_CHOSEN, LABELLED = -1, -2
_NAME = re.compile(r"choice-[0-9a-f]{12}\.npz")


@dataclass(frozen=True)
class KeptChoice:
    """``ids`` (N,) bytes in order; ``place`` (N,) of each in the order of choice from 0, :data:`NOT_CHOSEN` or
    :data:`LABELLED`; ``represented_by`` (N,) the row of the one that stands for each, -1 for none, or None of a method
    that knows of no such thing."""

    ids: Array
    place: Integers
    represented_by: Integers | None

    @cached_property
    def chosen(self) -> list[str]:
        """Ids in order of choice."""
        rows = np.flatnonzero(self.place >= 0)
        return self._texts(rows[np.argsort(self.place[rows])])

    def reason(self, sample_id: str) -> str | None:
        """Why a sample is in or out, in a sentence; None for one that could not be chosen from."""
        row = self._row(sample_id)
        if row is None:
            return None
        place = int(self.place[row])
        if place == LABELLED:
            return "labelled already when this was chosen"
        if place == NOT_CHOSEN:
            return f"not chosen{self._by_whom(row)}"
        others = "" if self.represented_by is None else f": it stands for {self._stands_for(row):,} other images"
        return f"number {place + 1:,} of {int(self.place.max()) + 1:,}{others}"

    def group(self, sample_id: str) -> list[str]:
        """Ids of the one that stands for a sample, or the sample itself if none does or it was chosen, and then of all
        that it stands for."""
        row = self._row(sample_id)
        if row is None:
            return []
        if self.represented_by is None:
            return [str(sample_id)]
        first = row if self.place[row] >= 0 or self.represented_by[row] < 0 else int(self.represented_by[row])
        rows = np.flatnonzero(self.represented_by == first)
        return self._texts([first, *rows[rows != first].tolist()])

    def _stands_for(self, row):
        return int((self.represented_by == row).sum()) - int(self.represented_by[row] == row)

    def _by_whom(self, row):
        if self.represented_by is None:
            return ""
        by = int(self.represented_by[row])
        if by < 0:
            return ": no chosen image is near it"
        state = "the labelled image " if self.place[by] == LABELLED else ""
        return f": {state}{self._texts([by])[0]} stands for it"

    def _row(self, sample_id):
        wanted = np.array(str(sample_id).encode(), dtype=self.ids.dtype)
        row = int(np.searchsorted(self.ids, wanted))
        return row if row < len(self.ids) and self.ids[row] == wanted else None

    def _texts(self, rows):
        return self.ids[rows].astype(str).tolist()


def save(folder: AnyPath, ids: Array, selection: Selection, locked: Iterable[int] = ()) -> str | None:
    """Writes the choice from samples with these ids (N,), in any order. Returns its token, or None where the disk
    refuses it, which is no reason to stop.

    Args:
        locked: indices of the samples that were labelled already
    """
    ids = np.asarray(ids).astype("S24")
    order = np.argsort(ids, kind="stable")
    row = np.empty(len(ids), dtype=np.int32)
    row[order] = np.arange(len(ids), dtype=np.int32)
    place = np.full(len(ids), NOT_CHOSEN, dtype=np.int32)
    place[row[list(locked)]] = LABELLED
    place[row[selection.indices]] = np.arange(len(selection.indices))
    by = selection.represented_by
    arrays: dict[str, Any] = {"ids": ids[order], "place": place}
    if by is not None:
        arrays["represented_by"] = np.where(by < 0, -1, row[by])[order].astype(np.int32)
    token = fingerprint(*arrays.values())[:12]  # the same choice has the same file
    return token if keep(_path(folder, token), lambda file: np.savez(file, **arrays)) else None


def load(run: Run, tag: str) -> KeptChoice | None:
    """What a run has kept of the coreset with a tag, or None."""
    token = run.record.saved.get(tag, {}).get("choice") if run.record else None
    if not isinstance(token, str) or not _NAME.fullmatch(f"choice-{token}.npz"):
        return None
    path = _path(run.folder, token)
    try:
        with np.load(path, allow_pickle=False) as file:
            by: Any = file["represented_by"] if "represented_by" in file else None
            return KeptChoice(file["ids"], file["place"], by)
    except FileNotFoundError:
        return None
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive raises nearly anything; the tag is on the samples
        logger.warning("%s cannot be read (%s); no reasons are shown.", path, error)
        return None


def remove_others(folder: AnyPath, tokens: Iterable[str | None]) -> None:
    """Removes the files that do not belong to the record any more."""
    kept = {_path(folder, token) for token in tokens if token}
    for path in Path(folder).glob("choice-*.npz"):
        if _NAME.fullmatch(path.name) and path not in kept:
            with contextlib.suppress(OSError):
                path.unlink()


def _path(folder, token):
    return Path(folder, f"choice-{token}.npz")
