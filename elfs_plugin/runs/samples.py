"""Views of a dataset to ids, paths and vectors, and what cannot be used refused."""

from dataclasses import dataclass

import fiftyone as fo
import numpy as np

from ..errors import InvalidInput, MissingModel, is_out_of_memory

ZOO_PREFIX = "zoo:"


@dataclass(frozen=True)
class Samples:
    """``ids`` N distinct sample ids (str) and their ``paths``, in view order."""

    ids: list
    paths: list

    def __len__(self):
        return len(self.ids)


def check_collection(collection, *, minimum=1):
    """Refuses what ELFS cannot work on, with what to do instead.

    Raises:
        InvalidInput: for no dataset, an empty view, media other than images, label or frame views, unflattened groups
    """
    if collection is None:
        raise InvalidInput("No dataset is open. Open one in the App, or pass one.")
    if getattr(collection, "_is_generated", False):
        raise InvalidInput(
            "This is a view into labels, clips or frames; ELFS selects whole images. Use the dataset, or run "
            "view.to_patches()/to_frames() with its own dataset: view.clone('name')."
        )
    media = collection.media_type
    if media == fo.core.media.GROUP:
        raise InvalidInput(
            f"This dataset is grouped. Choose one slice first: add the stage SelectGroupSlices "
            f"({', '.join(collection.group_slices)}) in the view bar."
        )
    if media is not None and media != fo.core.media.IMAGE:
        raise InvalidInput(
            f"ELFS works on images; this view holds {media}. For videos, use dataset.to_frames().clone()."
        )
    if media is None or not collection.limit(1).values("id"):
        raise InvalidInput("The view has no samples. Clear the view's filters, or add images to the dataset.")
    if minimum > 1:
        n = collection.count() if isinstance(collection, fo.Dataset) else len(collection)
        if n < minimum:
            raise InvalidInput(f"The view has {n} samples; at least {minimum} are needed.")


def read_samples(collection):
    """The view's samples; ids that occur twice (concatenated views) are taken once."""
    ids, paths = collection.values(["id", "filepath"])
    first = dict(zip(reversed(ids), reversed(paths)))
    order = list(dict.fromkeys(ids))
    return Samples(order, [first[i] for i in order])


def vector_fields(collection):
    """Names of the fields of a collection that can hold embeddings."""
    schema = collection.get_field_schema()
    return [
        name
        for name, kind in schema.items()
        if isinstance(kind, fo.VectorField)
        or (isinstance(kind, fo.ListField) and isinstance(kind.field, fo.FloatField))
    ]


def read_vectors(collection, field):
    """(Samples, :class:`~..encoders.Embeddings`) of a vector field.

    Raises:
        InvalidInput: when the field is missing, of another kind, or holds no usable vector
    """
    from ..encoders import validate_vectors

    if not collection.has_sample_field(field):
        have = ", ".join(vector_fields(collection)) or "none"
        raise InvalidInput(
            f"The dataset has no field '{field}'. Vector fields: {have}. Compute embeddings first.", "embeddings_field"
        )
    if field not in vector_fields(collection):
        raise InvalidInput(f"The field '{field}' does not hold vectors.", "embeddings_field")
    ids, paths, vectors = collection.values(["id", "filepath", field])
    first = {}
    for i, path, vector in zip(ids, paths, vectors):
        first.setdefault(i, (path, vector))
    samples = Samples(list(first), [path for path, _ in first.values()])
    return samples, validate_vectors([vector for _, vector in first.values()])


def zoo_embeddings(collection, samples, encoder, progress):
    """Embeds with a FiftyOne zoo model; files that fail are retried alone, so that one does not cost its batch."""
    import fiftyone.zoo as foz

    from ..encoders import Embeddings, validate_vectors

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
    found = {}
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
    return Embeddings(result.vectors, result.ok, failures)
