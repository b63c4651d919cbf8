"""What a run writes on samples: one nested field ``<key>``, and a vector field."""

import re

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

SCORES = ("aum", "forgetting", "el2n", "dual")
"""The scores that are written on samples and can be ranked by."""


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


def write_pseudo_labels(dataset, key, ids, labels, confidence, agreement=None, names=None):
    """Writes ``<key>.pseudo_label`` with its confidence, and ``<key>.agreement``, the share of heads that agree.

    ``names[l]`` is the name of the label l, "cluster l" by default.
    """
    path = f"{key}.pseudo_label"
    if not dataset.has_sample_field(path):
        dataset.add_sample_field(path, fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    values = [
        fo.Classification(label=names[label] if names else f"cluster {label}", confidence=float(c))
        for label, c in zip(labels.tolist(), confidence.tolist())
    ]
    _write(dataset, path, ids, values)
    if agreement is not None:
        _write_floats(dataset, f"{key}.agreement", ids, agreement)


def _write_floats(dataset, path, ids, values):
    if not dataset.has_sample_field(path):
        dataset.add_sample_field(path, fo.FloatField)
    values = np.asarray(values, dtype=np.float64)
    _write(dataset, path, ids, [value if value == value else None for value in values.tolist()])  # NaN: no value


def write_scores(dataset, key, ids, dynamics, rank):
    for name in SCORES:
        _write_floats(dataset, f"{key}.{name}", ids, getattr(dynamics, name))
    write_ranks(dataset, key, ids, rank)


def write_ranks(dataset, key, ids, rank):
    """Writes ``<key>.rank`` with the indexes that serve the views of :mod:`.views`."""
    if not dataset.has_sample_field(f"{key}.rank"):
        dataset.add_sample_field(f"{key}.rank", fo.IntField)
    _write(dataset, f"{key}.rank", ids, np.asarray(rank).tolist())
    ensure_indexes(dataset, key)


def ensure_indexes(dataset, key):
    dataset.create_index(f"{key}.rank")
    if dataset.has_sample_field(f"{key}.pseudo_label"):
        dataset.create_index([(f"{key}.pseudo_label.label", 1), (f"{key}.rank", 1)])


def drop_indexes(dataset, key):
    """Drops every index on the run's field."""
    for name, details in dataset.get_index_information().items():
        paths = [path for path, _ in details["key"]]
        if any(path == key or path.startswith(f"{key}.") for path in paths):
            dataset.drop_index(name)


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
    names = natural(set(known.values()))
    place = {name: index for index, name in enumerate(names)}
    return list(known), np.array([place[name] for name in known.values()], dtype=np.int32), names


def natural(names):
    """Names in the order a reader expects: cluster 2 before cluster 10."""
    parts = {
        name: [(not p.isdecimal(), int(p) if p.isdecimal() else p) for p in re.split(r"(\d+)", name)] for name in names
    }
    return sorted(parts, key=parts.get)


def read_scores(collection, key, score):
    """ids and (M,) values of a score, of the samples that have one."""
    ids, values = collection.values(["id", f"{key}.{score}"])
    known = {i: v for i, v in zip(ids, values) if v is not None}
    return list(known), np.array(list(known.values()), dtype=np.float64)
