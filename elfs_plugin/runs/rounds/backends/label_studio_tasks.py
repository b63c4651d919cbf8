"""What Label Studio shows and what its annotations say, as plain values. A task belongs to the sample whose id is in
its data: neither order nor file names say so, for tasks are deleted and names occur twice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any
from xml.sax.saxutils import quoteattr

from .base import Returned

CHOICE, IMAGE, SAMPLE, FILE = "label", "image", "elfs_id", "file"
_SEARCHED_FROM = 12
"""From so many classes on there is a box to search them."""


def labelling_config(classes: Sequence[str]) -> str:
    """The XML of a project: an image and one of the classes."""
    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in classes)
    control = f'name="{CHOICE}" toName="{IMAGE}" choice="single" required="true" showInline="true"'
    search = f'<Filter name="search" toName="{CHOICE}" minlength="0"/>' if len(classes) >= _SEARCHED_FROM else ""
    return f'<View><Image name="{IMAGE}" value="${IMAGE}"/>{search}<Choices {control}>{choices}</Choices></View>'


def new_task(sample: str, path: str, upload: str, suggestion: str | None) -> dict[str, Any]:
    """A task of a sample, whose image was uploaded as ``upload``; annotators see the end of its ``path``."""
    task: dict[str, Any] = {
        "data": {IMAGE: f"/data/{upload}", SAMPLE: sample, FILE: "/".join(PurePath(path).parts[-2:])}
    }
    if suggestion is not None:
        value = {"choices": [suggestion]}
        result = {"from_name": CHOICE, "to_name": IMAGE, "type": "choices", "value": value}
        task["predictions"] = [{"model_version": "elfs", "result": [result]}]
    return task


def sample_of(task: Mapping[str, Any]) -> str | None:
    return (task.get("data") or {}).get(SAMPLE)


def returned_from(
    tasks: Iterable[Mapping[str, Any]], ids: Collection[str], emails: Mapping[int, str] | None = None
) -> Returned:
    """What the annotations of tasks say about the samples ``ids``.

    A label is an annotation that somebody has submitted, neither a draft nor a suggestion, nor what the Data Manager
    has made of suggestions without anybody looking (see :func:`_is_unseen`). Annotators who differ about a sample make
    it ``doubled``. Skipped, or submitted without a class, is ``skipped`` unless somebody else has labelled it.
    """
    wanted = set(ids)
    said: dict[str, dict[str, None]] = {}
    by: dict[str, str] = {}
    refused: set[str] = set()
    strangers = 0
    for task in tasks:
        sample = sample_of(task)
        for annotation in sorted(task.get("annotations") or (), key=lambda one: one.get("updated_at") or ""):
            if _is_unseen(annotation):
                continue
            classes = [] if annotation.get("was_cancelled") else _classes(annotation)
            if sample not in wanted:
                strangers += bool(classes)
            elif not classes:
                refused.add(sample)
            else:
                said.setdefault(sample, {}).update(dict.fromkeys(classes))
                by[sample] = _who(annotation, emails or {})
    labels = {sample: next(iter(classes)) for sample, classes in said.items() if len(classes) == 1}
    return Returned(
        labels=labels,
        skipped=refused - set(said),
        strangers=strangers,
        doubled={sample: sorted(classes) for sample, classes in said.items() if len(classes) > 1},
        by={sample: who for sample, who in by.items() if who and sample in labels},
    )


def _is_unseen(annotation):
    """Whether the Data Manager has made it of a suggestion ("Create annotations from predictions"): nobody has spent
    any time on it. Who accepts a suggestion in the editor has."""
    return annotation.get("parent_prediction") is not None and annotation.get("lead_time") is None


def _classes(annotation):
    """The classes of an annotation, also where the project's control was given another name."""
    found = [part for part in annotation.get("result") or () if part.get("type") == "choices"]
    own = [part for part in found if part.get("from_name") == CHOICE] or found
    return [name for part in own for name in part["value"].get("choices", ())]


def _who(annotation, emails):
    person = annotation.get("completed_by")
    if isinstance(person, dict):
        return person.get("email") or emails.get(person.get("id"))
    return emails.get(person)
