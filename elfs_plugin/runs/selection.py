"""Saving a coreset under a tag and a saved view, without replacing what somebody else has put there."""

import time

from ..errors import Changed, NameTaken
from . import fields, record, views


def saved_token(run, tag):
    """A short string for what the run has saved under a tag (``""``: nothing), see ``expected`` of
    :func:`~.stages.select_coreset`."""
    details = run.saved.get(tag) if run is not None else None
    if not details:
        return ""
    return "/".join(repr(details.get(name)) for name in ("when", "beta", "hard", "budget"))


def check_names(dataset, run, tag, view_name, expected=None):
    """Refuses names that are in use.

    Raises:
        NameTaken: for a tag or a saved view that exists and is not this run's
        Changed: when another coreset than ``expected`` (a :func:`saved_token`) is saved under the tag
    """
    if tag and tag not in run.tags and tag in fields.writable(dataset).distinct("tags"):
        raise NameTaken(f"The tag '{tag}' is already in use on this dataset. Choose another tag.", "tag")
    if view_name and dataset.has_saved_view(view_name) and view_name not in run.saved_views:
        raise NameTaken(f"A saved view '{view_name}' already exists. Choose another name.", "view_name")
    if tag and expected is not None and saved_token(run, tag) != expected:
        now = run.saved.get(tag, {})
        what = f" ({now['budget']:,} images, β = {now['beta']:.3g})" if {"budget", "beta"} <= set(now) else ""
        raise Changed(
            f"Somebody else has saved another coreset{what} under the tag '{tag}' since you last looked. Look at it, "
            "then save again to replace it, or choose another tag.",
            "tag",
        )


def save_ids(dataset, run, ids, tag, view_name, details):
    """Tags the samples with these ids, and saves a view of the tag; ``details`` says how they were chosen."""
    # The record comes first: a crash while tagging leaves tags that delete_run knows of.
    if tag not in run.tags:
        run.tags.append(tag)
    run.saved[tag] = {**details, "when": time.time()}
    if view_name and view_name not in run.saved_views:
        run.saved_views.append(view_name)
    record.save_record(dataset, run)
    everything = fields.writable(dataset)
    everything.match_tags(tag).untag_samples(tag)
    everything.select(ids).tag_samples(tag)
    if view_name:
        text = f"Coreset of run {run.key} by {details['method']}: {len(ids):,} images"
        dataset.save_view(view_name, everything.match_tags(tag), description=text, overwrite=True)


def save(dataset, run, tag, view_name):
    """Tags the applied selection's coreset and saves its view, under the names that are given."""
    selection = run.stages["selection"]
    coreset = views.zone_view(dataset, run.key, "coreset", run)
    if tag:
        # The record comes first: a crash while tagging leaves tags that delete_run knows of.
        if tag not in run.tags:
            run.tags.append(tag)
        run.saved[tag] = {"beta": selection["beta"], "hard": selection["hard"], "budget": selection["coreset"],
                          "when": time.time()}  # fmt: skip
        record.save_record(dataset, run)
        coreset.tag_samples(tag)
        low, high = selection["hard"], selection["hard"] + selection["coreset"]
        inside = {f"{run.key}.rank": {"$gte": low, "$lt": high}}
        fields.writable(dataset).match_tags(tag).match({"$nor": [inside]}).untag_samples(tag)
    if view_name:
        if view_name not in run.saved_views:
            run.saved_views.append(view_name)
            record.save_record(dataset, run)
        text = f"ELFS coreset of run {run.key}: {selection['coreset']} images, β = {selection['beta']:.3g}"
        dataset.save_view(view_name, coreset, description=text, overwrite=True)
