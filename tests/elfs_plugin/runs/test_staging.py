"""Values that are staged many in a document, and moved by the database in a few commands at once."""

import datetime

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId
from fiftyone.core import odm

from elfs_plugin import runs
from elfs_plugin.errors import Cancelled
from elfs_plugin.runs import carry, fields, journal, record, saving, session, staging

PATHS = ("elfs.pseudo_label.label", "elfs.pseudo_label.confidence", "elfs.agreement", "elfs.aum", "elfs.rank")
ALL = (*PATHS, "elfs.zone", "elfs.mine", "tags")


class Killed(BaseException):
    """Ends a job as a signal would; nothing in the plugin knows it."""


@pytest.fixture
def in_parts(monkeypatch):
    """Few samples are written as many are: several documents, two commands at a time, indexes made anew."""
    monkeypatch.setattr(carry, "LARGE", 4)
    monkeypatch.setattr(staging, "_TOGETHER", 3)
    monkeypatch.setattr(staging, "_SENT", 1)


@pytest.fixture
def results(new_written):
    """A factory of datasets with a run and a field of the user's inside it, and a job that writes all results anew."""

    def make():
        dataset, ids = new_written()
        dataset.add_sample_field("elfs.mine", fo.StringField)
        dataset.set_values("elfs.mine", [f"mine {row}" for row in range(len(ids))])
        runs.select_coreset(dataset, budget=2, beta=0.5, tag="kept", view_name="Kept")
        return dataset, ids

    return make


def write(dataset, count=9):
    """All results of the first samples, as a whole run writes them; the others lose theirs."""
    ids = sorted(dataset.values("id"))[:count]
    scores = np.linspace(0, 1, count)
    with session.Session(dataset, "elfs", "Writing", ["dynamics"], ()) as job:
        working, kept = job.working, job.record
        working.ids, working.scores, working.labels = ids, scores, np.arange(count, dtype=np.int32) % 3
        job.names = ["a", "b", "c"]
        job.draft.put(*fields.label_columns("elfs", ids, working.labels, scores, scores, job.names))
        job.clear("selection")
        kept.stages["scores"] = {**kept.stages["scores"], "scored": count}
        dynamics = type("Scores", (), dict.fromkeys(fields.SCORES, scores))
        job.draft.put(*fields.score_columns("elfs", ids, dynamics, np.arange(count)[::-1]))
        job.draft.step("indexes")
        job.new_ranking()
        job.apply(4, 0.25)
        saving.save(job.draft, kept, "kept", "Kept")
        job.publish()


def select(dataset):
    runs.select_coreset(dataset, budget=6, beta=0.25, tag="kept", view_name="Kept")


def choose(dataset):
    runs.choose_coreset(dataset, method="prototypicality", budget=5, tag="kept", view_name="Kept")


JOBS = {"results": write, "select": select, "choose": choose}


def state(dataset):
    """What was written, by file, and the indexes."""
    dataset.reload()
    paths = [path for path in ALL if path == "tags" or dataset.has_sample_field(path)]
    rows = dict(zip(dataset.values("filepath"), zip(*(dataset.values(path) for path in paths))))
    return rows, sorted(dataset.get_index_information()), runs.load_record(dataset, "elfs").tags


def staged(dataset):
    prefix = f"{carry.STAGED}.{dataset._doc.id}."
    return [name for name in odm.get_db_conn().list_collection_names() if name.startswith(prefix)]


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_many_are_written_as_few_are(results, request, job):
    few, _ = results()
    job(few)
    wanted = state(few)
    request.getfixturevalue("in_parts")
    many, _ = results()
    job(many)
    assert state(many) == wanted
    assert staged(many) == []


def test_all_results_are_what_was_given(results, in_parts):
    dataset, ids = results()
    write(dataset)
    known = sorted(ids)[:9]
    found = dict(zip(dataset.values("id"), zip(*(dataset.values(path) for path in ALL))))
    for row, i in enumerate(known):
        score, rank = row / 8, 8 - row
        zone = "hard" if rank < 2 else "coreset" if rank < 6 else "easy"
        tags = ["kept"] if zone == "coreset" else []
        assert found[i][:-2] == ("abc"[row % 3], score, score, score, rank, zone) and found[i][-1] == tags
    assert all(found[i][:-2] == (None,) * 6 and found[i][-1] == [] for i in sorted(ids)[9:])
    assert sorted(values[-2] for values in found.values()) == sorted(f"mine {row}" for row in range(12))


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_what_dies_between_the_commands_of_a_step_is_finished(results, in_parts, monkeypatch, job):
    """After each command of each step in turn it is reported, and finished to what an undisturbed job leaves."""
    undisturbed, _ = results()
    job(undisturbed)
    wanted = state(undisturbed)
    at = 0
    while True:
        dataset, _ = results()
        if not killed_after(monkeypatch, at, job, dataset):
            break
        assert runs.check_run(runs.Run(dataset, "elfs")).codes == ["unfinished"]
        assert runs.repair_run(dataset)["finished"]
        assert state(dataset) == wanted
        assert staged(dataset) == []
        at += 1
    assert at >= 2


def killed_after(monkeypatch, at, job, *args):
    """Runs a job that dies after its command number ``at``. Returns whether it had so many."""
    done = []

    def one_by_one(commands):
        for command in commands:
            if len(done) > at:
                raise Killed
            command()
            done.append(command)
        if len(done) > at:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(carry, "_at_once", one_by_one)
        try:
            job(*args)
        except Killed:
            return True
    return False


def test_indexes_that_were_taken_away_for_a_write_come_back(results, in_parts, monkeypatch):
    dataset, _ = results()
    before = sorted(dataset.get_index_information())

    def die(*args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(carry, "_write_values", die)
        with pytest.raises(Killed):
            write(dataset)
    assert "elfs.rank" in before and "elfs.rank" not in dataset.get_index_information()
    runs.repair_run(dataset)
    assert sorted(dataset.get_index_information()) == before


@pytest.mark.parametrize(("count", "anew"), [(3, False), (5, False), (6, True), (12, True)])
def test_indexes_are_made_anew_where_most_samples_change(results, in_parts, count, anew):
    """Of the twelve there are, and of four at least."""
    dataset, ids = results()
    assert journal._are_most(dataset, ids[:count]) is anew


def test_an_index_of_somebody_else_s_on_the_ranks_stays(results, in_parts):
    """One with conditions of its own is not what the run would make again."""
    dataset, _ = results()
    collection = dataset._sample_collection
    collection.drop_index("elfs.rank_1")
    collection.create_index("elfs.rank", sparse=True)
    assert fields.indexes_on(dataset, "elfs", ["rank"]) == [[["elfs.pseudo_label.label", 1], ["elfs.rank", 1]]]
    runs.update_run(dataset)
    assert collection.index_information()["elfs.rank_1"]["sparse"]


def test_the_first_error_of_several_commands_is_raised_when_all_have_ended():
    done = []

    def fail():
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        carry._at_once([fail, lambda: done.append(1)])
    assert done == [1]
    carry._at_once([lambda: done.append(2)])
    assert done == [1, 2]


def test_a_write_that_is_cancelled_has_changed_nothing(results, in_parts):
    dataset, ids = results()
    before = state(dataset)
    told = []

    def cancel(fraction):
        told.append(fraction)
        if len(told) == 2:
            raise Cancelled("Stopped.")

    draft = journal.Draft()
    draft.put(fields.rank_column("elfs", ids, np.arange(12)[::-1]))
    with pytest.raises(Cancelled):
        journal.publish(dataset, runs.load_record(dataset, "elfs"), draft, progress=cancel)
    assert told == [0.25, 0.5]
    assert state(dataset) == before and staged(dataset) == []


def test_samples_that_are_deleted_or_added_meanwhile(results, in_parts, monkeypatch, digits):
    """One that is gone does not come back; one that has come, with nothing in the run's field, is left as it is."""
    dataset, ids = results()
    at_work = carry._write_values

    def meanwhile(*args):
        dataset.delete_samples(sorted(ids)[:2])
        dataset.add_sample(fo.Sample(filepath=str(digits[50])))
        at_work(*args)

    monkeypatch.setattr(carry, "_write_values", meanwhile)
    write(dataset)
    assert len(dataset) == 11
    assert sorted(dataset.exists("elfs.rank").values("elfs.rank")) == list(range(7))
    assert dataset.match({"filepath": str(digits[50])}).values("elfs.rank") == [None]


def test_a_sample_with_nothing_in_the_field_takes_part(results, in_parts, digits):
    """Earlier versions of FiftyOne wrote null into the fields that a new sample has no value of."""
    dataset, ids = results()
    new = dataset.add_sample(fo.Sample(filepath=str(digits[50])))
    dataset._sample_collection.update_one({"_id": ObjectId(new)}, {"$set": {"elfs": None}})
    draft = journal.Draft()
    draft.add(fields.rank_column("elfs", [*ids, new], np.arange(13)))
    journal.publish(dataset, runs.load_record(dataset, "elfs"), draft)
    assert dataset.match({"_id": ObjectId(new)}).values("elfs.rank") == [12]


def test_only_what_changes_is_modified(results, in_parts):
    dataset, _ = results()
    runs.select_coreset(dataset, budget=4, beta=0.25, tag="kept")
    long_ago = datetime.datetime(2020, 1, 1)
    dataset._sample_collection.update_many({}, {"$set": {"last_modified_at": long_ago}})
    runs.select_coreset(dataset, budget=5, beta=0.25, tag="kept")
    changed = dataset._sample_collection.find({"last_modified_at": {"$gt": long_ago}})
    assert [sample["elfs"]["rank"] for sample in changed] == [
        runs.load_record(dataset, "elfs").stages["selection"]["hard"] + 4
    ]
    write(dataset, 12)
    assert dataset._sample_collection.count_documents({"last_modified_at": long_ago}) == 0


def test_what_an_older_version_has_committed_is_finished(results):
    """A document for each sample: ``v``, a list of values, or ``on`` for a tag."""
    dataset, ids = results()
    run = runs.load_record(dataset, "elfs")
    prefix, database = carry.staged_prefix(dataset, "elfs"), odm.get_db_conn()
    rows = [{"_id": ObjectId(i), "v": [place, f"text {place}"]} for place, i in enumerate(ids)]
    database[f"{prefix}old.values0"].insert_many(rows)
    database[f"{prefix}old.tags0"].insert_many([{"_id": ObjectId(i), "on": i == ids[3]} for i in ids])
    run.pending = {
        "token": "old",
        "steps": [
            {"do": "declare", "names": ["rank", "source"], "vectors": [], "labels": []},
            {
                "do": "values",
                "collection": f"{prefix}old.values0",
                "paths": ["elfs.rank", "elfs.source"],
                "rows": 12,
                "labels": [],
            },
            {"do": "tag_staged", "collection": f"{prefix}old.tags0", "tag": "kept", "rows": 12},
        ],
        "record": record.stored(run),
    }
    record.save_record(dataset, run)
    runs.repair_run(dataset)
    dataset.reload()
    found = dataset.select(ids, ordered=True)
    assert found.values("elfs.rank") == list(range(12))
    assert found.values("elfs.source") == [f"text {place}" for place in range(12)]
    assert dataset.match_tags("kept").values("id") == [ids[3]]
    assert staged(dataset) == []


def test_columns_of_other_samples_leave_gaps(in_parts):
    ids = [str(ObjectId()) for _ in range(5)]
    columns = {
        "elfs.rank": fields.rank_column("elfs", ids[:4], np.array([3, 1, 0, 2])),
        "elfs.source": fields.value_column("elfs.source", {ids[4]: "a", ids[1]: None, ids[0]: "b"}),
        "elfs.zone": None,
        "vectors": fields.Column("vectors", ids[2:4], lambda rows: [b"x" * int(row + 1) for row in rows]),
    }
    parts = list(staging.of_columns("elfs", ids, columns))
    assert [len(part) for part in parts] == [3, 2]
    rows = [row for part in parts for row in part]
    assert [str(row["_id"]) for row in rows] == ids
    assert [row["elfs"]["rank"] for row in rows] == [3, 1, 0, 2, None]
    assert [row["elfs"]["source"] for row in rows] == ["b", None, None, None, "a"]
    assert [row["elfs"]["zone"] for row in rows] == [None] * 5
    assert [row["vectors"] for row in rows] == [None, None, b"x", b"xx", None]


def test_rows_that_are_too_long_for_a_document_are_parted(new_written, monkeypatch):
    monkeypatch.setattr(staging, "_BYTES", 3000)
    new_written()
    database, name = odm.get_db_conn(), f"{carry.STAGED}.rows"
    rows = [{"_id": ObjectId(), "vectors": b"x" * size} for size in (2500, 10, 10, 2500, 4000, 10)]
    try:
        count = staging.insert_rows(name, [rows[:4], rows[4:]], 6, lambda: None)
        found = list(database[name].find().sort("_id", 1))
    finally:
        database.drop_collection(name)
    assert [document["_id"] for document in found] == list(range(count))
    assert [len(document["rows"]) for document in found] == [2, 2, 1, 1]
    assert [row for document in found for row in document["rows"]] == rows


def test_columns_of_the_same_samples_are_written_in_one_pass(results):
    dataset, ids = results()
    draft = journal.Draft()
    draft.add(fields.value_column("elfs.status", dict.fromkeys(ids, "sent")))
    draft.add(fields.value_column("elfs.round", dict.fromkeys(ids, 1)))
    draft.add(fields.value_column("elfs.source", dict.fromkeys(ids[:3], "coverage")))
    assert [sorted(columns) for columns, _ in journal._together(draft)] == [
        ["elfs.round", "elfs.status"],
        ["elfs.source"],
    ]
    journal.publish(dataset, runs.load_record(dataset, "elfs"), draft)
    dataset.reload()
    found = dataset.select(ids, ordered=True)
    assert found.values("elfs.status") == ["sent"] * 12 and found.values("elfs.round") == [1] * 12
    assert found.values("elfs.source") == ["coverage"] * 3 + [None] * 9


def test_zones_of_a_column_are_those_of_the_intervals():
    ids = [str(ObjectId()) for _ in range(7)]
    ranked = fields.rank_column("elfs", ids, np.array([6, 0, 3, 1, 5, 2, 4]))
    zones = fields.zone_column("elfs", ranked, 2, 3)
    assert zones.ids is ids
    assert zones.encode(np.arange(7)) == ["easy", "hard", "coreset", "hard", "easy", "coreset", "coreset"]
    assert fields.zone_column("elfs", ranked, 0, 7).encode(np.array([0, 1])) == ["coreset", "coreset"]
