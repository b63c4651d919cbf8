import csv
import errno
import json
import os
import shutil
import threading

import fiftyone as fo
import numpy as np
import pytest
from pymongo.errors import ServerSelectionTimeoutError

from elfs_plugin import runs, stages
from elfs_plugin.encoders import decoded
from elfs_plugin.errors import Busy, Cancelled, ElfsError, InvalidInput, NameTaken
from elfs_plugin.runs import carry, export, fields, jobs, record, session, staging, views
from elfs_plugin.runs import vectors as vectors_of_runs
from tests.few_steps import candidate_steps

FIELDS = (
    "elfs.pseudo_label.label",
    "elfs.pseudo_label.confidence",
    "elfs.aum",
    "elfs.forgetting",
    "elfs.el2n",
    "elfs.rank",
    "elfs.zone",
)


def run(collection, key="elfs", **changes):
    return runs.run_elfs(collection, key, **{"num_clusters": 5, "budget": 20, "beta": 0.1, **changes})


def values(collection, *paths):
    return list(zip(*collection.values(["id", *(paths or FIELDS)])))


def a_copied_image(dataset, folder):
    """The dataset's first sample, whose image is now a copy in ``folder``; and that file."""
    gone = folder / "gone.png"
    first = dataset.first()
    shutil.copy(first.filepath, gone)
    first.filepath = str(gone)
    first.save()
    return first, gone


def crash(error):
    def raise_it(*args, **kwargs):
        raise error

    return raise_it


@pytest.fixture
def vectors(dataset):
    """The dataset has a field 'clip' of vectors before any run."""
    dataset.add_sample_field("clip", fo.VectorField)
    rng = np.random.default_rng(0)
    found = 4 * np.eye(6)[np.arange(80) % 5] + 0.2 * rng.normal(size=(80, 6))
    dataset.set_values("clip", list(found))
    return found


# What a run writes


def test_the_fields_of_a_run_and_their_kinds(finished):
    dataset, _ = finished
    schema = dataset.get_field_schema(flat=True)
    written = {path: kind for path, kind in schema.items() if path.startswith("elfs")}
    own = {path for path in written if not path.startswith("elfs.pseudo_label.")}
    by_a_run = [names for stage, names in fields.PATHS.items() if stage != "rounds"]
    assert own == {"elfs", "elfs_embeddings", *(f"elfs.{name}" for names in by_a_run for name in names)}
    assert written["elfs.pseudo_label"].document_type is fo.Classification
    kinds = {
        "aum": fo.FloatField,
        "forgetting": fo.FloatField,
        "el2n": fo.FloatField,
        "rank": fo.IntField,
        "zone": fo.StringField,
    }
    assert {name: type(written[f"elfs.{name}"]) for name in kinds} == kinds
    assert type(written["elfs_embeddings"]) is fo.VectorField
    assert "elfs.rank" in dataset.list_indexes()


def test_every_sample_has_every_value(finished):
    dataset, summary = finished
    labels, confidence, aum, forgetting, el2n, rank, zone = dataset.values(FIELDS)
    assert {label.split()[0] for label in labels} == {"cluster"}
    assert {int(label.split()[1]) for label in labels} <= set(range(5))
    assert all(0 <= c <= 1 for c in confidence)
    assert all(np.isfinite([*aum, *forgetting, *el2n]))
    assert sorted(rank) == list(range(80))
    by_rank = sorted(zip(rank, aum))
    assert [a for _, a in by_rank] == sorted(aum)  # the hardest, lowest AUM first
    m, b = summary["hard"], summary["coreset"]
    assert zone == ["hard" if r < m else "coreset" if r < m + b else "easy" for r in rank]
    assert {len(v) for v in dataset.values("elfs_embeddings")} == {192}


def test_the_budget_is_kept_exactly(finished):
    dataset, summary = finished
    assert summary["budget"] == summary["coreset"] == 20
    assert dataset.count_values("elfs.zone")["coreset"] == 20
    assert dataset.count_sample_tags() == {"coreset": 20}
    assert len(dataset.load_saved_view("Coreset")) == 20
    assert sum(summary[zone] for zone in ("hard", "coreset", "easy")) == summary["samples"] == 80


def saved_view(dataset, name):
    again = fo.load_dataset(dataset.name)
    again.reload()
    return again.load_saved_view(name)


def test_the_saved_view_is_one_of_the_tag(finished):
    dataset, _ = finished
    view = saved_view(dataset, "Coreset")
    assert [type(stage) for stage in view._stages] == [fo.MatchTags]
    assert set(view.values("id")) == set(dataset.match_tags("coreset").values("id"))


def test_without_a_tag_the_saved_view_is_an_interval_of_ranks(dataset):
    summary = run(dataset, view_name="Coreset")
    view = saved_view(dataset, "Coreset")
    assert [type(stage) for stage in view._stages] == [fo.Match]
    text = json.dumps(view._serialize(), default=str)
    assert "elfs.rank" in text
    assert not any(i in text for i in dataset.values("id"))
    low = summary["hard"]
    assert sorted(view.values("elfs.rank")) == list(range(low, low + 20))


def test_the_zones_are_views(finished):
    dataset, summary = finished
    for zone in views.ZONES:
        view = runs.zone_view(runs.Run(dataset, "elfs"), zone)
        assert len(view) == summary[zone]
        assert set(view.values("elfs.zone")) <= {zone}
    with pytest.raises(InvalidInput, match="Unknown zone 'middle'"):
        runs.zone_view(runs.Run(dataset, "elfs"), "middle")


def test_the_summary_says_what_happened(finished):
    _, summary = finished
    assert (summary["key"], summary["stage"], summary["failed"], summary["clusters"]) == ("elfs", "selection", 0, 5)
    assert summary["embeddings_field"] == "elfs_embeddings"
    assert summary["beta"] in np.round(np.arange(0, 0.8, 0.1), 10)
    assert summary["reason"]
    assert set(summary["stages"]) == set(record.STAGE_ORDER)
    assert summary["resumed"] == []


def test_the_same_seed_gives_the_same_samples(finished, new_dataset):
    """On another dataset of the same files, with other ids."""
    dataset, summary = finished
    other = new_dataset()
    again = run(other, beta="auto")
    assert again["beta"] == summary["beta"]
    paths = ("filepath", "elfs.zone", "elfs.rank", "elfs.aum")
    assert other.values("elfs.aum") == dataset.values("elfs.aum")
    assert {v[1:] for v in values(other, *paths)} == {v[1:] for v in values(dataset, *paths)}


def test_the_order_of_a_view_does_not_matter(dataset):
    orders = {"one": dataset, "two": dataset.shuffle(seed=51), "three": dataset.sort_by("filepath", reverse=True)}
    found = []
    for key, view in orders.items():
        run(view, key, encoder="pixels", beta="auto", repeats=1)
        names = [path.replace("elfs", key) for path in FIELDS]
        found.append((dataset.values(names), runs.load_record(dataset, key).stages["beta"]["chosen"]))
    assert found[0] == found[1] == found[2]


def test_the_stages_one_by_one_are_the_whole(finished, dataset, new_dataset):
    whole, summary = finished
    runs.compute_embeddings(dataset)
    runs.compute_pseudo_labels(dataset, num_clusters=5)
    runs.compute_scores(dataset)
    assert runs.search_beta(dataset, budget=20)["beta"] == summary["beta"]
    parts = runs.select_coreset(dataset, budget=20, tag="coreset", view_name="Coreset")
    for name in ("hard", "coreset", "easy", "beta", "samples", "clusters"):
        assert parts[name] == summary[name]
    assert dataset.values(FIELDS) == whole.values(FIELDS)
    assert dataset.count_sample_tags() == whole.count_sample_tags()
    assert set(runs.load_record(dataset, "elfs").stages) == set(record.STAGE_ORDER)


@pytest.mark.parametrize(("score", "hardest_first"), [("aum", 1), ("forgetting", -1), ("el2n", -1)])
def test_ranks_follow_the_chosen_score(dataset, vectors, score, hardest_first):
    run(dataset, encoder=None, embeddings_field="clip", score=score)
    rank, found = dataset.values(["elfs.rank", f"elfs.{score}"])
    ordered = [s for _, s in sorted(zip(rank, found))]
    assert ordered == sorted(found, reverse=hardest_first < 0)
    assert runs.load_results(dataset, "elfs")["histogram"]["score"] == score


def test_small_resnets_score_the_images(dataset, vectors):
    runs.compute_pseudo_labels(dataset, num_clusters=5, embeddings_field="clip")
    summary = runs.compute_scores(dataset, proxy="resnet8", epochs=2, image_size=8)
    assert (summary["samples"], summary["failed"]) == (80, 0)
    assert runs.load_record(dataset, "elfs").stages["scores"]["proxy"]["kind"] == "resnet8"
    assert all(abs(aum) <= 2 for aum in dataset.values("elfs.aum"))


def test_the_resnet_proxy_excludes_files_that_have_gone(dataset, vectors, tmp_path):
    first, gone = a_copied_image(dataset, tmp_path)
    runs.compute_pseudo_labels(dataset, num_clusters=5, embeddings_field="clip")
    gone.unlink()
    summary = runs.compute_scores(dataset, proxy="resnet18", epochs=1, image_size=8)
    assert (summary["samples"], summary["failed"]) == (79, 1)
    assert runs.load_results(dataset, "elfs")["failures"] == {first.id: "file not found"}
    assert dataset[first.id]["elfs.rank"] is None
    assert sorted(r for r in dataset.values("elfs.rank") if r is not None) == list(range(79))


def test_the_search_on_images_leaves_out_files_that_have_gone(dataset, vectors, tmp_path, monkeypatch):
    candidate_steps(2, "resnet8", replace=monkeypatch.setattr)
    first, gone = a_copied_image(dataset, tmp_path)
    runs.compute_pseudo_labels(dataset, num_clusters=5, embeddings_field="clip")
    runs.compute_scores(dataset, proxy="mlp")
    gone.unlink()
    summary = runs.search_beta(dataset.limit(3), budget=40, repeats=1, proxy="resnet8", image_size=8)
    assert summary["reason"].endswith(" Images that cannot be read took no part: 1 (the first: file not found).")
    assert (summary["samples"], summary["budget"], summary["failed"]) == (80, 40, 0)  # it has a score as before
    assert dataset[first.id]["elfs.rank"] is not None


def test_an_unknown_proxy_for_the_search_is_refused(finished):
    dataset, _ = finished
    with pytest.raises(InvalidInput, match="Unknown proxy 'vgg'") as error:
        runs.search_beta(dataset, budget=20, proxy="vgg")
    assert error.value.field == "proxy"


def test_the_search_follows_the_proxy_of_the_scores(dataset, vectors, monkeypatch):
    candidate_steps(2, "resnet8", replace=monkeypatch.setattr)
    loaded, load = [], decoded.load_pixels

    def counted(paths, *rest, **options):
        loaded.append(len(paths))
        return load(paths, *rest, **options)

    monkeypatch.setattr(decoded, "load_pixels", counted)
    options = {"proxy": "resnet8", "epochs": 1, "image_size": 8, "beta": "auto", "repeats": 1}
    run(dataset, encoder=None, embeddings_field="clip", **options)
    stages = runs.load_record(dataset, "elfs").stages
    assert stages["beta"]["proxy"]["kind"] == "resnet8"
    assert loaded == [80]  # once for both stages
    runs.search_beta(dataset, budget=20, repeats=1, proxy="mlp")
    assert runs.load_record(dataset, "elfs").stages["beta"]["proxy"]["kind"] == "mlp"
    assert loaded == [80]


# Names in use


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"key": "mine"}, "key", "already has a field 'mine'"),
        ({"tag": "used"}, "tag", "The tag 'used' is already in use"),
        ({"view_name": "Used"}, "view_name", "A saved view 'Used' already exists"),
        ({"embeddings_field": "clip"}, "embeddings_field", "already has a field 'clip'"),
    ],
)
def test_names_in_use_are_refused_and_untouched(dataset, vectors, state_of, options, field, words):
    dataset.set_values("mine", list(range(80)))
    dataset.limit(3).tag_samples("used")
    dataset.save_view("Used", dataset.limit(2))
    before = state_of(dataset)
    with pytest.raises(NameTaken, match=words) as caught:
        run(dataset, **options)
    assert caught.value.field == field
    after = state_of(dataset)
    assert after._replace(stores=None) == before._replace(stores=None)
    assert dataset.values("mine") == list(range(80))
    assert len(dataset.load_saved_view("Used")) == 2
    np.testing.assert_array_equal(np.stack(dataset.values("clip")), vectors)


def test_a_run_may_reuse_its_own_names(dataset, vectors):
    for budget in (20, 12):
        run(dataset, encoder=None, embeddings_field="clip", tag="mine", view_name="Mine", budget=budget)
        assert dataset.count_sample_tags() == {"mine": budget}
        assert len(dataset.load_saved_view("Mine")) == budget
    with pytest.raises(NameTaken):
        run(dataset, "other", encoder=None, embeddings_field="clip", tag="mine")
    assert dataset.count_sample_tags() == {"mine": 12}


# What cannot be used


def test_bad_files_are_excluded_counted_and_listed(new_dataset, bad_files):
    dataset = new_dataset(60, extra=bad_files)
    summary = run(dataset, budget=0.5)
    assert (summary["samples"], summary["failed"], summary["coreset"]) == (60, len(bad_files), 30)
    bad = {sample.id: sample.filepath for sample in dataset if sample.filepath in bad_files}
    failures = runs.load_results(dataset, "elfs")["failures"]
    assert set(failures) == set(bad)
    for i, reason in failures.items():
        assert bad_files[bad[i]] in reason
    assert runs.load_record(dataset, "elfs").failed == len(bad_files)
    for row in values(dataset.select(list(bad)), *FIELDS, "elfs_embeddings"):
        assert row[1:] == (None,) * (len(FIELDS) + 1)
    assert sorted(dataset.exists("elfs.rank").values("elfs.rank")) == list(range(60))


def test_a_dataset_of_bad_files_only_is_refused(new_dataset, bad_files):
    dataset = new_dataset(0, extra=bad_files)
    with pytest.raises(InvalidInput):
        run(dataset, num_clusters=2, budget=1)
    assert not dataset.has_sample_field("elfs")
    assert jobs.read_job(dataset, "elfs")["state"] == "failed"


def test_bad_vectors_are_excluded_and_counted(dataset, vectors):
    ids = dataset.values("id")
    bad = {ids[0]: None, ids[7]: np.full(6, np.nan), ids[20]: np.array([0, np.inf, 0, 0, 0, 0]), ids[30]: np.ones(4)}
    dataset.set_values("clip", bad, key_field="id")
    summary = run(dataset, encoder=None, embeddings_field="clip")
    assert (summary["samples"], summary["failed"], summary["coreset"]) == (76, 4, 20)
    assert set(runs.load_results(dataset, "elfs")["failures"]) == set(bad)
    assert set(dataset.exists("elfs.rank", False).values("id")) == set(bad)
    assert np.array_equal(dataset[ids[30]]["clip"], np.ones(4))


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"num_clusters": 1}, "num_clusters", "between 2 and 80"),
        ({"num_clusters": 81}, "num_clusters", "80 samples cannot fill 81 clusters"),
        ({"num_clusters": 2.5}, "num_clusters", "must be a whole number"),
        ({"budget": 0}, "budget", "from 1 to 80; it is 0"),
        ({"budget": -3}, "budget", "it is -3"),
        ({"budget": 81}, "budget", "from 1 to 80; it is 81"),
        ({"budget": float("nan")}, "budget", "it is nan"),
        ({"budget": 1.5}, "budget", "it is 1.5"),
        ({"budget": "many"}, "budget", "'many' is no budget"),
        ({"budget": 40, "beta": 0.51}, "beta", "β must be between 0 and 0.5; it is 0.51"),
        ({"beta": -0.1}, "beta", "between 0 and 0.75"),
        ({"beta": float("nan")}, "beta", "it is nan"),
        ({"score": "luck"}, "score", "aum, forgetting, el2n"),
        ({"preset": "slow"}, "preset", "auto, quick, published"),
        ({"proxy": "vgg"}, "proxy", "Use 'auto', 'mlp', 'resnet8', 'resnet18'"),
        ({"key": "not a key"}, "key", "cannot be a run key"),
        ({"embeddings_field": "not a field"}, "embeddings_field", "cannot be a field name"),
        ({"encoder": None}, "embeddings_field", "Name the vector field"),
        ({"encoder": None, "embeddings_field": "absent"}, "embeddings_field", "no field 'absent'"),
    ],
)
def test_parameters_are_refused_before_anything_is_written(dataset, state_of, changes, field, words):
    before = state_of(dataset)
    with pytest.raises(InvalidInput, match=words) as caught:
        run(dataset, **changes)
    assert caught.value.field == field
    assert state_of(dataset)._replace(stores=None) == before._replace(stores=None)


def test_beta_and_budget_may_fill_the_dataset(dataset, vectors):
    summary = run(dataset, encoder=None, embeddings_field="clip", budget=0.75, beta=0.25)
    assert (summary["hard"], summary["coreset"], summary["easy"]) == (20, 60, 0)
    everything = runs.select_coreset(dataset, budget=1.0, beta=0)
    assert (everything["hard"], everything["coreset"], everything["easy"]) == (0, 80, 0)
    assert len(runs.zone_view(runs.Run(dataset, "elfs"), "easy")) == 0


@pytest.mark.parametrize("stage", ["compute_scores", "search_beta", "select_coreset"])
def test_a_stage_without_the_one_before_is_refused(dataset, vectors, stage):
    options = {"compute_scores": {}, "search_beta": {"budget": 5}, "select_coreset": {"budget": 5, "beta": 0}}[stage]
    with pytest.raises(InvalidInput, match="There is no ELFS run 'elfs'"):
        getattr(runs, stage)(dataset, **options)
    runs.compute_embeddings(dataset)
    with pytest.raises(InvalidInput, match="is not ready for"):
        getattr(runs, stage)(dataset, **options)


def test_a_tiny_view_needs_beta_by_hand(dataset):
    tiny = dict(num_clusters=2, budget=4)
    with pytest.raises(InvalidInput, match="at least 20 samples, there are 10. Set β by hand"):
        run(dataset[:10], beta="auto", **tiny)
    assert runs.list_runs(dataset) == [] and not dataset.has_sample_field("elfs_embeddings")
    summary = run(dataset[:10], beta=0.2, **tiny)
    assert (summary["hard"], summary["coreset"], summary["easy"]) == (2, 4, 4)


def test_beta_without_a_search_is_refused(dataset, vectors):
    runs.compute_pseudo_labels(dataset, num_clusters=5, embeddings_field="clip")
    runs.compute_scores(dataset)
    with pytest.raises(InvalidInput, match="No β has been searched yet"):
        runs.select_coreset(dataset, budget=10)


# Views


def test_duplicates_of_a_view_count_once(dataset, vectors):
    view = dataset[:50].concat(dataset[30:80])
    assert len(view) == 100
    summary = run(view, encoder=None, embeddings_field="clip", budget=0.5, tag="kept")
    assert (summary["samples"], summary["coreset"]) == (80, 40)
    assert sorted(dataset.values("elfs.rank")) == list(range(80))
    assert dataset.count_sample_tags() == {"kept": 40}


def test_a_rerun_on_a_smaller_view_leaves_nothing_outside(dataset):
    run(dataset, tag="kept", view_name="Kept")
    small = dataset[:40]
    summary = run(small, budget=10, tag="kept", view_name="Kept")
    assert summary["samples"] == 40
    assert sorted(small.values("elfs.rank")) == list(range(40))
    for row in values(dataset[40:], *FIELDS, "elfs_embeddings"):
        assert row[1:] == (None,) * (len(FIELDS) + 1)
    assert dataset[40:].count_sample_tags() == {}
    assert small.count_sample_tags() == {"kept": 10}
    assert set(dataset.load_saved_view("Kept").values("id")) == set(dataset.match_tags("kept").values("id"))


def test_samples_added_after_the_run_take_no_part(dataset, vectors, digits):
    run(dataset, encoder=None, embeddings_field="clip", tag="kept")
    new = dataset.add_samples([fo.Sample(filepath=str(path)) for path in digits[100:110]])
    assert dataset.select(new).values("elfs.rank") == [None] * 10
    runs.search_beta(dataset, budget=8, repeats=1)
    summary = runs.select_coreset(dataset, budget=8, tag="kept")
    assert summary["samples"] == 80
    assert dataset.count_sample_tags() == {"kept": 8}
    assert dataset.select(new).values("elfs.zone") == [None] * 10


def test_a_slice_of_a_grouped_dataset(digits, state_of):
    dataset = fo.Dataset()
    dataset.add_group_field("group", default="left")
    for first, second in zip(digits[:60], digits[60:120]):
        group = fo.Group()
        dataset.add_samples(
            [
                fo.Sample(filepath=str(first), group=group.element("left")),
                fo.Sample(filepath=str(second), group=group.element("right")),
            ]
        )
    before = state_of(dataset)
    right, left = (dataset.select_group_slices(name) for name in ("right", "left"))
    with pytest.raises(InvalidInput, match="this view holds groups"):
        run(dataset)
    summary = run(right, tag="kept", view_name="Kept", beta="auto", repeats=1)
    assert (summary["samples"], summary["coreset"]) == (60, 20)
    assert sorted(right.values("elfs.rank")) == list(range(60))
    assert left.values("elfs.rank") == [None] * 60
    kept = set(right.match_tags("kept").values("id"))
    assert len(kept) == 20
    assert left.count_sample_tags() == {}
    assert set(runs.zone_view(runs.Run(dataset, "elfs"), "coreset").values("id")) == kept
    assert set(dataset.load_saved_view("Kept").values("id")) == kept
    runs.search_beta(dataset, budget=10, repeats=1)
    assert runs.select_coreset(dataset, budget=10, tag="kept")["coreset"] == 10
    assert right.count_sample_tags() == {"kept": 10}
    runs.delete_run(dataset)
    assert state_of(dataset) == before
    assert right.count_sample_tags() == {}
    dataset.delete()


# Again, and after failures


def test_a_new_search_leaves_the_selection(dataset, vectors):
    run(dataset, encoder=None, embeddings_field="clip", tag="kept", view_name="Kept")
    before = values(dataset, "elfs.zone", "tags")
    applied = runs.load_record(dataset, "elfs").stages["selection"]
    summary = runs.search_beta(dataset, budget=0.5, repeats=1)
    assert values(dataset, "elfs.zone", "tags") == before
    assert runs.load_record(dataset, "elfs").stages["selection"] == applied
    assert runs.load_record(dataset, "elfs").stages["beta"]["budget"] == 40
    assert runs.load_results(dataset, "elfs")["beta"]["chosen"] in np.round(np.arange(0, 0.6, 0.1), 10)
    assert summary["coreset"] == 20
    assert len(runs.zone_view(runs.Run(dataset, "elfs"), "coreset")) == 20


def test_new_pseudo_labels_clear_what_was_made_from_the_old(dataset, vectors):
    run(dataset, encoder=None, embeddings_field="clip", beta="auto", repeats=1)
    runs.compute_pseudo_labels(dataset, num_clusters=4)
    assert set(runs.load_record(dataset, "elfs").stages) == {"pseudo_labels"}
    assert dataset.values("elfs.rank") == dataset.values("elfs.zone") == [None] * 80
    assert len(dataset.distinct("elfs.pseudo_label.label")) <= 4
    assert not {"beta", "histogram"} & set(runs.load_results(dataset, "elfs"))
    with pytest.raises(InvalidInput, match="not ready"):
        runs.zone_view(runs.Run(dataset, "elfs"), "coreset")


def test_the_same_run_again_resumes_everything(dataset):
    first = run(dataset, beta="auto", repeats=1)
    before = values(dataset)
    again = run(dataset, beta="auto", repeats=1)
    assert first["resumed"] == []
    assert again["resumed"] == ["embeddings", "neighbors", "pseudo_labels", "dynamics", "beta"]
    assert values(dataset) == before


@pytest.mark.parametrize(
    ("target", "name", "error", "words", "resumed"),
    [
        (stages, "train_proxy", RuntimeError("odd"), "RuntimeError: odd", 3),
        (stages, "cluster", MemoryError(), "Out of memory.*resumes from the last finished stage", 2),
        (stages.StageStore, "save", OSError(errno.ENOSPC, "No space left"), "The disk is full.*Free some space", 0),
        (fields, "score_columns", ServerSelectionTimeoutError("localhost"), "The connection to MongoDB was lost", 4),
        (staging, "insert", ServerSelectionTimeoutError("localhost"), "MongoDB was lost.*resumes", 1),
        (carry, "_merge", ServerSelectionTimeoutError("localhost"), "MongoDB was lost.*resumes", 1),
        (record, "replace_results", ServerSelectionTimeoutError("localhost"), "MongoDB was lost.*resumes", 1),
    ],
)
def test_a_run_that_failed_resumes(dataset, finished, monkeypatch, target, name, error, words, resumed):
    dataset.limit(5).tag_samples("mine")
    monkeypatch.setattr(target, name, crash(error))
    with pytest.raises(ElfsError, match=words):
        run(dataset, beta="auto", tag="kept")
    state = jobs.read_job(dataset, "elfs")
    assert state["state"] == "failed"
    assert not jobs.store(dataset).has("lock_elfs")
    assert dataset.count_sample_tags() == {"mine": 5}
    monkeypatch.undo()
    summary = run(dataset, beta="auto", tag="kept")
    assert summary["resumed"] == ["embeddings", "neighbors", "pseudo_labels", "dynamics"][:resumed]
    assert jobs.read_job(dataset, "elfs")["state"] == "completed"
    assert dataset.values(FIELDS) == finished[0].values(FIELDS)
    assert dataset.count_sample_tags() == {"mine": 5, "kept": 20}


def test_a_run_that_failed_can_be_deleted(dataset, monkeypatch, state_of):
    before = state_of(dataset)
    monkeypatch.setitem(carry.STEPS, "zones", crash(ServerSelectionTimeoutError("localhost")))
    with pytest.raises(ElfsError):
        run(dataset, tag="kept", view_name="Kept")
    assert dataset.has_sample_field("elfs.rank")
    assert runs.load_record(dataset, "elfs").pending
    runs.delete_run(dataset)
    assert state_of(dataset) == before


def test_a_run_is_cancelled_from_another_thread_and_resumes(dataset, finished):
    dataset.limit(5).tag_samples("mine")

    def cancel_while_clustering(event):
        if event.stage == stages.STAGES["pseudo_labels"]:
            thread = threading.Thread(target=jobs.request_cancel, args=(dataset, "elfs"))
            thread.start()
            thread.join()

    with pytest.raises(Cancelled):
        run(dataset, beta="auto", sinks=[cancel_while_clustering])
    assert jobs.read_job(dataset, "elfs")["state"] == "cancelled"
    assert not dataset.has_sample_field("elfs.rank")
    assert dataset.count_sample_tags() == {"mine": 5}
    assert "scores" not in runs.load_record(dataset, "elfs").stages
    summary = run(dataset, beta="auto")
    assert {"embeddings", "neighbors"} <= set(summary["resumed"])
    assert dataset.values(FIELDS) == finished[0].values(FIELDS)


def test_a_second_job_cannot_interleave(dataset, vectors):
    refused = []

    def interfere(event):
        if refused:
            return
        for attempt in (
            lambda: run(dataset),
            lambda: runs.delete_run(dataset),
            lambda: runs.compute_embeddings(dataset),
        ):
            try:
                attempt()
            except Busy as error:
                refused.append(str(error))

    runs.compute_embeddings(dataset)
    run(dataset, sinks=[interfere])
    assert len(refused) == 3
    assert all(message.startswith("Running ELFS is already running") for message in refused)
    assert sorted(dataset.values("elfs.rank")) == list(range(80))


def test_progress_never_falls_and_ends_at_one(dataset):
    events = []
    run(dataset, beta="auto", repeats=1, sinks=[events.append])
    overall = [event.overall for event in events]
    assert overall == sorted(overall) and overall[-1] == 1.0
    shown = list(dict.fromkeys(event.stage for event in events))
    named = [name for stage, name in stages.STAGES.items() if stage != "cluster_count"]
    assert shown == [*named, session.WRITING]
    state = jobs.read_job(dataset, "elfs")
    assert (state["state"], state["overall"], state["step"]) == ("completed", 1.0, 7)


def test_a_sink_that_fails_does_not_cost_the_run(dataset, vectors):
    assert run(dataset, encoder=None, embeddings_field="clip", sinks=[crash(ValueError("bar"))])["coreset"] == 20


def test_many_vectors_live_in_a_file_of_the_run(dataset, finished, monkeypatch, state_of):
    before = state_of(dataset)
    monkeypatch.setattr(vectors_of_runs, "LARGE", 50)
    summary = run(dataset, beta="auto")
    assert not dataset.has_sample_field("elfs_embeddings")
    assert dataset.values(FIELDS) == finished[0].values(FIELDS)
    folder = record.run_folder(dataset, "elfs")
    (file,) = folder.glob("embeddings-*.npy")
    assert np.load(file).shape == (80, 192)
    assert runs.search_beta(dataset, budget=20)["beta"] == summary["beta"]
    assert runs.compute_pseudo_labels(dataset, num_clusters=4)["samples"] == 80
    runs.delete_run(dataset)
    assert state_of(dataset) == before
    assert not folder.exists()


def test_lost_vectors_are_an_error_with_the_way_out(dataset):
    run(dataset)
    first = dataset.first().id
    dataset.set_values("elfs_embeddings", {first: None}, key_field="id")
    with pytest.raises(InvalidInput, match="1 samples of the run have no usable vector .* Compute the embeddings"):
        runs.search_beta(dataset, budget=10)


# Delete


def test_delete_restores_the_dataset(dataset, vectors, state_of):
    dataset.limit(5).tag_samples("mine")
    dataset.save_view("Mine", dataset.limit(4))
    dataset.app_config.plugins = {"mine": {"a": 1}}
    dataset.info["mine"] = 1
    dataset.save()
    before, tags = state_of(dataset), dataset.values("tags")
    run(dataset, tag="kept", view_name="Kept", beta="auto", repeats=1)
    folder = record.run_folder(dataset, "elfs")
    assert folder.is_dir()
    removed = runs.delete_run(dataset)
    assert removed == {"key": "elfs", "fields": ["elfs", "elfs_embeddings"], "tags": ["kept"], "saved_views": ["Kept"]}
    assert state_of(dataset) == before
    assert dataset.values("tags") == tags
    assert not folder.exists() and not folder.parent.exists()
    np.testing.assert_array_equal(np.stack(dataset.values("clip")), vectors)


def test_delete_leaves_other_runs_and_fields(dataset, vectors):
    run(dataset, "one", encoder=None, embeddings_field="clip", tag="one", view_name="One")
    run(dataset, "two", encoder=None, embeddings_field="clip", tag="two", view_name="Two")
    two = values(dataset, "two.pseudo_label.label", "two.aum", "two.rank", "two.zone")
    runs.delete_run(dataset, "one")
    assert runs.list_runs(dataset) == ["two"]
    assert values(dataset, "two.pseudo_label.label", "two.aum", "two.rank", "two.zone") == two
    assert dataset.count_sample_tags() == {"two": 20}
    assert dataset.list_saved_views() == ["Two"]
    assert "two.rank" in dataset.list_indexes() and "one.rank" not in dataset.list_indexes()
    assert sorted(jobs.store(dataset).list_keys()) == ["ids_two", "job_two"]
    assert record.run_folder(dataset, "two").is_dir() and not record.run_folder(dataset, "one").exists()
    np.testing.assert_array_equal(np.stack(dataset.values("clip")), vectors)
    assert runs.search_beta(dataset, "two", budget=10, repeats=1)["key"] == "two"


def test_shared_embeddings_stay_until_the_last_run_that_uses_them(dataset, state_of):
    before = state_of(dataset)
    run(dataset, "one")
    run(dataset, "two", encoder=None, embeddings_field="one_embeddings")
    assert runs.delete_run(dataset, "one")["fields"] == ["one"]
    assert runs.search_beta(dataset, "two", budget=10, repeats=1)["key"] == "two"
    assert runs.delete_run(dataset, "two")["fields"] == ["two", "one_embeddings"]
    assert state_of(dataset) == before


def test_shared_embeddings_stay_when_their_run_turns_to_others(dataset, vectors):
    run(dataset, "one")
    run(dataset, "two", encoder=None, embeddings_field="one_embeddings")
    run(dataset, "one", encoder=None, embeddings_field="clip")
    assert runs.search_beta(dataset, "two", budget=10, repeats=1)["key"] == "two"
    assert runs.delete_run(dataset, "two")["fields"] == ["two", "one_embeddings"]


def test_own_embeddings_go_when_the_run_turns_to_others(dataset, vectors):
    run(dataset)
    run(dataset, encoder=None, embeddings_field="clip")
    assert not dataset.has_sample_field("elfs_embeddings")
    runs.delete_run(dataset)
    assert dataset.has_sample_field("clip")


def test_there_is_nothing_to_delete(dataset):
    with pytest.raises(InvalidInput, match=r"There is no ELFS run 'elfs' on this dataset \(runs: none\)"):
        runs.delete_run(dataset)


# Export


def test_csv_lists_the_coreset_by_rank(finished, tmp_path):
    dataset, _ = finished
    path = tmp_path / "new" / "coreset.csv"
    result = runs.export_coreset(dataset, path=str(path))
    assert (result["path"], result["exported"], result["missing"]) == (str(path), 20, 0)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "filepath",
        "id",
        "rank",
        "zone",
        "aum",
        "forgetting",
        "el2n",
        "dual",
        "pseudo_label.label",
        "pseudo_label.confidence",
        "agreement",
    ]
    view = runs.zone_view(runs.Run(dataset, "elfs"), "coreset").sort_by("elfs.rank")
    assert [row["id"] for row in rows] == view.values("id")
    assert [row["filepath"] for row in rows] == view.values("filepath")
    assert [int(row["rank"]) for row in rows] == view.values("elfs.rank")
    for name in ("aum", "dual", "agreement"):
        assert [float(row[name]) for row in rows] == view.values(f"elfs.{name}")
    assert {row["zone"] for row in rows} == {"coreset"}
    assert [row["pseudo_label.label"] for row in rows] == view.values("elfs.pseudo_label.label")
    assert sorted(os.listdir(path.parent)) == [".coreset.csv.elfs-export.json", "coreset.csv"]


def test_images_are_copied(finished, tmp_path):
    dataset, summary = finished
    for zone in views.ZONES:
        folder = tmp_path / zone
        assert runs.export_coreset(dataset, path=str(folder), format="images", zone=zone)["exported"] == summary[zone]
        names = sorted(os.path.basename(p) for p in runs.zone_view(runs.Run(dataset, "elfs"), zone).values("filepath"))
        assert sorted(os.listdir(folder)) == names


def test_images_of_one_name_in_two_folders_are_both_copied(dataset, vectors, tmp_path):
    for name, sample in zip(("a", "b"), dataset.limit(2)):
        (tmp_path / "in" / name).mkdir(parents=True)
        sample.filepath = shutil.copy(sample.filepath, str(tmp_path / "in" / name / "same.png"))
        sample.save()
    run(dataset[:2], num_clusters=2, budget=2, beta=0, encoder=None, embeddings_field="clip", neighbors=1)
    assert runs.export_coreset(dataset, path=str(tmp_path / "out"), format="images")["exported"] == 2
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png")) == [
        "a/same.png",
        "b/same.png",
    ]


@pytest.mark.parametrize("format", export.EXPORT_FORMATS)
def test_an_empty_zone_is_not_exported(dataset, vectors, tmp_path, format):
    run(dataset, encoder=None, embeddings_field="clip", budget=1.0, beta=0)
    with pytest.raises(InvalidInput, match="The zone 'hard' of the run 'elfs' holds no images"):
        runs.export_coreset(dataset, path=str(tmp_path / "out"), format=format, zone="hard")
    assert os.listdir(tmp_path) == []


def test_a_fiftyone_dataset_keeps_the_fields(finished, tmp_path):
    dataset, _ = finished
    runs.export_coreset(dataset, path=str(tmp_path / "out"), format="fiftyone")
    copy = fo.Dataset.from_dir(str(tmp_path / "out"), dataset_type=fo.types.FiftyOneDataset)
    coreset = runs.zone_view(runs.Run(dataset, "elfs"), "coreset")
    assert sorted(copy.values("elfs.rank")) == sorted(coreset.values("elfs.rank"))
    assert set(copy.values("elfs.zone")) == {"coreset"}
    copy.delete()


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"path": "relative.csv"}, "path", "Give an absolute path"),
        ({"path": None}, "path", "Give an absolute path"),
        ({"path": ""}, "path", "Give an absolute path"),
        ({"format": "pdf"}, "format", "csv, images, fiftyone"),
        ({"zone": "middle"}, "zone", "hard, coreset, easy"),
        ({"key": "other"}, "key", "There is no ELFS run 'other'"),
    ],
)
def test_exports_are_refused(finished, tmp_path, options, field, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        runs.export_coreset(finished[0], **{"path": str(tmp_path / "out.csv"), **options})
    assert caught.value.field == field
    assert os.listdir(tmp_path) == []


def test_a_run_without_a_selection_cannot_be_exported(dataset, vectors, tmp_path):
    runs.compute_pseudo_labels(dataset, num_clusters=5, embeddings_field="clip")
    with pytest.raises(InvalidInput, match="not ready for showing a zone. Use select_coreset"):
        runs.export_coreset(dataset, path=str(tmp_path / "out.csv"))


def test_an_estimated_number_of_clusters_keeps_its_evidence(dataset):
    summary = run(dataset, num_clusters="auto", beta=0.0)
    results = record.load_results(dataset, "elfs")
    evidence = results["cluster_count"]
    assert summary["clusters"] == evidence["suggested"] == results["clusters"]["clusters"]
    assert summary["estimate"] == evidence["explanation"]
    assert set(evidence["curves"]) == set(evidence["picks"])
    assert record.load_record(dataset, "elfs").stages["pseudo_labels"]["estimated"]
    # Clusters set by hand afterwards leave no estimate behind.
    again = run(dataset, num_clusters=3, beta=0.0)
    assert again["clusters"] == 3 and again["estimate"] is None


def test_agreement_and_dual_are_written_for_every_sample(dataset):
    run(dataset, beta=0.0)
    agreement, dual = dataset.values(["elfs.agreement", "elfs.dual"])
    assert all(0 < value <= 1 for value in agreement)
    assert all(value is not None and value >= 0 for value in dual)


def test_ranking_by_dual(dataset):
    run(dataset, beta=0.0, score="dual")
    dual, rank = dataset.values(["elfs.dual", "elfs.rank"])
    # High is hard: rank 0 has the highest score.
    assert dual[rank.index(0)] == max(dual)
