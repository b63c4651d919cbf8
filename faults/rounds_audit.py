"""Do the rounds of a run agree with themselves? Told from what the record, the samples, the tags and the views say."""

from collections import Counter

from .contents import MARKS

SELECTED, SENT, ANNOTATED, SKIPPED = "selected", "sent", "annotated", "skipped"
_TAGS = ("to_annotate", "golden_qa", "source:coverage", "source:targeted")


def torn(old, new, found):
    """What is wrong, in words: with the rounds of ``found`` (:class:`~.contents.RunContents`) in itself, and as
    something between ``old`` and ``new``."""
    return [*_between(old, new, found), *disagreements(found)]


def _between(old, new, found):
    """A batch is sent part by part, so a status may be of both; nothing else may."""
    words, possible = [], None
    for name in (*(n for n in MARKS if n != "status"), "labels"):
        here, before, after = (run.marks.get(name) or {} for run in (found, old, new))
        versions = {version for version, value in (("old", before), ("new", after)) if here == value}
        if not versions:
            words.append(f"{name} is neither old nor new ({len(here)} values, {len(before)} and {len(after)})")
        possible = versions if possible is None else possible & versions or possible
        if versions and not versions & possible:
            words.append(f"{name} is of another state than the marks before it")
    lost = [i for i, label in (old.marks.get("labels") or {}).items() if found.marks.get("labels", {}).get(i) != label]
    if lost:
        words.append(f"{len(lost)} labels that were there are lost or others")
    status = found.marks.get("status") or {}
    known = [(run.marks.get("status") or {}) for run in (old, new)]
    strange = [i for i in {*status, *known[0]} if status.get(i) not in [one.get(i) for one in known]]
    if strange:
        words.append(f"the status of {len(strange)} samples is neither old nor new")
    return words


def disagreements(found):
    """What of the rounds contradicts itself."""
    rounds = [found.rounds[name] for name in sorted(set(found.rounds) - {"labelling"})]
    marks = {name: found.marks.get(name) or {} for name in (*MARKS, "labels")}
    words = _tags(found, marks, len(rounds))
    if bool(rounds) != ("labelling" in found.rounds):
        words.append("there are rounds without what they share, or the other way round")
    if set(marks["round"].values()) - set(range(len(rounds))):
        words.append("samples are in a round that is not in the record")
    for name in ("status", "turn", "source"):
        if marks[name].keys() != marks["round"].keys():
            words.append(f"{name} is not on the samples that are in a round")
    unlabelled = [i for i, status in marks["status"].items() if status == ANNOTATED and i not in marks["labels"]]
    if unlabelled:
        words.append(f"{len(unlabelled)} samples are called annotated and have no label")
    for one in rounds:
        words += [f"round {one['number']}: {text}" for text in _round(one, found, marks)]
    views = {f"batch_v{one['number']}" for one in rounds} | ({"pool", "golden_qa"} if rounds else set())
    there = {name for name in found.views if name in ("pool", "golden_qa") or name.startswith("batch_v")}
    if views != there:
        words.append(f"saved views: {', '.join(sorted(views ^ there))} should (not) be there")
    return words


def _tags(found, marks, rounds):
    expected = {name: [] for name in _TAGS}
    for number in range(rounds):
        expected[f"batch:v{number}"], expected[f"annotated:v{number}"] = [], []
    for i, number in marks["round"].items():
        status, source = marks["status"].get(i), marks["source"].get(i)
        expected.setdefault(f"batch:v{number}", []).append(i)
        if source:
            expected.setdefault("golden_qa" if source == "golden" else f"source:{source}", []).append(i)
        if status in (SELECTED, SENT):
            expected["to_annotate"].append(i)
        if status == ANNOTATED:
            expected.setdefault(f"annotated:v{number}", []).append(i)
    return [
        f"tag {tag} is on {len(found.tags.get(tag, ()))} samples for {len(ids)}"
        for tag, ids in expected.items()
        if sorted(ids) != found.tags.get(tag, [])
    ]


def _round(one, found, marks):
    members = [i for i, number in marks["round"].items() if number == one["number"]]
    status = Counter(marks["status"].get(i) for i in members)
    words = []
    chosen = sum(marks["source"].get(i) != "golden" for i in members)
    if chosen != one["chosen"] or chosen != sum(one["sources"].values()):
        words.append(f"{chosen} samples for {one['chosen']} in the record")
    if sorted(marks["turn"].get(i, -1) for i in members) != list(range(len(members))):
        words.append("turns are not 0, 1, 2, …")
    parts = found.results.get(f"round_{one['number']}_parts") or {}
    if {part["key"] for part in one["parts"]} != set(parts):
        words.append("parts of the record are not those of the results")
    if [i for i, times in Counter(i for ids in parts.values() for i in ids).items() if times > 1]:
        words.append("samples are in several parts")
    for part in one["parts"]:
        of = {marks["status"].get(i) for i in parts.get(part["key"], ())}
        wrong = of - ({SELECTED} if part["state"] == "planned" else {SENT, ANNOTATED, SKIPPED})
        if wrong or part["samples"] != len(parts.get(part["key"], ())):
            words.append(f"part {part['key']} is {part['state']}, its samples are {', '.join(map(str, of))}")
    if one["parts"] and set(members) != {i for ids in parts.values() for i in ids} | _before(members, marks, parts):
        words.append("samples of the round are in no part")
    return words + _state(one, status)


def _before(members, marks, parts):
    """Members of a round that had a label before it was sent."""
    sent = {i for ids in parts.values() for i in ids}
    return {i for i in members if i not in sent and marks["status"].get(i) == ANNOTATED}


def _state(one, status):
    unsent = all(part["state"] == "planned" for part in one["parts"])
    left = status[SELECTED] + status[SENT]
    wrong = {
        "selected": status[SENT] and unsent,
        "sent": status[SELECTED],
        "returned": not left,
        "accepted": left,
    }[one["state"]]
    return [f"it is {one['state']}, its samples are {dict(status)}"] if wrong else []
