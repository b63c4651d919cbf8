"""A job that dies while it writes: before the commit it leaves the old state, after it what it began is finished."""

import threading
import time

import fiftyone as fo
import pytest
from bson import ObjectId
from fiftyone.core import odm
from pymongo.errors import OperationFailure

from elfs_plugin import runs
from elfs_plugin.errors import TakenOver
from elfs_plugin.runs import carry, fields, jobs, journal, record, roster, staging
from elfs_plugin.runs import saving as selection

VALUES = ("filepath", "tags", "elfs.pseudo_label.label", "elfs.aum", "elfs.rank", "elfs.zone")


class Killed(BaseException):
    """Ends a job as a signal would; nothing in the plugin knows it."""


def saved(dataset):
    """Everything that a run has written, as plain values that two datasets of the same files have in common."""
    dataset.reload()
    run = runs.load_record(dataset, "elfs")
    views = {name: dataset.load_saved_view(name).values("filepath") for name in dataset.list_saved_views()}

    def plain(details):
        # "choice" names a file by what it holds, ids among it.
        other = ("when", "seconds", "ranking", "since", "choice")
        return {name: value for name, value in details.items() if name not in other}

    stages, coresets = ({name: plain(d) for name, d in found.items()} for found in (run.stages, run.saved))
    there = [path for path in VALUES if dataset.get_field(path) is not None]
    return dataset.values(there), views, stages, coresets, sorted(runs.load_results(dataset, "elfs"))


def staged(dataset):
    prefix = f"{carry.STAGED}.{dataset._doc.id}."
    return [name for name in odm.get_db_conn().list_collection_names() if name.startswith(prefix)]


def select(dataset):
    runs.select_coreset(dataset, budget=4, beta=0.25, tag="kept", view_name="Kept")


def choose(dataset):
    runs.choose_coreset(dataset, method="prototypicality", budget=4, tag="kept", view_name="Kept")


JOBS = {"select_coreset": select, "choose_coreset": choose, "update_run": runs.update_run}


@pytest.fixture
def earlier(new_written):
    """A factory of datasets with a run and a coreset that was saved before, under the names that are used again. Two of
    its images have been deleted since."""

    def make():
        dataset, ids = new_written()
        runs.select_coreset(dataset, budget=2, beta=0.5, tag="kept", view_name="Kept")
        dataset.delete_samples([ids[1], ids[5]])
        return dataset

    return make


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_what_dies_before_the_commit_has_changed_nothing(earlier, monkeypatch, job):
    dataset = earlier()
    before = saved(dataset)

    def die(*args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(record, "save_record", die)
        with pytest.raises(Killed):
            job(dataset)
    assert saved(dataset) == before
    assert staged(dataset) == []
    assert runs.load_record(dataset, "elfs").pending is None
    assert "unfinished" not in runs.check_run(runs.Run(dataset, "elfs")).codes


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_what_dies_after_the_commit_is_found_and_finished(earlier, monkeypatch, job):
    """Before each step in turn: the state is reported, and finished to what an undisturbed job leaves."""
    undisturbed = earlier()
    job(undisturbed)
    wanted = saved(undisturbed)
    at = 0
    while True:
        dataset = earlier()
        if not killed_before(monkeypatch, at, job, dataset):
            break
        health = runs.check_run(runs.Run(dataset, "elfs"))
        assert health.codes == ["unfinished"] and not health.broken
        assert health.findings[0].operator == "repair_run"
        assert runs.repair_run(dataset) == {"key": "elfs", "finished": True, "deleted": False}
        assert saved(dataset) == wanted
        assert staged(dataset) == []
        at += 1
    assert at >= 2
    assert runs.repair_run(dataset)["finished"] is False
    assert saved(dataset) == wanted


def killed_before(monkeypatch, at, job, *args):
    """Runs a job that dies before its step number ``at``. Returns whether it had that many."""
    done = []

    def counting(function):
        def step(*given):
            if len(done) == at:
                raise Killed
            function(*given)
            done.append(given)

        return step

    with monkeypatch.context() as patch:
        for name, function in carry.STEPS.items():
            patch.setitem(carry.STEPS, name, counting(function))
        try:
            job(*args)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("deleted", [True, False])
def test_what_dies_while_a_view_is_saved_is_finished(earlier, monkeypatch, deleted):
    """When FiftyOne has removed the old view, and when it has saved the new one, whose id is not noted yet."""
    dataset = earlier()
    save = fo.Dataset.save_view

    def die(self, name, *args, **kwargs):
        if deleted:
            self.delete_saved_view(name)
        else:
            save(self, name, *args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fo.Dataset, "save_view", die)
        with pytest.raises(Killed):
            select(dataset)
    runs.repair_run(dataset)
    dataset.reload()
    run = runs.load_record(dataset, "elfs")
    assert run.saved_views == run.own_views(dataset) == ["Kept"] and dataset.list_saved_views() == ["Kept"]


def test_the_next_job_finishes_what_was_begun(earlier, monkeypatch):
    dataset = earlier()
    assert killed_before(monkeypatch, 1, select, dataset)
    runs.measure_stability(dataset, seeds=2)
    assert "unfinished" not in runs.check_run(runs.Run(dataset, "elfs")).codes
    assert runs.load_record(dataset, "elfs").saved["kept"]["budget"] == 4
    assert sorted(dataset.match_tags("kept").values("elfs.rank")) == [3, 4, 6]  # rank 5 is deleted


def test_names_of_an_interrupted_job_are_the_runs_own(earlier, monkeypatch):
    def under_new_names(dataset):
        runs.select_coreset(dataset, budget=4, beta=0, tag="other", view_name="Other")

    dataset = earlier()
    assert killed_before(monkeypatch, 1, under_new_names, dataset)
    run = runs.load_record(dataset, "elfs")
    assert run.tags == ["kept"] and run.own_tags == ["kept", "other"]
    selection.check_names(dataset, run, "other", "Other")
    under_new_names(dataset)
    assert dataset.count_sample_tags()["other"] == 3  # one of the four has been deleted


def test_a_stage_that_was_not_finished_says_how_to(new_dataset, monkeypatch):
    dataset = new_dataset(40)
    runs.compute_embeddings(dataset)
    runs.compute_pseudo_labels(dataset, num_clusters=3)
    assert killed_before(monkeypatch, 1, runs.compute_scores, dataset)
    with pytest.raises(Exception, match="was interrupted while it wrote its results. Use repair_run first"):
        select(dataset)
    runs.repair_run(dataset)
    select(dataset)
    assert len(dataset.match_tags("kept")) == 4


def test_what_was_begun_can_be_deleted(earlier, monkeypatch):
    def under_new_names(dataset):
        runs.select_coreset(dataset, budget=4, beta=0, tag="other", view_name="Other")

    for at in (0, 1):
        dataset = earlier()
        assert killed_before(monkeypatch, at, under_new_names, dataset)
        runs.delete_run(dataset)
        assert dataset.count_sample_tags() == {} and dataset.list_saved_views() == [] and runs.list_runs(dataset) == []
        assert not dataset.has_sample_field("elfs") and staged(dataset) == []


def test_what_was_staged_before_there_was_a_record_can_be_deleted(dataset, monkeypatch):
    def die(*args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(record, "save_record", die)
        patch.setattr(journal, "_drop", lambda *args: None)  # a killed process drops nothing
        with pytest.raises(Killed):
            runs.run_elfs(dataset, num_clusters=3, budget=10, beta=0)
    assert staged(dataset) and runs.load_record(dataset, "elfs") is None
    assert runs.delete_run(dataset)["key"] == "elfs"
    assert staged(dataset) == [] and jobs.store(dataset).list_keys() == []
    assert not record.run_folder(dataset, "elfs").exists()
    with pytest.raises(Exception, match="no ELFS run"):
        runs.delete_run(dataset)


def test_a_deletion_that_died_is_found_and_finished(earlier, monkeypatch):
    dataset = earlier()

    def die(*args):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fields, "delete_group", die)
        with pytest.raises(Killed):
            runs.delete_run(dataset)
    health = runs.check_run(runs.Run(dataset, "elfs"))
    assert health.codes == ["half_deleted"] and health.broken
    assert health.findings[0].operator == "delete_run"
    runs.delete_run(dataset)
    assert runs.list_runs(dataset) == [] and not dataset.has_sample_field("elfs")


def test_staged_values_that_are_gone_are_not_taken_for_written(earlier, monkeypatch):
    dataset = earlier()
    assert killed_before(monkeypatch, 0, runs.update_run, dataset)
    for name in staged(dataset):
        odm.get_db_conn().drop_collection(name)
    runs.repair_run(dataset)
    assert runs.load_record(dataset, "elfs").stages == {}
    with pytest.raises(Exception, match="Use compute_pseudo_labels"):
        runs.compute_scores(dataset)
    runs.delete_run(dataset)
    assert dataset.count_sample_tags() == {} and dataset.list_saved_views() == []


def test_a_job_that_was_taken_over_commits_nothing(earlier, monkeypatch):
    dataset = earlier()
    before = saved(dataset)
    save = staging.insert

    def lose(*args):
        held = jobs.store(dataset).get("lock_elfs")
        jobs.store(dataset).set("lock_elfs", {**held, "owner": "another"})
        return save(*args)

    monkeypatch.setattr(staging, "insert", lose)
    with pytest.raises(TakenOver):
        choose(dataset)
    assert saved(dataset) == before
    assert staged(dataset) == []


def test_values_of_samples_that_take_no_part_go_and_others_stay(new_written):
    dataset, ids = new_written()
    dataset.add_sample_field("elfs.mine", fo.StringField)
    dataset.set_values("elfs.mine", ["x"] * 12)
    run = runs.load_record(dataset, "elfs")
    draft = journal.Draft()
    draft.put(fields.rank_column("elfs", ids[:3], [2, 1, 0]))
    draft.add(*fields.label_columns("elfs", ids[:1], [0], [0.5], names=["new"]))
    journal.publish(dataset, run, draft)
    dataset.reload()
    assert dataset.values("elfs.rank") == [2, 1, 0] + [None] * 9
    assert dataset.values("elfs.pseudo_label.label")[:3] == ["new", "cluster 10", "cluster 2"]
    assert dataset.values("elfs.mine") == ["x"] * 12
    runs.delete_run(dataset)
    assert dataset.values("elfs.mine") == ["x"] * 12 and not dataset.has_sample_field("elfs.rank")


def test_what_was_staged_and_never_committed_is_swept(earlier):
    dataset, gone = earlier(), earlier()
    for name in (carry.staged_name(dataset, "elfs", "old", "values0"), carry.staged_name(gone, "elfs", "old", "v")):
        odm.get_db_conn()[name].insert_one({"_id": 1})
    gone.delete()
    select(dataset)
    assert staged(dataset) == [] and staged(gone) == []


# Lost values are no deletions


@pytest.mark.parametrize("known", [True, False])
def test_images_that_lost_their_values_are_taken_in_again(new_dataset, known):
    dataset = new_dataset(40)
    runs.run_elfs(dataset, num_clusters=3, budget=10, beta=0)
    ids = dataset.values("id")
    if not known:
        roster.forget(dataset, "elfs")
    lost = dict.fromkeys(ids[:5])
    dataset.set_values("elfs.rank", lost, key_field="id")
    dataset.delete_samples(ids[30:33])
    summary = runs.update_run(dataset)
    assert (summary["restored"], summary["deleted"], summary["added"], summary["samples"]) == (5, 3, 0, 37)
    assert sorted(dataset.values("elfs.rank")) == list(range(37))


@pytest.mark.parametrize("path", ["elfs.aum", "elfs.pseudo_label", "elfs.rank", "elfs_embeddings"])
def test_images_that_lost_one_value_stay_in_the_run(new_dataset, path):
    dataset = new_dataset(40)
    runs.run_elfs(dataset, num_clusters=3, budget=10, beta=0)
    labels = dict(zip(*dataset.values(["id", "elfs.pseudo_label.label"])))
    ids = dataset.values("id")
    dataset.set_values(path, dict.fromkeys(ids[:20]), key_field="id")
    dataset.delete_samples([ids[30]])
    summary = runs.update_run(dataset)
    lost = 0 if path == "elfs_embeddings" else 20
    # Ranks close their gaps without vectors; those are made again when they are needed.
    assert (summary["restored"], summary["deleted"], summary["added"], summary["samples"]) == (lost, 1, 0, 39)
    assert sorted(dataset.values("elfs.rank")) == list(range(39)) and None not in dataset.values("elfs.aum")
    now = dict(zip(*dataset.values(["id", "elfs.pseudo_label.label"])))
    assert None not in now.values()
    if path != "elfs.pseudo_label":
        assert now == {i: label for i, label in labels.items() if i in now}
    again = runs.update_run(dataset)
    assert (again["restored"], again["deleted"], again["samples"]) == (0, 0, 39)


def test_lost_vectors_are_made_again_when_images_are_added(new_dataset, digits):
    dataset = new_dataset(40)
    runs.run_elfs(dataset, num_clusters=3, budget=10, beta=0)
    labels, vectors = dataset.values("elfs.pseudo_label.label"), dataset.values("elfs_embeddings")
    dataset.set_values("elfs_embeddings", dict.fromkeys(dataset.values("id")[:5]), key_field="id")
    dataset.add_samples([fo.Sample(filepath=str(path)) for path in digits[50:53]])
    summary = runs.update_run(dataset)
    assert (summary["added"], summary["restored"], summary["failed"], summary["samples"]) == (3, 0, 0, 43)
    assert dataset.values("elfs.pseudo_label.label")[:40] == labels
    assert all(now.tolist() == then.tolist() for now, then in zip(dataset.values("elfs_embeddings"), vectors))


def test_given_vectors_that_are_lost_are_an_error_and_no_deletion(written, digits):
    dataset, ids = written
    dataset.add_sample(fo.Sample(filepath=str(digits[20]), vectors=[1.0, 0.0]))
    dataset.set_values("vectors", dict.fromkeys(ids[:2]), key_field="id")
    with pytest.raises(Exception, match=f"2 images of the run have no usable vector .* first: {min(ids[:2])}"):
        runs.update_run(dataset)
    assert runs.load_record(dataset, "elfs").stages["scores"]["scored"] == 12


def test_a_field_that_was_emptied_is_no_deletion(new_dataset):
    dataset = new_dataset(40)
    runs.run_elfs(dataset, num_clusters=3, budget=10, beta=0)
    dataset.clear_sample_field("elfs")
    health = runs.check_run(runs.Run(dataset, "elfs"))
    assert health.codes[0] == "samples_gone" and health.findings[0].operator == "run_elfs"
    with pytest.raises(Exception, match="Run ELFS again"):
        runs.update_run(dataset)
    assert runs.load_record(dataset, "elfs").stages["scores"]["scored"] == 40


def test_the_roster_names_the_samples_of_the_current_ranking(new_written):
    dataset, ids = new_written()
    roster.save(dataset, "elfs", "v1", ids)
    assert roster.load(dataset, "elfs", "v1") == sorted(ids)
    assert roster.load(dataset, "elfs", "v2") is None
    roster.forget(dataset, "elfs")
    assert roster.load(dataset, "elfs", "v1") is None


def test_a_large_roster_is_kept_in_several_documents(new_written, monkeypatch):
    dataset, ids = new_written()
    monkeypatch.setattr(roster, "MOST", 20)
    roster.save(dataset, "elfs", "v1", ids)
    store = jobs.store(dataset)
    parts = [key for key in store.list_keys() if key.startswith("ids_elfs")]
    assert len(parts) > 3 and all(len(store.get(key)["ids"]) <= 20 for key in parts)
    assert roster.load(dataset, "elfs", "v1") == sorted(ids)
    store.delete(parts[-1])
    assert roster.load(dataset, "elfs", "v1") is None
    roster.save(dataset, "elfs", "v2", ids[:6])
    assert roster.load(dataset, "elfs", "v2") == sorted(ids[:6])
    roster.forget(dataset, "elfs")
    assert not [key for key in store.list_keys() if key.startswith("ids_elfs")]


def test_what_the_database_still_moves_for_a_killed_job_is_ended(new_written):
    """It would write into the dataset after the run has been deleted."""
    dataset, ids = new_written()
    database, failed = odm.get_db_conn(), []
    staged_values = database[carry.staged_name(dataset, "elfs", "old", "values0")]
    staged_values.insert_many([{"_id": ObjectId(i)} for i in ids])
    slowly = {"$function": {"body": "function() { sleep(2000); return true; }", "args": [], "lang": "js"}}
    merge = {"$merge": {"into": dataset._sample_collection_name, "whenMatched": [{"$set": {"elfs.rank": 1}}]}}

    def move():
        try:
            comment = carry.staged_prefix(dataset, "elfs")
            staged_values.aggregate([{"$match": {"$expr": slowly}}, merge], comment=comment)
        except OperationFailure as error:
            failed.append(error)

    orphan = threading.Thread(target=move)
    orphan.start()
    time.sleep(0.5)
    journal.stop_orphans(dataset, "elfs")
    orphan.join(timeout=10)
    assert failed and not orphan.is_alive() and staged(dataset) == [staged_values.name]
    runs.delete_run(dataset)
    assert dataset._sample_collection.count_documents({"elfs": {"$exists": True}}) == 0
    assert staged(dataset) == []


def test_what_lies_between_fiftyones_documents_is_mended(earlier):
    """A view's document is written before the dataset links to it, and deleted before the link to it goes."""
    dataset = earlier()
    database, mine = odm.get_db_conn(), {"_id": dataset._doc.id}
    dataset.save_view("Mine", dataset.limit(1))
    dataset.reload()
    linked = database.datasets.find_one(mine)["saved_views"]
    gone = database.views.find_one({"_dataset_id": dataset._doc.id, "name": "Kept"})
    database.views.insert_one({**gone, "_id": ObjectId()})  # not linked to yet
    dangling = ObjectId()
    database.datasets.update_one(mine, {"$push": {"saved_views": dangling}})
    select(dataset)
    assert {view["name"] for view in database.views.find({"_dataset_id": dataset._doc.id})} == {"Kept", "Mine"}
    assert dangling not in database.datasets.find_one(mine)["saved_views"]
    runs.delete_run(dataset)
    mine_alone = [link for link in linked if link != gone["_id"]]
    assert database.datasets.find_one(mine)["saved_views"] == mine_alone
