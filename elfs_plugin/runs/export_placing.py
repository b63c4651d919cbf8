"""How every export comes to be: made beside its target, moved there when it is whole, what is missing listed."""

import contextlib
import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import csv_cells
from ..errors import ElfsError, InvalidInput
from .export_receipt import (
    MISSING_COLUMNS,
    beside,
    forget_list,
    is_list,
    is_missing_list,
    new_receipt,
    receive_list,
)
from .export_staging import Staging
from .export_target import why_not

Missing = tuple[str, str, str]
"""An image that could not be read: its path, its sample's id, the reason."""


@dataclass(frozen=True)
class Placed:
    """What an export has written: ``exported`` is what its writer counted; ``missing_list`` names the file that lists
    the ``missing`` images, ``kept`` a folder with files that somebody else added meanwhile, each or None."""

    exported: int
    missing: list[Missing]
    missing_list: str | None
    kept: str | None


def place(
    target: Path,
    images: Iterable[tuple[str, str]],
    write: Callable[[Path], tuple[int, dict[str, str]]],
    *,
    as_list: bool,
    overwrite: bool,
    about: Mapping[str, Any],
    field: str,
) -> Placed:
    """Lets ``write(path)`` make a file or a folder, and puts it in the place of ``target``.

    Args:
        target: from :func:`~.export_target.check_target`
        images: (sample id, path) of all that should be exported
        write: returns how many it has exported, and the paths that it could not read with the reasons
        as_list: whether it is one file rather than a folder
        overwrite: whether an earlier export may be replaced
        about: what the receipt says besides
        field: whose the message is when no image can be read

    Raises:
        InvalidInput: when no image can be read
        ElfsError: when there is no room, or the target was written to meanwhile; nothing there is changed then
    """
    with _folders_above(target):
        try:
            with Staging(target) as staging:
                exported, missing = write(staging.new)
                found = [(path, i, missing[path]) for i, path in images if path in missing]
                refuse_missing(exported, found, field)
                if as_list:
                    _place_list(staging, overwrite, about)
                else:
                    staging.place_folder(new_receipt(staging.new, **about), overwrite=overwrite)
                missing_list = _place_missing(found, staging, overwrite)
        except OSError as error:
            raise ElfsError(why_not(error, target)) from error
    return Placed(exported, found, missing_list, staging.kept)


def refuse_missing(exported: int, missing: Sequence[Missing], field: str) -> None:
    """Raises :class:`InvalidInput` when nothing was exported."""
    if not exported:
        path, _, reason = missing[0]
        raise InvalidInput(
            f"None of the {len(missing):,} images can be read ({path}: {reason}). Nothing was exported; check that "
            "their disk is there.",
            field,
        )


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a new CSV file in which no cell is a formula."""
    with open(path, "x", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(csv_cells.row(row) for row in rows)


def _place_list(staging, overwrite, about):
    receive_list(staging.target, staging.new, **about)
    try:
        staging.place_file(staging.new, staging.target, is_list if overwrite else None)
    except BaseException:
        forget_list(staging.target)
        raise


@contextlib.contextmanager
def _folders_above(target: Path) -> Iterator[None]:
    """Creates the missing folders above a target, and removes them again when the block fails."""
    created: list[Path] = []
    try:
        for folder in reversed([parent for parent in target.parents if not parent.exists()]):
            folder.mkdir()
            created.append(folder)
    except OSError as error:
        _remove_empty(created)
        raise InvalidInput(why_not(error, target), "path") from None
    try:
        yield
    except BaseException:
        _remove_empty(created)
        raise


def _remove_empty(folders):
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _place_missing(found, staging, overwrite):
    """Puts the list of missing images beside the target, under a name that is free. Returns its path, or None."""
    target = staging.target
    stem = target.with_suffix("") if target.suffix.lower() == ".csv" else target
    place = beside(stem, ending=".missing.csv")
    if not found:
        if overwrite and is_missing_list(place):  # of the export that is replaced
            os.unlink(place)
        return None
    write_rows(staging.missing, MISSING_COLUMNS, found)
    number = 1
    while os.path.lexists(place) and not (overwrite and is_missing_list(place)):
        number += 1
        place = beside(stem, ending=f".missing-{number}.csv")
    staging.place_file(staging.missing, place, is_missing_list if overwrite else None)
    return str(place)
