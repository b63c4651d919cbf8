"""The judgement of the campaign of faults: it sees what is damaged, and nothing where all is well."""

import random
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import bson
import pytest

from faults import audit, contents, rounds_audit
from faults.contents import Names, RunContents
from faults.trials_kill import moments
from faults.world import Link, State

IDS = [f"{i:024x}" for i in range(6)]
RUN = Names("elfs", ("elfs_embeddings",), ("coreset",), ("Coreset",))


def run(offset, budget):
    """A whole run whose values all differ from those of another offset, but for its vectors."""
    scores = {name: {i: offset + place for place, i in enumerate(IDS)} for name in audit.STAGES["scores"][0]}
    texts = {name: dict.fromkeys(IDS, f"{name} {offset}") for name in ("pseudo_label", "agreement", "zone")}
    fields = {"vectors": dict.fromkeys(IDS, b"same"), **texts, **scores}
    stages = {name: {"seed": offset} for name in audit.STAGES} | {"embeddings": {"embedded": 6}}
    results = {name: [offset] for name in ("clusters", "histogram", "beta")}
    return RunContents(
        fields,
        {"coreset": IDS[:budget]},
        {"Coreset": f"view {offset}"},
        stages,
        {"coreset": {"budget": budget}},
        results,
    )


OLD, NEW, NOTHING = run(0, 2), run(10, 3), RunContents()


def changed(source, **parts):
    """A run with some entries replaced: ``fields={"zone": …}``; None removes."""
    found = deepcopy(source)
    for part, entries in parts.items():
        mapping = getattr(found, part)
        for name, value in entries.items():
            mapping.pop(name, None)
            if value is not None:
                mapping[name] = value
    return found


def up_to(source, stage):
    """A run that has got as far as a stage: nothing of the later ones, nothing saved."""
    later = list(audit.STAGES)[list(audit.STAGES).index(stage) + 1 :]
    found = replace(source, tags={}, views={}, saved={})
    for name in later:
        fields, results = audit.STAGES[name]
        found = changed(found, stages={name: None}, fields=dict.fromkeys(fields), results=dict.fromkeys(results))
    return found


@pytest.mark.parametrize("old", [OLD, NOTHING])
def test_old_and_new_are_whole(old):
    assert audit.judge(old, NEW, old) == audit.Verdict(True, False, [])
    assert audit.judge(old, NEW, NEW) == audit.Verdict(False, True, [])


@pytest.mark.parametrize("stage", audit.STAGES)
def test_a_first_run_is_whole_after_each_stage(stage):
    assert audit.judge(NOTHING, NEW, up_to(NEW, stage)).torn == []


DAMAGED = {
    "a field on some samples": changed(OLD, fields={"zone": {IDS[0]: "zone 0"}}),
    "a field of two results": changed(OLD, fields={"rank": OLD.fields["rank"] | {IDS[1]: 11}}),
    "another rank than score": changed(OLD, fields={"rank": NEW.fields["rank"]}),
    "no values under a record": changed(OLD, fields={"aum": None}),
    "new values under an old record": changed(OLD, fields={"zone": NEW.fields["zone"]}),
    "values without a record": changed(OLD, stages={"selection": None}),
    "an old stage on a new one": changed(
        OLD,
        stages={"pseudo_labels": NEW.stages["pseudo_labels"]},
        fields={"pseudo_label": NEW.fields["pseudo_label"], "agreement": NEW.fields["agreement"]},
        results={"clusters": NEW.results["clusters"]},
    ),
    "results of another stage": changed(NEW, results={"histogram": OLD.results["histogram"]}),
    "no results": changed(NEW, results={"beta": None}),
    "a tag on some": changed(OLD, tags={"coreset": IDS[:1]}),
    "a tag on too many": changed(OLD, tags={"coreset": IDS}),
    "a new tag under an old record": changed(OLD, tags=NEW.tags),
    "an old view with a new tag": changed(NEW, views=OLD.views),
    "no view": changed(OLD, views={"Coreset": None}),
    "saved before it was selected": changed(OLD, tags=NEW.tags, views=NEW.views, saved=NEW.saved),
    "an unknown field on some": changed(OLD, fields={"margin": {IDS[0]: 1}}),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_seen(damage):
    assert audit.judge(OLD, NEW, DAMAGED[damage]).torn


def with_rounds(sent):
    """A run with a round of four samples in two parts of two, so many of which have been sent; the first is golden, the
    last was labelled before. The first part is back."""
    status = ["annotated" if sent == 2 else "sent", "sent"] if sent else ["selected"] * 2
    status += ["sent" if sent == 2 else "selected"] * 2
    parts = {"r0": IDS[:2], "r1": IDS[2:4]}
    kept = [{"key": key, "samples": 2, "state": "sent" if at < sent else "planned"} for at, key in enumerate(parts)]
    state = "returned" if sent == 2 else "selected"
    one = {"number": 0, "state": state, "chosen": 3, "sources": {"coverage": 3}, "parts": kept}
    waiting = [i for i, own in zip(IDS, status) if own != "annotated"]
    tags = {"batch:v0": IDS[:4], "golden_qa": IDS[:1], "source:coverage": IDS[1:4], "to_annotate": waiting}
    return replace(
        OLD,
        tags=OLD.tags | tags | ({"annotated:v0": IDS[:1]} if sent == 2 else {}),
        views=OLD.views | dict.fromkeys(["batch_v0", "pool", "golden_qa"], "view"),
        results=OLD.results | {"round_0_parts": parts},
        marks={
            "status": dict(zip(IDS, status)),
            "round": dict.fromkeys(IDS[:4], 0),
            "turn": {i: turn for turn, i in enumerate(IDS[:4])},
            "source": {i: "coverage" if turn else "golden" for turn, i in enumerate(IDS[:4])},
            "labels": {IDS[5]: "a"} | ({IDS[0]: "b"} if sent == 2 else {}),
        },
        rounds={"labelling": {"golden": 1}, "0": one},
    )


CHOSEN, HALF, BACK = (with_rounds(sent) for sent in range(3))


@pytest.mark.parametrize("found", [OLD, CHOSEN, HALF, BACK])
def test_rounds_agree_with_themselves(found):
    assert rounds_audit.disagreements(found) == []


def test_a_batch_may_be_sent_in_part():
    assert rounds_audit.torn(CHOSEN, with_rounds(1), HALF) == []


DISAGREEING = {
    "a status that is not the part's": changed(HALF, marks={"status": {**HALF.marks["status"], IDS[3]: "sent"}}),
    "a sample in two parts": changed(HALF, results={"round_0_parts": {"r0": IDS[:2], "r1": IDS[1:3]}}),
    "a sample in no part": changed(HALF, results={"round_0_parts": {"r0": IDS[:2], "r1": IDS[2:3]}}),
    "no parts in the results": changed(HALF, results={"round_0_parts": None}),
    "a tag on another": changed(HALF, tags={"to_annotate": IDS[1:5]}),
    "no tag": changed(HALF, tags={"batch:v0": None}),
    "no view": changed(HALF, views={"batch_v0": None}),
    "marks without a record": changed(HALF, rounds={"labelling": None, "0": None}),
    "a record without marks": changed(HALF, marks={"round": None}),
    "a turn twice": changed(HALF, marks={"turn": dict.fromkeys(IDS[:4], 1)}),
    "no source": changed(HALF, marks={"source": None}),
    "annotated without a label": changed(BACK, marks={"labels": {IDS[5]: "a"}}),
    "accepted with samples that wait": changed(BACK, rounds={"0": {**BACK.rounds["0"], "state": "accepted"}}),
}


@pytest.mark.parametrize("damage", DISAGREEING)
def test_rounds_that_disagree_are_seen(damage):
    assert rounds_audit.disagreements(DISAGREEING[damage])


@pytest.mark.parametrize("labels", [{}, {IDS[5]: "c"}, {IDS[0]: "b"}])
def test_a_label_that_is_lost_or_changed_is_seen(labels):
    found = changed(HALF, marks={"labels": labels})
    assert any("labels that were there are lost" in text for text in rounds_audit.torn(HALF, BACK, found))


def test_labels_of_rounds_are_left_out_of_what_must_not_change():
    expected = {"sample 1 human": None, "sample 2 human": "mine", "sample 1 truth": "a"}
    found = {"sample 1 human": "new", "sample 2 human": "changed", "sample 3 human": "new", "sample 1 truth": "a"}
    left = contents.without_new_labels(expected, found, "human")
    assert contents.differences(expected, left) == ["sample 2 human is another"]


def test_differences_of_runs_are_told():
    assert contents.run_differences(NEW, deepcopy(NEW)) == []
    told = contents.run_differences(NEW, changed(NEW, fields={"aum": None}, tags={"coreset": IDS[:1]}))
    assert told == ["field aum: nothing there", "tag coreset: 1 for 3, 1 of them the same"]


def state(**changes):
    """A dataset with two samples, a run on it, and a user's view, index and files."""
    made = {
        "dataset": {
            "_id": 1,
            "name": "d",
            "sample_collection_name": "samples.d",
            "info": {"a": 1},
            "sample_fields": [{"name": "truth", "created_at": 5}, {"name": "elfs", "created_at": 6}],
        },
        "samples": [
            {
                "_id": bson.ObjectId(i),
                "truth": "cat",
                "tags": ["mine", "coreset"],
                "elfs": {"rank": place},
                "last_modified_at": 7,
            }
            for place, i in enumerate(IDS[:2])
        ],
        "views": [{"_id": 1, "name": "Mine", "view_stages": []}, {"_id": 2, "name": "Coreset", "view_stages": []}],
        "indexes": {"_id_": {"key": [("_id", 1)]}, "truth_1": {"key": [("truth", 1)]}},
        "files": {"out/notes.txt": b"notes", "out/folder.partial": Link("notes.txt"), "home/d": None},
        "more": {},
    } | changes
    documents = {"datasets": [made["dataset"]], "samples.d": made["samples"], "views": made["views"], **made["more"]}
    collections = {name: (list(map(bson.encode, found)), made["indexes"]) for name, found in documents.items()}
    return State(collections, made["files"])


def test_everything_sees_each_trace():
    before, samples = contents.everything(state()), contents.documents(state(), "samples.d")
    later = [{**sample, "last_modified_at": 8} for sample in samples]
    assert contents.differences(before, contents.everything(state(samples=later))) == []
    for changes, told in (
        ({"samples": [{**samples[0], "truth": "dog"}, samples[1]]}, "samples.d … truth is another"),
        ({"samples": [{**samples[0], "extra": None}, samples[1]]}, "samples.d … extra is left"),
        ({"samples": samples[:1]}, "samples.d … truth is gone"),
        ({"more": {"samples.d.side": []}}, "collection samples.d.side is left"),
        ({"indexes": {"elfs.rank_1": {"key": [("elfs.rank", 1)]}}}, "index elfs.rank_1 is left"),
        ({"files": {**state().files, "home/d/elfs": None}}, "file home/d/elfs is left"),
    ):
        assert told in contents.differences(before, contents.everything(state(**changes)), 20)


def test_only_what_is_the_users_is_the_users():
    mine = contents.users_own(state(), [RUN])
    samples = contents.documents(state(), "samples.d")
    without = [{**sample, "tags": ["mine"], "elfs": None} for sample in samples]
    views = contents.documents(state(), "views")
    assert contents.users_own(state(samples=without, views=views[:1]), [RUN]) == mine
    for changes in (
        {"samples": [{**sample, "tags": ["coreset"]} for sample in samples]},
        {"views": views[1:]},
        {"files": {**state().files, "out/notes.txt": b"other"}},
        {"files": {"out/notes.txt": b"notes"}},
        {"dataset": {**contents.documents(state(), "datasets")[0], "info": {}}},
    ):
        assert contents.differences(mine, contents.users_own(state(**changes), [RUN]))


def test_moments_are_seeded_and_reach_the_first_and_the_last_write():
    scene = SimpleNamespace(writes=[f"write {i}" for i in range(10)], seconds=2.0)
    found = moments(random.Random("a"), scene, 60)
    assert found == moments(random.Random("a"), scene, 60) != moments(random.Random("b"), scene, 60)
    by_write = {(moment["write"], moment["when"]) for moment in found if "write" in moment}
    assert by_write == {(write, when) for write in range(1, 11) for when in ("before", "after")}
    assert all(0 <= moment["seconds"] < 2 for moment in found if "seconds" in moment)
    assert sorted(moment["place"] for moment in found) == list(range(60))
