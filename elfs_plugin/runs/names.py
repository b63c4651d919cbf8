"""The names that a run gives to things on a dataset, compared and refused as FiftyOne stores them, before any work.

FiftyOne knows a saved view by its slug: ``Spare View``, ``spare-view`` and ``SPARE_VIEW`` are one, and a name without
a Latin letter or a digit has none. Fields become attributes of its documents, so a few names would break a sample.
"""

import functools
from collections.abc import Container

import fiftyone as fo
import fiftyone.core.utils as fou
from fiftyone.core import odm

from ..errors import InvalidInput, NameTaken
from ..selectors.recommend import AUTO
from ..text import is_text
from ..validation import shown
from . import fields
from .fiftyone_types import Dataset, Document

MAX_KEY = 100
"""Bytes of a run key or a field's name: both become names of files, with something behind them."""

MAX_VIEW = 200
MAX_TAG = 1000


def check_view_name(dataset: Dataset, name: str, mine: Container[str] = (), field: str = "view_name") -> None:
    """Refuses a name under which a view cannot be saved without replacing somebody else's.

    Args:
        mine: names of the saved views that may be replaced, the run's own; another spelling of one is refused, for it
            would rename the view

    Raises:
        InvalidInput: for a name that FiftyOne cannot take
        NameTaken: for a name that FiftyOne does not tell from an existing view's
    """
    slug = _slug(name, field)
    for other, other_slug in _saved_views(dataset):
        if other == name and name in mine:
            continue
        if other == name:
            raise NameTaken(f"A saved view '{name}' already exists. Choose another name.", field)
        if other_slug == slug and other in mine:
            raise NameTaken(
                f"The run has saved its view as '{other}', which FiftyOne does not tell from '{name}'. Write '{other}' "
                "to save it again, or choose another name.",
                field,
            )
        if other_slug == slug:
            raise NameTaken(
                f"A saved view '{other}' already exists, which FiftyOne does not tell from '{name}': capitals, spaces "
                "and - _ . + count as the same. Choose another name.",
                field,
            )


def free_view_name(dataset: Dataset, tag: str, key: str, mine: Container[str] = ()) -> str:
    """A name for the saved view of a tag: the tag itself, or, where no view can have that name, one that holds the run
    key as well."""
    wanted = [tag, f"{tag} ({key})", *(f"{key} coreset {number}" for number in range(1, 1000))]
    # One's own view is saved again under the name it has.
    for name in [name for name in wanted if name in mine] + wanted:
        try:
            check_view_name(dataset, name, mine)
            return name
        except (InvalidInput, NameTaken):
            pass
    raise NameTaken(f"There is no free name for the saved view of '{tag}'. Choose another tag.", "tag")


def check_tag(
    dataset: Dataset, tag: str, mine: Container[str] = (), field: str = "tag", used: Container[str] | None = None
) -> None:
    """Refuses a tag that samples carry already, unless it is one of ``mine``, and what can be no tag.

    Args:
        used: all tags of the samples, where the caller has read them already

    Raises:
        InvalidInput, NameTaken
    """
    if not isinstance(tag, str):
        raise InvalidInput(f"A tag is a text, not {shown(tag)}.", field)
    if not any(letter.isprintable() and not letter.isspace() for letter in tag) or not is_text(tag):
        raise InvalidInput("A tag needs at least one character that can be seen. Choose another tag.", field)
    if len(tag) > MAX_TAG:
        raise InvalidInput(f"The tag has {len(tag):,} characters; at most {MAX_TAG:,} are possible.", field)
    if tag not in mine and tag in (fields.writable(dataset).distinct("tags") if used is None else used):
        raise NameTaken(f"The tag '{tag}' is already in use on this dataset. Choose another tag.", field)


def check_key_text(key: str) -> None:
    """Refuses a run key that can be no name of a run, of a field and of a folder. For keys that are to be made: a run
    that exists may have one that is refused now.

    Raises:
        InvalidInput
    """
    _check_name(key, "key", "a run key", "for example 'elfs' or 'elfs_2'")


def check_field_name(
    name: str,
    key: str | None = None,
    parameter: str = "embeddings_field",
    example: str = "for example 'elfs_embeddings'",
) -> None:
    """Refuses the name of a field to write to that FiftyOne cannot take, or that is the run's own field.

    Raises:
        InvalidInput
    """
    _check_name(name, parameter, "a field name", example)
    if key is not None and name == key:
        raise InvalidInput(
            f"The field '{name}' is to hold the other results of the run '{key}'. Choose another name for the field.",
            parameter,
        )


def _check_name(name, field, what, example):
    if not isinstance(name, str):
        raise InvalidInput(f"{shown(name)} cannot be {what}: it is no text. Give a name, {example}.", field)
    size = len(name.encode("utf-8", "replace"))
    if size > MAX_KEY:
        raise InvalidInput(
            f"'{name[:20]}…' is too long for {what}: {size:,} bytes, of at most {MAX_KEY}. Choose a shorter one, "
            f"{example}.",
            field,
        )
    if not name.isidentifier() or name.startswith("_"):
        raise InvalidInput(
            f"{name!r} cannot be {what}. Use letters, digits and underscores, the first a letter, {example}.", field
        )
    if name in _reserved():
        raise InvalidInput(
            f"'{name}' has a meaning of its own in FiftyOne and cannot be {what}. Choose another name.", field
        )


@functools.lru_cache(maxsize=1)
def _reserved():
    """Attributes of FiftyOne's samples: a field of that name would hide them."""
    found = {name for kind in (fo.Sample, odm.DatasetSampleDocument) for name in dir(kind)}
    return found | {"pk", "frames", "groups"}


def _slug(name, field):
    if not isinstance(name, str):
        raise InvalidInput(f"The name of a saved view is a text, not {shown(name)}.", field)
    if len(name) > MAX_VIEW:
        raise InvalidInput(
            f"The name of the saved view has {len(name):,} characters; at most {MAX_VIEW} are possible.", field
        )
    try:
        if is_text(name):
            return fou.to_slug(name)
    except ValueError:
        pass
    raise InvalidInput(
        f"FiftyOne cannot save a view as {name!r}: the name needs at least one Latin letter or digit.", field
    )


def _saved_views(dataset):
    """(name, slug) of the saved views in the database: another process may have saved one since the dataset was
    loaded."""
    return [(view.name, view.slug) for view in _view_documents(dataset)]


def saved_view_ids(dataset: Dataset) -> dict[str, str]:
    """Name -> id of the saved views that the dataset has in the database."""
    return {view.name: str(view.id) for view in _view_documents(dataset)}


def find_view(dataset: Dataset, name: str) -> Document | None:
    """FiftyOne's document of the saved view that it does not tell from one of this name, or None."""
    slug = fou.to_slug(name)
    return next((view for view in _view_documents(dataset) if view.slug == slug), None)


def _view_documents(dataset):
    """Those that the dataset links to: a process that was killed may have left others."""
    found = odm.get_db_conn().datasets.find_one({"_id": dataset._doc.id}, {"saved_views": 1}) or {}
    return odm.SavedViewDocument.objects(id__in=found.get("saved_views") or [])


def choice_tag(key: str, method: str) -> str:
    """The tag that a coreset by a method, or by the recommended one (``"auto"``), gets where nobody names another."""
    return f"{key}_recommended" if method == AUTO else f"{key}_{method}"
