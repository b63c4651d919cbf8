"""Fields and views on a source that results are written back to: marked, so that they can be told from others'."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import fiftyone as fo
from fiftyone.core.odm.utils import create_field

from ...errors import NameTaken
from .. import companions, fields, jobs, names, record
from ..fiftyone_types import Dataset, View
from .base import Written

logger = logging.getLogger(__name__)

RESULTS = ("pseudo_label", "agreement", *fields.SCORES, "rank", "zone")
"""The sub-fields of a run that are written back, where the run has them."""


def mark(companion: Dataset) -> dict[str, str]:
    """What the ``info`` of a field says that is written back from a companion. It is not the mark of a run: a run on
    the source itself must not take such a field for its own."""
    return {"written_back_by": "@elfs/coreset", "rows": str(companion._doc.id)}


def is_ours(source: Dataset, path: str, companion: Dataset) -> bool:
    """Whether a field was written back from this companion, or from one that has been deleted since."""
    found = source.get_field(path)
    owner = (found.info or {}).get("rows") if found is not None else None
    return owner is not None and (owner == str(companion._doc.id) or companions.dataset_by_id(owner) is None)


def written_on_frames(source: Dataset) -> list[str]:
    """Names of the frame fields that were written back, from whatever companion."""
    schema = source.get_frame_field_schema() or {}
    return [name for name, kind in schema.items() if "written_back_by" in (kind.info or {})]


def check_free(source: Dataset, path: str, companion: Dataset) -> None:
    """Refuses a field of the source that was not written back from this companion.

    Raises:
        NameTaken
    """
    if source.get_field(path) is not None and not is_ours(source, path, companion):
        raise NameTaken(
            f"The dataset '{source.name}' has a field '{path}' that was not written from '{companion.name}'. Run ELFS "
            "under another key.",
            "key",
        )


def check_no_run(source: Dataset, key: str) -> None:
    """Refuses the key of a run that is on the source itself, or of which something is left there.

    Raises:
        NameTaken
    """
    if record.run_document(source, key) is not None:
        raise NameTaken(
            f"The dataset '{source.name}' has a run '{key}' of its own. Run ELFS on the rows under another key.", "key"
        )


def group_of(companion: Dataset, key: str) -> list[str]:
    """The sub-fields of a run that the companion has, of those that are written back."""
    return [name for name in RESULTS if companion.has_sample_field(f"{key}.{name}")]


def declare(source: Dataset, path: str, companion: Dataset, inside: Mapping[str, Mapping[str, Any]]) -> None:
    """Declares a nested field of the source with its sub-fields, as far as they are missing. ``inside``: name ->
    keyword arguments of FiftyOne's fields; a path ``frames.…`` is one on frames.

    Raises:
        NameTaken
    """
    check_free(source, path, companion)
    known = source.get_field(path)
    missing = [name for name in inside if source.get_field(f"{path}.{name}") is None]
    if known is not None and not missing:
        return
    parts = [create_field(name, **inside[name]) for name in missing]
    new: dict[str, Any] = {"description": f"Written by ELFS from '{companion.name}'", "info": mark(companion)}
    _add(source, path)(
        path.removeprefix("frames."),
        fo.EmbeddedDocumentField,
        embedded_doc_type=fo.DynamicEmbeddedDocument,
        fields=parts,
        **({} if known is not None else new),
    )


def declare_one(source: Dataset, path: str, companion: Dataset, **kind: Any) -> None:
    """The same for a field without sub-fields."""
    check_free(source, path, companion)
    if source.get_field(path) is None:
        text = f"Written by ELFS from '{companion.name}'"
        _add(source, path)(path.removeprefix("frames."), description=text, info=mark(companion), **kind)


def _add(source, path):
    return source.add_frame_field if path.startswith("frames.") else source.add_sample_field


def delete(source: Dataset, path: str, companion: Dataset, inside: Iterable[str] | None = None) -> bool:
    """Deletes a field that was written back from this companion, and of a nested one to which somebody else has added
    only ``inside``. Returns whether something was deleted."""
    if not is_ours(source, path, companion):
        return False
    found = source.get_field(path)
    there = set(found.get_field_schema()) if isinstance(found, fo.EmbeddedDocumentField) else set()
    on_frames = path.startswith("frames.")
    remove = source.delete_frame_fields if on_frames else source.delete_sample_fields
    plain = path.removeprefix("frames.")
    if inside is None or there <= set(inside):
        remove([plain])
        return True
    mine = [f"{plain}.{name}" for name in inside if name in there]
    if mine:
        remove(mine)
    return bool(mine)


def kinds_of(names_of: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Name -> keyword arguments of the field, for sub-fields of a run."""
    return {name: dict(fields.KINDS.get(name, {"ftype": fo.FloatField})) for name in names_of}


def view_text(key: str, rest: str) -> str:
    """The description of a view of a run that is written back, which begins with :func:`_ours`."""
    return f"{_ours(key)}{rest}"


def _ours(key):
    return f"ELFS run {key} on rows: "


def check_view_free(source: Dataset, written: Written, name: str) -> None:
    """Refuses the name of a view of the source that is somebody else's.

    Raises:
        NameTaken, InvalidInput: see :func:`~..names.check_view_name`
    """
    names.check_view_name(source, name, [name] if _is_own_view(source, written, name) else [])


def save_view(source: Dataset, written: Written, name: str, view: View, text: str) -> None:
    """Saves a view on the source, unless somebody else has one of that name; notes its id in ``written.views``."""
    with jobs.changing(source):
        source._reload(hard=True)
        if names.find_view(source, name) is not None and not _is_own_view(source, written, name):
            logger.warning("The view '%s' was not saved: somebody else has saved one of that name.", name)
            written.views.pop(name, None)
            return
        source.save_view(name, view, description=view_text(written.key, text), overwrite=True)
        written.views[name] = str(source._get_saved_view_doc(name).id)


def delete_views(source: Dataset, written: Written, keep: Iterable[str] = ()) -> None:
    """Deletes the views of the source that were written, but those to ``keep``."""
    with jobs.changing(source):
        source._reload(hard=True)
        for name in [name for name in written.views if name not in keep]:
            if _is_own_view(source, written, name):
                source.delete_saved_view(name)
            written.views.pop(name, None)


def _is_own_view(source, written, name):
    """Whether there is a view of that name which was written back: by its id, or, where a job was killed before it was
    noted, by its text."""
    found = names.find_view(source, name)
    if found is None or found.name != name or name not in written.views:
        return False
    known = written.views[name]
    return known == str(found.id) or (not known and (found.description or "").startswith(_ours(written.key)))
