"""Saving a coreset under a tag and a saved view, without replacing what somebody else has put there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import Changed
from . import claims, names, versions
from .fiftyone_types import Dataset

if TYPE_CHECKING:
    from .journal import Draft
    from .record import RunRecord


def saved_token(run: RunRecord, tag: str) -> str:
    """A short string for what the run has saved under a tag (``""``: nothing), see ``expected`` of
    :func:`~.stages.select_coreset`."""
    details = run.saved.get(tag) if run is not None else None
    if not details:
        return ""
    return "/".join(repr(details.get(name)) for name in ("when", "beta", "hard", "budget"))


def check_names(
    dataset: Dataset, run: RunRecord, tag: str | None, view_name: str | None, expected: str | None = None
) -> None:
    """Refuses names that are in use, or that FiftyOne cannot take.

    Raises:
        InvalidInput, NameTaken: see :mod:`.names`
        Changed: when another coreset than ``expected`` (a :func:`saved_token`) is saved under the tag
    """
    if tag:
        names.check_tag(dataset, tag, run.own_tags)
        claims.check_others(dataset, run, [tag], ())
    if view_name:
        names.check_view_name(dataset, view_name, run.own_views(dataset))
        claims.check_others(dataset, run, (), [view_name])
    if tag and expected is not None and saved_token(run, tag) != expected:
        now = run.saved.get(tag, {})
        what = f" ({now['budget']:,} images, β = {now['beta']:.3g})" if {"budget", "beta"} <= set(now) else ""
        raise Changed(
            f"Somebody else has saved another coreset{what} under the tag '{tag}' since you last looked. Look at it, "
            "then save again to replace it, or choose another tag.",
            "tag",
        )


def save_ids(
    draft: Draft, run: RunRecord, ids: Sequence[str], tag: str, view_name: str | None, details: Mapping[str, Any]
) -> None:
    """Lets a draft tag the samples with these ids, and save a view of the tag; ``details`` says how they were
    chosen."""
    own(run, tag, view_name, details)
    draft.tag(tag, ids)
    if view_name:
        text = f"Coreset of run {run.key} by {details['method']}: {len(ids):,} images"
        draft.step("view", name=view_name, tag=tag, text=text)


def save(draft: Draft, run: RunRecord, tag: str | None, view_name: str | None) -> None:
    """Lets a draft tag the applied selection's coreset and save its view, under the names that are given.

    A view that is saved beside a tag is one of the tag: both stay what they were when ranks change.
    """
    applied = run.stages["selection"]
    low, high = applied["hard"], applied["hard"] + applied["coreset"]
    own(run, tag, view_name, {"beta": applied["beta"], "hard": low, "budget": applied["coreset"]})
    if tag and any(step["do"] == "zones" for step in draft.steps):  # both in one pass over the samples
        draft.step("zones", hard=low, coreset=high - low, tag=tag)
    elif tag:
        draft.step("tag_interval", tag=tag, low=low, high=high)
    if view_name:
        text = f"ELFS coreset of run {run.key}: {applied['coreset']:,} images, β = {applied['beta']:.3g}"
        draft.step("view", name=view_name, tag=tag, low=low, high=high, text=text)


def own(run: RunRecord, tag: str | None, view_name: str | None, details: Mapping[str, Any]) -> None:
    """Notes that a tag, with how its samples were chosen, and a saved view are the run's."""
    if tag:
        if tag not in run.tags:
            run.tags.append(tag)
        run.saved[tag] = {**details, "when": time.time(), "ranking": versions.ranking_version(run)}
    if view_name and view_name not in run.saved_views:
        run.saved_views.append(view_name)
