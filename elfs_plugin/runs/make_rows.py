"""Making the companion of a dataset, see :mod:`.companions`, and bringing it up to date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.odm.sample as foos
from bson import ObjectId

from ..contracts import Sink, Verify
from ..errors import InvalidInput, NameTaken
from ..text import is_text
from . import companions, jobs, kinds, own, rows_folder
from .companions import Rows
from .fiftyone_types import Collection, Dataset
from .kinds.base import Found, Making, RowKind

FINDING = "Looking for rows"
TAKING_OVER = "Taking over labels and vectors"
BATCH = 5_000
"""Rows that are written at once."""

LISTED = 1_000
"""Parents without rows that a summary names."""


def make_rows(
    collection: Collection,
    kind: str = "frames",
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Makes the dataset of rows of a source, or brings it up to date: new rows are added, rows that have gone are
    removed, all others stay as they are with their results.

    Nothing of the source is changed.

    Args:
        collection: the source, or a view of it: then only of the samples of the view. Rows of others that the companion
            has already stay
        kind: a key of :data:`~..nouns.KINDS`
        name: of the companion; default: of the one there is, or ``<source>-elfs-<kind>``
        settings: of the kind, see its ``parameters``; default: those that the companion was made with

    Returns:
        ``dataset``, its name; ``kind``; ``rows``, ``added``, ``removed`` and ``parents``, counts; ``left_out``, parent
        id -> why it gave no rows, of at most :data:`LISTED`; ``without_rows``, how many there are; ``unread``, the same
        of parents that cannot be read now and whose rows stay; and what the kind notes. Objects: ``excluded``, reason
        -> how many; ``excluded_objects``, id -> reason; ``bytes`` of the pictures

    Raises:
        InvalidInput: for a source without such rows, or other settings than the companion has
        NameTaken: when the name is that of a dataset which ELFS has not made of this source
    """
    chosen = kinds.kind(kind)
    name, known, asked = check_rows(collection, kind, name, settings)
    source = collection._root_dataset
    parents = _parents(collection)
    rows_folder.remove_orphans()
    operation = f"Making a dataset of {chosen.noun.many}"
    lock = jobs.rows_key(kind)
    stages = {FINDING: 20, TAKING_OVER: 1}
    # The source is left as it was, unless there is something to tell.
    with jobs.job(source, lock, operation, stages, sinks, "rows", keep_success=False) as reporter:
        companion = _create(source, chosen, name, asked) if known is None else known  # an empty one is false
        summary = _fill(source, parents, companion, chosen, asked, reporter)
        reporter.done()
        return summary


def check_rows(
    collection: Collection, kind: str, name: str | None = None, settings: Mapping[str, Any] | None = None
) -> tuple[str, Dataset | None, dict[str, Any]]:
    """What :func:`make_rows` refuses, before any work.

    Returns:
        (the companion's name, the companion where it is there already, the settings with their defaults)

    Raises:
        InvalidInput, NameTaken
    """
    chosen = kinds.kind(kind)
    if collection is None:
        raise InvalidInput("No dataset is open. Open one in the App, or pass one.")
    source = collection._root_dataset
    if companions.rows_of(source) is not None:
        raise InvalidInput(f"'{source.name}' is a dataset of rows itself. Use the dataset that it was made of.")
    name, known = _companion_name(source, chosen, name)
    asked = _settings(chosen, source, settings, known)
    chosen.check_source(_parents(collection), asked)
    return name, known, asked


def settings_of(collection: Collection, kind: str, name: str | None = None) -> dict[str, Any]:
    """The settings of the companion that :func:`make_rows` would bring up to date; none where it would make one."""
    there = companions.companions_of(collection._root_dataset, kind)
    chosen = there[0] if name is None and len(there) == 1 else name
    found = companions.rows_of(fo.load_dataset(chosen)) if chosen in there else None
    return {} if found is None else found.settings


def _parents(collection):
    """The samples of the source that a collection means; of a generated view all."""
    source = collection._root_dataset
    return collection if collection._dataset is source else source


def _companion_name(source, kind, name):
    """(name, the companion where there is one)."""
    there = companions.companions_of(source, kind.name)
    if name is None:
        if len(there) > 1:
            raise InvalidInput(f"There are several datasets of {kind.noun.many}: {', '.join(there)}. Name one.", "name")
        name = there[0] if there else f"{source.name}-elfs-{kind.name}"
    if not isinstance(name, str) or not is_text(name) or not name.strip():
        raise InvalidInput("Give the dataset of rows a name.", "name")
    if name in there:
        return name, fo.load_dataset(name)
    try:
        taken = not fo.core.dataset._validate_dataset_name(name)
    except ValueError:  # FiftyOne cannot take it, or not tell it from another one's
        taken = True
    if taken:
        raise NameTaken(
            f"The name '{name}' cannot be given: a dataset has it, or one that FiftyOne does not tell from it, and it "
            f"was not made of '{source.name}'; or it has no Latin letter or digit. Choose another name.",
            "name",
        )
    return name, None


def _settings(kind, source, settings, known):
    given = dict(settings or {})
    if known is None:
        return kind.settled(source, kind.checked(given))
    before = companions.rows_of(known).settings
    asked = kind.checked({**before, **given})
    different = [name for name, value in asked.items() if before.get(name, value) != value]
    if different:
        listed = ", ".join(f"{name}={before.get(name)}" for name in different)
        raise InvalidInput(
            f"The dataset '{known.name}' was made with {listed}. Leave that as it is, or give the new dataset another "
            "name.",
            different[0],
        )
    return asked


def _create(source, kind, name, settings):
    # Under its name only when it is whole: killed before, FiftyOne forgets it, for it is not persistent.
    dataset = fo.Dataset()
    dataset.media_type = fo.core.media.IMAGE
    dataset.add_sample_field("parent_id", fo.ObjectIdField)
    for field, options in kind.fields.items():
        dataset.add_sample_field(field, **options)
    dataset.create_index("parent_id")
    if "frame_number" in kind.fields:
        # Not a unique one: samples that a user adds have neither.
        dataset.create_index([("parent_id", 1), ("frame_number", 1)])
    folder = rows_folder.new_folder(dataset, source)
    companions.describe(dataset, Rows(kind.name, str(source._doc.id), str(folder), settings, {}))
    dataset.name = name
    dataset.persistent = True
    return dataset


def _fill(source, parents, companion, kind, settings, reporter):
    folder = Path(companions.rows_of(companion).folder)
    making = Making(parents, source, companion, settings, folder, reporter.stage(FINDING))
    writer = _Writer(companion, source, reporter.verify)
    reasons: dict[str, str] = {}
    unread: dict[str, str] = {}
    count = 0
    for found in kind.find(making):
        count += 1
        stay = writer.put(found)
        if found.reason is not None:
            (unread if stay else reasons)[found.parent] = found.reason
    writer.flush()
    gone = writer.remove_gone(kind, folder)
    making.progress = reporter.stage(TAKING_OVER)
    reporter.verify()
    kind.carry(making)
    with jobs.changing(companion):
        companion._reload(hard=True)
        left_out = dict(Counter(reasons.values()))
        described = Rows(kind.name, str(source._doc.id), str(folder), settings, left_out)
        companions.describe(companion, described)
    own.refresh(companion)
    if reasons:
        reporter.warn(f"{len(reasons):,} of {count:,} gave no {kind.noun.many}: {_listed(left_out)}.")
    if unread:
        reporter.warn(
            f"{len(unread):,} of {count:,} cannot be read now; their {kind.noun.many} stay as they are: "
            f"{_listed(Counter(unread.values()))}."
        )
    excluded = making.notes.get("excluded")
    if excluded:
        reporter.warn(f"{kind.noun.count(sum(excluded.values()))} left out: {_listed(excluded)}.")
    return {
        "dataset": companion.name,
        "kind": kind.name,
        "rows": companion.count(),
        "added": writer.added,
        "removed": gone,
        "parents": count,
        "without_rows": len(reasons),
        "left_out": dict(list(reasons.items())[:LISTED]),
        "unread": dict(list(unread.items())[:LISTED]),
        **making.notes,
    }


def _listed(reasons):
    return "; ".join(f"{count:,}: {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))


class _Writer:
    """Puts the rows of one parent after another into the companion, those that it lacks."""

    def __init__(self, companion: Dataset, source: Dataset, verify: Verify) -> None:
        self._companion, self._source, self._verify = companion, source, verify
        self._known: dict[str, set[ObjectId]] = {}
        for row in companion._sample_collection.find({"_parent_id": {"$ne": None}}, {"_parent_id": 1}):
            self._known.setdefault(str(row["_parent_id"]), set()).add(row["_id"])
        self._gone: list[ObjectId] = []
        self._waiting: list[dict[str, Any]] = []
        self.added = 0

    def put(self, found: Found) -> bool:
        """Returns whether all rows stay as they are because the parent cannot be read now."""
        known = self._known.get(found.parent, set())
        if found.unread and known:
            return True
        stay = known & {row["_id"] for row in found.rows} - found.replaced
        self._gone.extend(known - stay)
        parent = ObjectId(found.parent)
        self._waiting += [{**row, "_parent_id": parent} for row in found.rows if row["_id"] not in stay]
        if len(self._waiting) >= BATCH:
            self.flush()
        return False

    def flush(self) -> None:
        """Writes what is waiting. Rows that have gone are removed first: another one may have their place."""
        self._verify()
        self._remove_waiting()
        if self._waiting:
            parents = list({row["_parent_id"] for row in self._waiting})
            tags = {
                found["_id"]: found.get("tags") or []
                for found in self._source._sample_collection.find({"_id": {"$in": parents}}, {"tags": 1})
            }
            now = datetime.now(timezone.utc).replace(tzinfo=None)
            shared = {"_media_type": "image", "metadata": None, "_dataset_id": self._companion._doc.id}
            shared.update(created_at=now, last_modified_at=now)
            self._companion._sample_collection.insert_many(
                [
                    {"_rand": foos._generate_rand(), "tags": tags.get(row["_parent_id"], []), **shared} | row
                    for row in self._waiting
                ],
                ordered=False,
            )
            self.added += len(self._waiting)
        self._waiting = []

    def remove_gone(self, kind: RowKind, folder: Path) -> int:
        """Removes the rows of parents that are no longer in the source. Returns how many rows have been removed in
        all."""
        there = kind.parents_in(self._source)
        orphans = [parent for parent in self._known if parent not in there]
        for parent in orphans:
            self._gone.extend(self._known[parent])
        self.flush()
        kind.forget(folder, orphans)
        return self._removed

    _removed = 0

    def _remove_waiting(self):
        for at in range(0, len(self._gone), BATCH):
            self._verify()
            ids = self._gone[at : at + BATCH]
            self._companion.delete_samples([str(i) for i in ids])
            self._removed += len(ids)
        self._gone = []
