"""Rounds on a dataset, written without the jobs that choose, send and take back."""

import fiftyone as fo
from bson import ObjectId

from elfs_plugin.runs import fields, journal, record
from elfs_plugin.runs.rounds import parts, state
from elfs_plugin.runs.run import Run

LABELS, CLASSES = "human", ["one", "two", "three"]


def write_round(dataset, ids, number=0, *, key="elfs", prelabels=None, status="sent", **entries):
    """Writes a round with the samples ``ids``, in this order, and its record; ``prelabels``: {id: (class, sureness)}.
    Returns the :class:`Run` as it is then."""
    run = record.load_record(dataset, key)
    run.labelling = run.labelling or {"labels_field": LABELS, "classes": CLASSES, "golden": 0}
    if not dataset.has_sample_field(LABELS):
        dataset.add_sample_field(LABELS, fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    given = {"state": status, "method": "coverage", "chosen": len(ids), "sources": {"coverage": len(ids)}, **entries}
    state.keep(run, state.Round(number, **given))
    draft = journal.Draft()
    values = {
        "status": lambda rows: [status] * len(rows),
        "round": lambda rows: [number] * len(rows),
        "source": lambda rows: ["coverage"] * len(rows),
        "turn": lambda rows: rows.tolist(),
    }
    draft.add(*(fields.Column(f"{key}.{name}", ids, value) for name, value in values.items()))
    if prelabels:
        known = list(prelabels)

        def classifications(rows):
            base = {"_cls": "Classification", "tags": []}
            found = (prelabels[known[row]] for row in rows.tolist())
            return [{"_id": ObjectId(), **base, "label": label, "confidence": share} for label, share in found]

        draft.add(fields.Column(f"{key}.prelabel", known, classifications))
    draft.results[parts.entry(number)] = {
        part.key: list(part.receipt.get("ids", ids)) for part in given.get("parts", ())
    }
    journal.publish(dataset, run, draft)
    return Run(dataset, key)


def label(dataset, labels):
    """Labels samples as the App does: into the field; {id: class}."""
    values = {i: fo.Classification(label=name) for i, name in labels.items()}
    dataset.set_values(LABELS, values, key_field="id")
