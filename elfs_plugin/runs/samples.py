"""Views of a dataset to ids, paths and vectors, and what cannot be used refused."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fiftyone as fo
import numpy as np

from .. import scratch
from ..contracts import Budget, Progress
from ..errors import InvalidInput, MissingModel, is_out_of_memory
from ..pruning.zones import resolve_budget
from ..validation import shown
from . import companions, fields, reading
from .fiftyone_types import Collection, Dataset
from .stored_vectors import StoredVectors

if TYPE_CHECKING:
    from ..encoders.embed import Embeddings

ZOO_PREFIX = "zoo:"

STREAMED = 200_000
"""Above this many samples vectors are not read at once."""


@dataclass(frozen=True)
class Samples:
    """``ids`` N distinct sample ids (str), sorted, and their ``paths``."""

    ids: list[str]
    paths: list[str]

    def __len__(self) -> int:
        return len(self.ids)


def check_collection(collection: Collection, *, minimum: int = 1) -> None:
    """Refuses what ELFS cannot work on, with what to do instead.

    Raises:
        InvalidInput: for no dataset, an empty view, media other than images, label or frame views, unflattened groups;
            where a companion holds the rows, with its name, see :mod:`.companions`
    """
    if collection is None:
        raise InvalidInput("No dataset is open. Open one in the App, or pass one.")
    if companions.kind_of(collection) is not None:
        raise InvalidInput(companions.refusal(collection))
    if getattr(collection, "_is_generated", False):
        raise InvalidInput(
            "This is a view into labels, clips or frames; ELFS selects whole images. Use the dataset itself, or make "
            "the view a dataset of its own: view.clone('name')."
        )
    if getattr(collection, "_is_dynamic_groups", False):
        raise InvalidInput(
            "This view puts images into groups by a field (group_by). Clear that stage in the view bar, or add the "
            "stage Flatten, so that ELFS sees every image: view.flatten()."
        )
    media = collection.media_type
    if media is not None and media != fo.core.media.IMAGE:
        raise InvalidInput(_not_images(collection, media))
    if media is None or not collection.limit(1).values("id"):
        raise InvalidInput("The view has no samples. Clear the view's filters, or add images to the dataset.")
    if minimum > 1:
        n = collection.count() if isinstance(collection, fo.Dataset) else len(collection)
        if n < minimum:
            raise InvalidInput(
                f"The view has {n} sample{'' if n == 1 else 's'}; at least {minimum} are needed. Clear the view's "
                "filters, or add images."
            )


def _not_images(collection, media):
    if media == fo.core.media.UNKNOWN:
        first = (collection.limit(1).values("filepath") or ["none"])[0]
        return (
            f"FiftyOne does not take these files for images, by their names (the first: {os.path.basename(first)}). If "
            'they are images, make the dataset anew with fo.Sample(path, media_type="image").'
        )
    root = collection._root_dataset
    if root.media_type == fo.core.media.GROUP:
        return (
            f"ELFS works on images; this view holds {media}. Choose slices of images (the stage SelectGroupSlices), or "
            "make the view a dataset of its own: view.clone('name')."
        )
    return f"ELFS works on images; this view holds {media}. Use a dataset of images."


def read_samples(collection: Collection) -> Samples:
    """The view's samples in the order of their ids, for the order of a view must not matter to what is computed; ids
    that occur twice (concatenated views) are taken once."""
    paths = dict(zip(*collection.values(["id", "filepath"])))
    order = sorted(paths)
    return Samples(order, [paths[i] for i in order])


def vector_fields(collection: Collection) -> list[str]:
    """Names of the fields of a collection that can hold embeddings, those that are made for it first."""
    schema = collection.get_field_schema()
    found = [(place, name) for name, kind in schema.items() if (place := _place(kind)) is not None]
    return [name for _, name in sorted(found, key=lambda item: item[0])]


def _place(kind):
    """How likely a field holds vectors, 0 first; None: it does not."""
    if isinstance(kind, fo.VectorField):
        return 0
    if isinstance(kind, fo.ListField):
        if isinstance(kind.field, fo.FloatField):
            return 1
        return 3 if isinstance(kind.field, fo.IntField) else None
    return 2 if isinstance(kind, fo.ArrayField) else None


def check_vector_field(collection: Collection, field: str) -> None:
    """Refuses a field that can hold no vectors.

    Raises:
        InvalidInput: with the fields that can, and what to do
    """
    have = ", ".join(vector_fields(collection)) or "none"
    if not isinstance(field, str) or not collection.has_sample_field(field):
        raise InvalidInput(
            f"The dataset has no field {shown(field)}. Vector fields: {have}. Compute embeddings first.",
            "embeddings_field",
        )
    kind = collection.get_field(field)
    if _place(kind) is None and not (isinstance(kind, fo.ListField) and kind.field is None):
        raise InvalidInput(
            f"The field '{field}' does not hold vectors. Vector fields: {have}. Embeddings belong into a VectorField, "
            "an ArrayField or a list of numbers on each sample.",
            "embeddings_field",
        )


def check_usable(collection: Collection, field: str, budget: Budget | str, num_clusters: int | str) -> None:
    """Refuses a budget or a number of clusters that the images with a vector in ``field`` do not allow. What the
    vectors hold is not looked at.

    Raises:
        InvalidInput
    """
    if field is None or not collection.has_sample_field(field):
        return  # the vectors are in a file of the run, or whoever reads them says what is wrong
    n = collection.count() if isinstance(collection, fo.Dataset) else len(collection)
    usable = len(collection.exists(field))
    if not 0 < usable < n:
        return
    missing = f" Of {n:,} images {n - usable:,} have no vector in '{field}'."
    from ..clustering.limits import validate_num_clusters

    try:
        resolve_budget(budget, usable)
        if num_clusters != "auto":
            validate_num_clusters(num_clusters, usable)
    except InvalidInput as error:
        raise InvalidInput(f"{error}{missing}", error.field) from None


def check_locked_tag(dataset: Dataset, tag: str, parameter: str = "locked_tag") -> None:
    """Refuses a tag that no image has; ``parameter``: where it was given.

    Raises:
        InvalidInput: with tags that there are
    """
    have = fields.writable(dataset).distinct("tags")
    if tag not in have:
        raise InvalidInput(f"No image has the tag '{tag}' (tags: {', '.join(have[:10]) or 'none'}).", parameter)


def read_vectors(collection: Collection, field: str) -> tuple[Samples, Embeddings]:
    """(Samples, :class:`~..encoders.embed.Embeddings`) of a field of vectors, arrays or lists of numbers.

    Raises:
        InvalidInput: when the field is missing, of another kind, or holds no usable vector
    """
    from ..encoders.embed import validate_vectors

    check_vector_field(collection, field)
    if collection.count() > STREAMED:
        return _streamed_vectors(collection, field)
    ids, paths, vectors = _ids_paths_vectors(collection, field)
    first: dict[str, tuple[str, Any]] = {}
    for i, path, vector in zip(ids, paths, vectors):
        first.setdefault(i, (path, vector))
    order = sorted(first)
    return Samples(order, [first[i][0] for i in order]), validate_vectors([first[i][1] for i in order])


def _streamed_vectors(collection, field):
    """The same of many samples: they are read some thousand at a time, and the vectors gathered in a file."""
    from ..encoders.embed import Embeddings

    (ids, paths, usable, reasons, rows), length, used = _gathered(collection, field, None)
    if length is not None and length != used:  # the first ones were not like most
        (ids, paths, usable, reasons, rows), *_ = _gathered(collection, field, length)
    if not rows.count:
        raise InvalidInput(f"The field '{field}' holds no usable vectors in this view. Compute embeddings first.")
    ok = np.concatenate(usable)
    texts = np.array(ids, dtype="S24")
    order = np.argsort(texts, kind="stable")
    order = order[np.concatenate([[True], texts[order[1:]] != texts[order[:-1]]])]  # ids that occur twice: the first
    row_of = np.cumsum(ok) - 1
    place = {int(at): index for index, at in enumerate(order.tolist()) if not ok[at]}
    vectors, wanted = rows.array(), row_of[order[ok[order]]]
    if len(wanted) != len(vectors) or (np.diff(wanted) != 1).any():
        vectors = scratch.taken(vectors, wanted)
    failures = {index: reasons[at] for at, index in place.items()}
    order = order.tolist()
    return Samples([ids[at] for at in order], [paths[at] for at in order]), Embeddings(vectors, ok[order], failures)


def _gathered(collection, field, length):
    """Reads all samples, and takes the vectors of a length, by default the most common one in the first part.

    Returns:
        (ids, paths, [(n,) bool, which are usable], {index: why not}, :class:`~..encoders.rows.Rows`), the most common
        length of all, the one that was taken; None where there is no vector
    """
    from ..encoders.embed import check_vectors, lengths_of, most_common
    from ..encoders.rows import IN_MEMORY, Rows

    decoded = _decoder(collection.get_field(field))
    rows = Rows(IN_MEMORY + 1, or_memory=True)
    ids: list[str] = []
    paths: list[str] = []
    usable: list[Any] = []
    reasons: dict[int, str] = {}
    lengths: Counter[int] = Counter()
    for some, (their_paths, stored) in reading.streamed(collection, ["filepath", field]):
        values = [decoded(value) for value in stored]
        lengths.update(lengths_of(values))
        length = length or most_common(lengths)
        found = check_vectors(values, length or 1)
        reasons.update({len(ids) + index: reason for index, reason in found.failures.items()})
        for vector in found.vectors:
            rows.append(vector)
        ids += some
        paths += their_paths
        usable.append(found.ok)
    return (ids, paths, usable, reasons, rows), most_common(lengths), length


def _decoder(kind):
    """What makes vectors of the values of a field as MongoDB keeps them."""
    if type(kind) is fo.VectorField:
        return StoredVectors(kind).read
    return lambda value: None if value is None else kind.to_python(value)


def _ids_paths_vectors(collection, field):
    """Read at once, for the dataset may change."""
    kind = collection.get_field(field)
    if type(kind) is not fo.VectorField:
        return collection.values(["id", "filepath", field])
    ids, paths, values = collection.values(["id", "filepath", field], _raw=True)
    stored = StoredVectors(kind)
    return [str(i) for i in ids], paths, [stored.read(value) for value in values]


def zoo_embeddings(collection: Collection, samples: Samples, encoder: str, progress: Progress) -> Embeddings:
    """Embeds with a FiftyOne zoo model; files that fail are retried alone, so that one does not cost its batch."""
    import fiftyone.zoo as foz

    from ..encoders.embed import Embeddings, validate_vectors
    from ..encoders.known import seen_labels
    from ..encoders.provenance import Provenance

    name = encoder[len(ZOO_PREFIX) :]
    if name not in foz.list_zoo_models():
        raise MissingModel(
            f"FiftyOne's model zoo has no model named {name!r}. fiftyone zoo models list shows them; 'timm:…' and "
            "'open_clip:…' encoders take a local weights file."
        )
    progress(0.0, f"loading {name}")  # outside, for it raises when the job is cancelled
    try:
        model = foz.load_zoo_model(name)
    except Exception as error:  # downloads and model code raise many kinds
        if is_out_of_memory(error):
            raise
        raise MissingModel(
            f"The zoo model {name!r} could not be loaded ({type(error).__name__}: {str(error)[:200]}). Without network "
            "access use a timm: or open_clip: encoder with a local weights file."
        ) from error
    if not getattr(model, "has_embeddings", False):
        raise MissingModel(f"The zoo model {name!r} gives no embeddings. Choose another one, for example a CLIP model.")
    found: dict[str, Any] = {}
    chunk = 512
    for batch_size, start, end in ((16, 0.0, 0.9), (1, 0.9, 1.0)):
        todo = [i for i in samples.ids if found.get(i) is None]
        for at in range(0, len(todo), chunk):
            part = todo[at : at + chunk]
            view = collection.select(part, ordered=True)
            vectors = view.compute_embeddings(
                model, batch_size=batch_size, num_workers=0, skip_failures=True, progress=False
            )
            found.update(zip(part, vectors if vectors is not None else [None] * len(part)))
            done = (at + len(part)) / len(todo)
            progress(start + (end - start) * done, f"{at + len(part):,} of {len(todo):,} images")
    values = [None if found[i] is None else np.asarray(found[i]) for i in samples.ids]
    result = validate_vectors(values)
    failures = {i: "the model could not embed it" if r == "no vector" else r for i, r in result.failures.items()}
    made = Provenance(encoder, "the zoo model's own", seen_labels=seen_labels(encoder))
    return Embeddings(result.vectors, result.ok, failures, made)
