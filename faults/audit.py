"""Is a run whole? Told without the plugin's help, from what it was before an operator and what it is after it.

A run is in parts: five stages (what the record says of each, the values on the samples, the stored results) and what is
saved (tags, saved views, what the record says of them). Each part must be wholly old, wholly new or wholly absent; and
they must fit each other.
"""

from dataclasses import dataclass

from . import rounds_audit

STAGES = {
    "embeddings": (("vectors",), ()),
    "pseudo_labels": (("pseudo_label", "agreement"), ("clusters",)),
    "scores": (("aum", "forgetting", "el2n", "dual", "rank"), ("histogram",)),
    "beta": ((), ("beta",)),
    "selection": (("zone",), ()),
}
"""Stage -> its fields on samples, its entries in the results."""

OLD, NEW, ABSENT = "old", "new", "absent"


@dataclass(frozen=True)
class Verdict:
    """``is_old``, ``is_new``: whether it is exactly the run before or after. ``torn``: in words, what is half written
    or does not fit; empty when the run is whole, though it may be between two stages."""

    is_old: bool
    is_new: bool
    torn: list


def judge(old, new, found):
    """:class:`Verdict` on what was found (:class:`~.contents.RunContents`), between ``old`` and ``new``."""
    torn, possible = [], []
    for stage, (fields, results) in STAGES.items():
        parts = {f"record of {stage}": [run.stages.get(stage) for run in (old, new, found)]}
        parts |= {f"field {name}": [run.fields.get(name) for run in (old, new, found)] for name in fields}
        parts |= {f"results '{name}'": [run.results.get(name) for run in (old, new, found)] for name in results}
        versions = _joint(parts, torn)
        possible.append(versions)
    known = {name for fields, _ in STAGES.values() for name in fields}
    for name in sorted((old.fields.keys() | new.fields.keys() | found.fields.keys()) - known):
        _joint({f"field {name}": [run.fields.get(name) for run in (old, new, found)]}, torn)
    saved = {}
    for kind in ("tags", "views", "saved"):
        for name in sorted({name for run in (old, new, found) for name in getattr(run, kind)}):
            what = {"tags": "tag", "views": "saved view", "saved": "record of the tag"}[kind]
            saved[f"{what} '{name}'"] = [getattr(run, kind).get(name) for run in (old, new, found)]
    saved_versions = _joint(saved, torn) if saved else {OLD, NEW, ABSENT}
    torn += rounds_audit.torn(old, new, found)
    if not torn:
        if not _in_order(possible):
            shown = ", ".join(f"{stage}: {'/'.join(sorted(v))}" for stage, v in zip(STAGES, possible))
            torn.append(f"stages of two results ({shown})")
        elif saved_versions == {NEW} and NEW not in possible[-1]:
            torn.append("what is saved is new, the selection is not")
    return Verdict(found == old, found == new, torn)


def _joint(parts, torn):
    """The versions that all parts have in common; says in ``torn`` what has none."""
    common, seen = {OLD, NEW, ABSENT}, {}
    for what, (old, new, found) in parts.items():
        versions = {
            name for name, value in ((OLD, old), (NEW, new), (ABSENT, None)) if (found or None) == (value or None)
        }
        if not versions:
            torn.append(f"{what} is neither old nor new ({_shares(old, new, found)})")
        seen[what] = versions
        common &= versions
    if not common and all(seen.values()):
        torn.append("; ".join(f"{what} is {'/'.join(sorted(versions))}" for what, versions in seen.items()))
    return common


def _shares(old, new, found):
    if isinstance(found, dict) and all(len(i) == 24 for i in found):
        sides = [sum(side.get(i) == value for i, value in found.items()) for side in (old or {}, new or {})]
        return f"{len(found)} values, {sides[0]} of the old and {sides[1]} of the new"
    if isinstance(found, list):
        return f"on {len(found)}, old on {len(old or ())}, new on {len(new or ())}"
    return "another"


def _in_order(possible):
    """Whether the stages are all old, or new up to one and absent after it."""
    if all(OLD in versions for versions in possible):
        return True
    return any(
        all(NEW in versions for versions in possible[:split])
        and all(ABSENT in versions for versions in possible[split:])
        for split in range(len(possible) + 1)
    )
