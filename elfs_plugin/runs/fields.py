"""What a run writes on samples: one nested field ``<key>``, and a vector field."""

import fiftyone as fo
import numpy as np

from ..errors import NameTaken

_CHUNK = 5000

PATHS = {
    "pseudo_labels": ("pseudo_label", "agreement"),
    "scores": ("aum", "forgetting", "el2n", "dual", "rank"),
    "selection": ("zone",),
}
"""Stage of the record -> the sub-fields it writes."""

_FLOATS = ("aum", "forgetting", "el2n", "dual")


def writable(dataset):
    """The collection through which every sample can be written by id (grouped datasets need all slices)."""
    if dataset.media_type == fo.core.media.GROUP:
        return dataset.select_group_slices(_allow_mixed=True)
    return dataset


def ensure_group(dataset, key, owned):
    """Declares the nested field ``key`` unless this run has done so before.

    Raises:
        NameTaken: when a field of that name exists that the run did not write
    """
    if dataset.has_sample_field(key):
        if not owned:
            raise NameTaken(
                f"The dataset already has a field '{key}' that ELFS did not write. Choose another run key.", "key"
            )
        return
    dataset.add_sample_field(key, fo.EmbeddedDocumentField, embedded_doc_type=fo.DynamicEmbeddedDocument)


def clear(dataset, key, stages):
    """Empties the sub-fields of these stages on every sample."""
    paths = [f"{key}.{name}" for stage in stages for name in PATHS.get(stage, ())]
    paths = [path for path in paths if dataset.has_sample_field(path)]
    if paths:
        dataset.clear_sample_fields(paths)


def _write(dataset, path, ids, values):
    target = writable(dataset)
    for start in range(0, len(ids), _CHUNK):
        stop = start + _CHUNK
        target.set_values(path, dict(zip(ids[start:stop], values[start:stop])), key_field="id")


def write_pseudo_labels(dataset, key, ids, labels, confidence, agreement):
    """Writes ``<key>.pseudo_label`` with its confidence, and ``<key>.agreement``, the share of heads that agree."""
    path = f"{key}.pseudo_label"
    if not dataset.has_sample_field(path):
        dataset.add_sample_field(path, fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    values = [
        fo.Classification(label=f"cluster {label}", confidence=float(c))
        for label, c in zip(labels.tolist(), confidence.tolist())
    ]
    _write(dataset, path, ids, values)
    _write_floats(dataset, f"{key}.agreement", ids, agreement)


def _write_floats(dataset, path, ids, values):
    if not dataset.has_sample_field(path):
        dataset.add_sample_field(path, fo.FloatField)
    _write(dataset, path, ids, np.asarray(values, dtype=np.float64).tolist())


def write_scores(dataset, key, ids, dynamics, rank):
    for name in _FLOATS:
        _write_floats(dataset, f"{key}.{name}", ids, getattr(dynamics, name))
    if not dataset.has_sample_field(f"{key}.rank"):
        dataset.add_sample_field(f"{key}.rank", fo.IntField)
    _write(dataset, f"{key}.rank", ids, rank.tolist())
    dataset.create_index(f"{key}.rank")


def write_zones(dataset, key, zone_of_rank):
    """Writes ``<key>.zone`` from the stored ranks; ``zone_of_rank`` (N,) is the zone of each rank."""
    path = f"{key}.zone"
    if not dataset.has_sample_field(path):
        dataset.add_sample_field(path, fo.StringField)
    ids, ranks = writable(dataset).values(["id", f"{key}.rank"])
    scored = {i: str(zone_of_rank[rank]) for i, rank in zip(ids, ranks) if rank is not None}
    # Not set_field().save(path): on a nested path that replaces the whole parent document.
    _write(dataset, path, list(scored), list(scored.values()))


def write_vectors(dataset, field, ids, vectors):
    if not dataset.has_sample_field(field):
        dataset.add_sample_field(field, fo.VectorField)
    target = writable(dataset)
    for start in range(0, len(ids), _CHUNK):
        block = vectors[start : start + _CHUNK]
        target.set_values(field, dict(zip(ids[start : start + _CHUNK], np.asarray(block))), key_field="id")


def read_labels(collection, key):
    """(ids, labels (M,) int, names) of the samples that have a pseudo-label; equal names are one label."""
    ids, names = collection.values(["id", f"{key}.pseudo_label.label"])
    known = {i: name for i, name in zip(ids, names) if name is not None}
    unique, labels = np.unique(list(known.values()), return_inverse=True)
    return list(known), labels.astype(np.int32), unique.tolist()


def read_scores(collection, key, score):
    """ids and (M,) values of a score, of the samples that have one."""
    ids, values = collection.values(["id", f"{key}.{score}"])
    known = {i: v for i, v in zip(ids, values) if v is not None}
    return list(known), np.array(list(known.values()), dtype=np.float64)
