import json
import os

import fiftyone as fo
import numpy as np
import pytest
from fiftyone.core.collections import SampleCollection
from pymongo.errors import ServerSelectionTimeoutError

from elfs_plugin import runs
from elfs_plugin.errors import Busy, Cancelled, InvalidInput, NameTaken
from elfs_plugin.evaluation import budget_curve as curves
from elfs_plugin.runs import coresets as members
from elfs_plugin.runs import jobs, record, staleness
from elfs_plugin.runs.arrays import kept_graph, read_pool


@pytest.fixture(autouse=True, scope="module")
def short_probes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "STEPS", 20)
        yield


def digit(path):
    return os.path.basename(path).split("_")[1][0]


@pytest.fixture(scope="module")
def pristine(new_dataset):
    """A dataset of 80 digits with their truth, a run 'elfs' and a run 'other', tags and views; only for copies."""
    dataset = new_dataset()
    dataset.set_values("ground_truth", [fo.Classification(label=digit(p)) for p in dataset.values("filepath")])
    runs.run_elfs(dataset, num_clusters=5, budget=20, beta=0.1, tag="first", view_name="First")
    runs.run_elfs(
        dataset, "other", num_clusters=4, budget=16, beta=0.0, embeddings_field="elfs_embeddings", encoder=None
    )
    return dataset


@pytest.fixture(scope="module")
def analysed(pristine):
    """To be read only, but for results. A copy: it has none of the files of its runs, the graph for example."""
    dataset = pristine.clone()
    yield dataset
    dataset.delete()


@pytest.fixture
def selected(pristine):
    """The same for one test, to be changed."""
    dataset = pristine.clone()
    yield dataset
    dataset.delete()


def stored(dataset, name, key="elfs"):
    found = record.load_results(dataset, key)[name]
    assert json.loads(json.dumps(found)) == found
    return found


# The pool


def test_the_pool_is_bound_to_ids(analysed):
    pool = read_pool(runs.Run(analysed, "elfs"))
    assert pool.ids.tolist() == sorted(analysed.values("id")) and len(pool) == 80
    by_id = {s.id: s for s in analysed}
    for row in (0, 17, 79):
        sample = by_id[pool.ids[row]]
        assert pool.scores[row] == sample.elfs.aum
        assert pool.names[pool.labels[row]] == sample.elfs.pseudo_label.label
        assert np.allclose(pool.vectors[row], sample.elfs_embeddings)
    assert pool.counts == {"samples": 80, "without_vector": 0, "deleted": 0}
    assert pool.places([pool.ids[3], "unknown", pool.ids[1], pool.ids[3]]).tolist() == [1, 3]


def test_the_runs_own_graph_is_used(pristine, analysed):
    pool = read_pool(runs.Run(pristine, "elfs"))
    graph = kept_graph(runs.Run(pristine, "elfs"), pool)
    similarity = pool.vectors / np.linalg.norm(pool.vectors, axis=1, keepdims=True)
    similarity = similarity @ similarity.T
    np.fill_diagonal(similarity, -1)
    assert np.allclose(similarity.max(axis=1), graph.similarities[:, 0], atol=2e-3)
    assert kept_graph(runs.Run(pristine, "elfs"), pool.only(np.arange(40))) is None
    assert kept_graph(runs.Run(analysed, "elfs"), read_pool(runs.Run(analysed, "elfs"))) is None


def test_samples_that_lost_their_vector_or_are_gone(selected):
    ids = selected.values("id")
    selected[:2].set_values("elfs_embeddings", [None, None])
    selected.delete_samples(ids[5:8])
    pool = read_pool(runs.Run(selected, "elfs"))
    assert pool.counts == {"samples": 75, "without_vector": 2, "deleted": 3}
    assert not set(ids[:2] + ids[5:8]) & set(pool.ids.tolist())
    summary = runs.compare_coresets(selected, ["tag:first", "elfs@beta=0.0,budget=30"], seeds=1)
    assert (summary["samples"], summary["deleted"]) == (75, 3)
    gone = 30 - len(selected.match({"elfs.rank": {"$lt": 30}}))
    assert [member["missing"] for member in summary["members"]] == [0, gone]
    assert sum(member["outside"] for member in summary["members"]) <= 4
    selected.clear_sample_field("elfs_embeddings")
    with pytest.raises(InvalidInput, match="holds no vectors in this view. Compute embeddings first"):
        runs.budget_curve(selected)


# Comparison


def test_all_kinds_of_members(analysed):
    members = ["tag:first", "run:elfs", "view:First", "elfs@beta=0.1,budget=20", {"run": "other"}]
    summary = runs.compare_coresets(analysed, members, seeds=1)
    found = stored(analysed, "comparison")
    assert found["names"] == ["tag:first", "run:elfs", "view:First", "elfs@beta=0.1,budget=20", "run:other"]
    assert found["sizes"] == [20, 20, 20, 20, 16]
    assert np.all(np.array(found["overlap"])[:4, :4] == 20)  # four names of one coreset
    ids = [set(analysed.match({f"{key}.zone": "coreset"}).values("id")) for key in ("elfs", "other")]
    assert found["overlap"][0][4] == len(ids[0] & ids[1])
    assert len(found["clusters"]) == len(found["pool_counts"]) == len(found["cluster_counts"][0])
    assert found["made"]["settings"] == {"seeds": 1, "seed": 0} and found["size_of_pool"] == 80
    assert len(summary["sentences"]) == 5


def test_a_coreset_of_one_image_and_names_of_ones_own(analysed):
    runs.compare_coresets(analysed, [{"run": "elfs", "beta": 0.5, "budget": 1, "name": "one"}, "run:elfs"], seeds=2)
    assert stored(analysed, "comparison")["names"] == ["one", "run:elfs"]
    assert stored(analysed, "comparison")["sizes"] == [1, 20]


def test_the_same_seed_gives_the_same_comparison(analysed):
    found = []
    for seed in (3, 3, 4):
        runs.compare_coresets(analysed, ["run:elfs", "run:other"], seeds=2, seed=seed)
        found.append(stored(analysed, "comparison"))
    for name in ("accuracy", "accuracy_random", "coverage_random", "near_duplicates"):
        assert found[0][name] == found[1][name]
    assert found[0]["coverage_random"] != found[2]["coverage_random"]


def test_a_lost_database_is_not_blamed_on_a_saved_view(analysed, monkeypatch):
    def lost(self, name):
        raise ServerSelectionTimeoutError("no server")

    monkeypatch.setattr(fo.Dataset, "load_saved_view", lost)
    with pytest.raises(ServerSelectionTimeoutError):
        members.member_ids(analysed, members.parse_members(["view:First"])[0])


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (["run:elfs"], "two to 10 coresets to compare, not 1"),
        ([], "two to 10 coresets to compare, not 0"),
        (["run:elfs", "tag:nothing"], "No sample has the tag 'nothing' \\(tags: first\\)"),
        (["run:elfs", "view:Nothing"], "no saved view 'Nothing' \\(saved views: First\\)"),
        (["run:elfs", "run:nothing"], "There is no ELFS run 'nothing'"),
        (["run:elfs", "elfs@beta=0.9,budget=20"], "β must be between 0 and 0.75"),
        (["run:elfs", "elfs@beta=0.1,budget=900"], "budget must be .* it is 900"),
        (["run:elfs", "elfs"], "'elfs' names no coreset. Write run:<key>"),
        (["run:elfs", "elfs@beta=0.1"], "names no coreset"),
        (["run:elfs", "elfs@beta=low,budget=3"], "names no coreset"),
        (["run:elfs", "elfs@beta=0,budget=200%"], "names no coreset"),
        (["run:elfs", {"tag": "a", "view": "b"}], "names no coreset"),
        (["run:elfs", 7], "7 names no coreset"),
        (["run:elfs", "run:elfs"], "'run:elfs' is named twice"),
    ],
)
def test_members_that_cannot_be(analysed, members, words):
    before = record.load_results(analysed, "elfs").get("comparison")
    with pytest.raises(InvalidInput, match=words) as error:
        runs.compare_coresets(analysed, members)
    assert error.value.field == "members"
    assert record.load_results(analysed, "elfs").get("comparison") == before


def test_a_tag_that_was_deleted_since(selected):
    runs.compare_coresets(selected, ["tag:first", "run:elfs"], seeds=1)
    selected.untag_samples("first")
    with pytest.raises(InvalidInput, match="No sample has the tag 'first'.*Save the coreset again"):
        runs.compare_coresets(selected, ["tag:first", "run:elfs"], seeds=1)


def test_coresets_that_the_run_does_not_have(selected, digits):
    selected.add_samples([fo.Sample(filepath=str(digits[100]), tags=["new"])])
    selected.match_tags("first").limit(2).tag_samples("mixed")
    selected.match_tags("new").tag_samples("mixed")
    with pytest.raises(InvalidInput, match="'tag:new' holds no image that the run 'elfs' has scored"):
        runs.compare_coresets(selected, ["tag:new", "run:elfs"], seeds=1)
    runs.compare_coresets(selected, ["tag:mixed", "run:elfs"], seeds=1)
    assert [member["outside"] for member in stored(selected, "comparison")["members"]] == [1, 0]
    selected.save_view("Empty", selected.match_tags("absent"))
    with pytest.raises(InvalidInput, match="'view:Empty' holds no image"):
        runs.compare_coresets(selected, ["view:Empty", "run:elfs"], seeds=1)


def test_a_saved_view_of_labels(selected):
    boxes = [fo.Detections(detections=[fo.Detection(label="a", bounding_box=[0, 0, 0.5, 0.5])]) for _ in range(80)]
    selected.set_values("boxes", boxes)
    selected.save_view("Patches", selected.to_patches("boxes"))
    with pytest.raises(InvalidInput, match="'Patches' holds labels, clips or frames"):
        runs.compare_coresets(selected, ["view:Patches", "run:elfs"])


def test_what_only_one_has(analysed):
    ids = {
        name: set(runs.member_ids(analysed, name))
        for name in ("tag:first", "run:other", "elfs@beta=0.3,budget=0.25", "view:First")
    }
    for one in ids:
        for other in ids:
            view = runs.difference_view(analysed, one, other)
            assert set(view.values("id")) == ids[one] - ids[other] == set(runs.difference_ids(analysed, one, other))
    small = json.dumps(runs.difference_view(analysed, "tag:first", "run:other")._serialize(), default=str)
    assert not any(i in small for i in analysed.values("id"))


def test_unscored_samples_are_in_the_difference(selected, digits):
    selected.add_samples([fo.Sample(filepath=str(digits[100]), tags=["new"])])
    assert runs.difference_view(selected, "tag:new", "run:elfs").values("id") == selected.match_tags("new").values("id")


def test_what_there_is_to_compare(analysed):
    assert runs.member_choices(analysed) == ["run:elfs", "run:other", "tag:first", "view:First"]


def test_members_as_text():
    found = runs.parse_members("tag:a b; run:elfs\nelfs@beta=0.2,budget=10%;elfs@ budget=7 , beta=0")
    assert [str(member) for member in found] == [
        "tag:a b",
        "run:elfs",
        "elfs@beta=0.2,budget=0.1",
        "elfs@beta=0,budget=7",
    ]
    assert [str(runs.parse_members([str(member)])[0]) for member in found] == [str(member) for member in found]


def test_settings_in_other_types():
    given = [{"run": "elfs", "beta": np.float32(0.2), "budget": np.int64(10)}, "elfs@beta=20%,budget=10%"]
    assert [str(member) for member in runs.parse_members(given)] == [
        "elfs@beta=0.2,budget=10",
        "elfs@beta=0.2,budget=0.1",
    ]
    for wrong in (5, {"tag": "a"}, [{"run": "elfs", "beta": "x", "budget": 1}], ["elfs@beta=0.1,budget=2.0"], [None]):
        with pytest.raises(InvalidInput, match="names no coreset"):
            runs.parse_members(wrong)


def test_a_difference_that_no_view_can_list(analysed, monkeypatch):
    monkeypatch.setattr("elfs_plugin.runs.reading.MOST_LISTED", 1)
    analysed.save_view("half", analysed.limit(40))
    with pytest.raises(InvalidInput, match="more than a view can list .* Tag the images of 'view:half'"):
        runs.difference_view(analysed, "run:elfs", "view:half")
    analysed.delete_saved_view("half")


def test_labels_of_detections_are_no_truth(analysed):
    box = fo.Detection(label="a", bounding_box=[0, 0, 1, 1])
    analysed.set_values("boxes", [fo.Detections(detections=[box])] * len(analysed))
    try:
        assert not [path for path in runs.truth_fields(analysed) if path.startswith("boxes")]
        for path in ("boxes.detections.label", "boxes.detections"):
            with pytest.raises(InvalidInput, match="holds a list for each image|holds no class for each image"):
                runs.truth_path(analysed, path)
    finally:
        analysed.delete_sample_field("boxes")


@pytest.mark.parametrize(
    ("analysis", "options"),
    [
        ("compare_coresets", {"members": ["tag:first", "run:elfs"]}),
        ("measure_stability", {}),
        ("budget_curve", {}),
        ("audit", {"truth_field": "digit"}),
    ],
)
def test_numbers_are_checked_before_the_job(analysed, analysis, options):
    count = "repeats" if analysis == "budget_curve" else "seeds"
    for wrong in ({count: "three"}, {count: 1.5}, {count: True}, {count: 0}, {"seed": -1}, {"seed": "x"}):
        with pytest.raises(InvalidInput, match="must be a whole number from"):
            getattr(runs, analysis)(analysed, **options, **wrong)


# Stability and budget curve


def test_stability_of_the_applied_coreset(analysed):
    summary = runs.measure_stability(analysed, seeds=2)
    found = stored(analysed, "stability")
    assert (found["budget"], found["beta"], len(found["seeds"])) == (20, 0.1, 2)
    assert found["chosen_by_counts"][0] + found["chosen_by_counts"][1] + found["chosen_by_counts"][2] == 80
    ids, chosen_by = runs.read_stability(analysed)
    by_id = dict(zip(ids.tolist(), chosen_by.tolist()))
    # The first seed is the run's own: every image of its coreset was chosen once at least.
    assert all(by_id[i] >= 1 for i in analysed.match_tags("first").values("id"))
    assert sum(by_id.values()) == 2 * 20
    assert summary["sentence"] == found["sentence"] and found["chance"] == 0.25


def test_a_damaged_file_of_stability_is_as_if_there_were_none(analysed):
    from elfs_plugin.runs import record

    path = record.run_folder(analysed, "elfs") / "stability.npz"
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"noise" * 100):
        path.write_bytes(damaged)
        assert runs.read_stability(analysed) is None
    path.write_bytes(whole)
    assert runs.read_stability(analysed) is not None and not list(path.parent.glob("*partial*"))


def test_stability_with_settings(analysed):
    runs.measure_stability(analysed, budget=0.5, beta=0.0, seeds=2, proxy="mlp", seed=5)
    found = stored(analysed, "stability")
    assert (found["budget"], found["beta"], found["seeds"][0]) == (40, 0.0, 5)
    for changes, words in (
        ({"beta": "auto"}, "No β has been applied or searched"),
        ({"beta": 0.9}, "β must be between"),
        ({"seeds": 1}, "2 to 20 seeds"),
        ({"proxy": "resnet18"}, "Use 'run' or 'mlp'"),
    ):
        with pytest.raises(InvalidInput, match=words):
            runs.measure_stability(analysed, **changes)


def test_what_has_to_be_done_first(dataset):
    runs.compute_embeddings(dataset)
    runs.compute_pseudo_labels(dataset, num_clusters=5)
    with pytest.raises(InvalidInput, match="not ready for measuring stability. Use compute_scores"):
        runs.measure_stability(dataset)
    runs.compute_scores(dataset)
    with pytest.raises(InvalidInput, match="No coreset has been applied yet"):
        runs.measure_stability(dataset)
    with pytest.raises(InvalidInput, match="not ready for auditing. Use select_coreset"):
        runs.audit(dataset, truth_field="filepath")
    assert runs.read_stability(dataset) is None


def test_stability_of_scores_from_images(selected, digits, tmp_path):
    """The proxy of the run is trained again on the images; one that cannot be read any more is left out."""
    few = selected.limit(24)
    runs.compute_scores(few, proxy="resnet18", epochs=1)
    runs.select_coreset(selected, budget=6, beta=0.0)
    lost = few.first()
    lost.filepath = str(tmp_path / "gone.png")
    lost.save()
    summary = runs.measure_stability(selected, seeds=2)
    assert (summary["samples"], summary["unreadable"]) == (23, 1)
    assert lost.id not in runs.read_stability(selected)[0]
    assert sum(stored(selected, "stability")["chosen_by_counts"]) == 23


def test_the_budget_curve(analysed):
    summary = runs.budget_curve(analysed, repeats=2)
    found = stored(analysed, "budget_curve")
    assert found["budgets"] == [15, 28, 40, 56, 80]  # three for each of five clusters, then the ladder
    assert np.shape(found["coreset"]) == np.shape(found["random"]) == (len(found["budgets"]), 2)
    assert summary["enough"] == found["enough"] in found["budgets"]
    runs.budget_curve(analysed, budgets=[10, 0.5], beta=0.3, repeats=1)
    assert stored(analysed, "budget_curve")["budgets"] == [10, 40]
    assert stored(analysed, "budget_curve")["betas"] == [0.3, 0.3]
    with pytest.raises(InvalidInput, match="it is 81"):
        runs.budget_curve(analysed, budgets=[81])


@pytest.mark.parametrize("n", [10, 50])
def test_small_runs(new_dataset, n):
    dataset = new_dataset(n)
    dataset.set_values("digit", [digit(p) for p in dataset.values("filepath")])
    runs.run_elfs(dataset, num_clusters=3, budget=5, beta=0.1, tag="few")
    jobs_of = {
        "comparison": lambda: runs.compare_coresets(dataset, ["tag:few", "elfs@beta=0.0,budget=1"], seeds=1),
        "budget_curve": lambda: runs.budget_curve(dataset, repeats=1),
        "audit": lambda: runs.audit(dataset, truth_field="digit", seeds=1),
    }
    for name, analyse in jobs_of.items():
        if n < 20:
            with pytest.raises(InvalidInput, match="at least 20 samples"):
                analyse()
            assert name not in record.load_results(dataset, "elfs")
        else:
            analyse()
            assert stored(dataset, name)["samples" if name != "comparison" else "size_of_pool"] == n
    assert runs.measure_stability(dataset, seeds=2)["samples"] == n


# Audit


def test_the_audit(analysed):
    summary = runs.audit(analysed, truth_field="ground_truth", seeds=2)
    found = stored(analysed, "audit")
    assert len(found["coreset"]) == len(found["random"]) == 2 and found["budget"] == 20
    assert found["coreset_mean"] == pytest.approx(np.mean(found["coreset"]))
    assert (found["audited"], found["without_truth"], found["warnings"]) == (80, 0, [])
    zones = found["zones"]
    assert zones["classes"] == sorted(set(analysed.values("ground_truth.label")))
    assert [sum(row) for row in zones["counts"]] == [8, 20, 52]
    coreset = analysed.match({"elfs.zone": "coreset"}).count_values("ground_truth.label")
    assert zones["counts"][1] == [coreset.get(name, 0) for name in zones["classes"]]
    share = found["pseudo_label_accuracy"]
    weighted = sum(s * a for s, a in zip((8, 20, 52), zones["pseudo_label_accuracy"])) / 80
    assert share == pytest.approx(weighted) and summary["sentence"].startswith(f"By true labels: {share:.1%}")


def test_kinds_of_truth(analysed):
    labels = analysed.values("ground_truth.label")
    analysed.add_sample_field("meta", fo.EmbeddedDocumentField, embedded_doc_type=fo.DynamicEmbeddedDocument)
    analysed.add_sample_field("meta.digit", fo.IntField)
    analysed.set_values("meta.digit", [int(label) for label in labels])
    analysed.set_values("digit", labels)
    for field in ("meta.digit", "digit", "ground_truth.label"):
        runs.audit(analysed, truth_field=field, seeds=1)
        assert stored(analysed, "audit")["zones"]["classes"] == sorted(set(labels))
    assert {"ground_truth", "digit", "meta.digit"} <= set(runs.truth_fields(analysed))
    assert not [f for f in runs.truth_fields(analysed) if f.startswith(("elfs", "other", "ground_truth.", "file"))]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("nothing", "no field 'nothing' \\(fields: .*ground_truth"),
        ("", "Name the field"),
        (None, "Name the field"),
        ("elfs_embeddings", "holds no class for each image"),
        ("tags", "holds no class"),
        ("filepath", "holds no class"),
        ("elfs.pseudo_label", "was written by ELFS"),
        ("other.rank", "was written by ELFS"),
        ("unlabelled", "No sample of the run 'elfs' has a value in 'unlabelled'"),
        ("constant", "at least two classes"),
    ],
)
def test_truths_that_cannot_be(analysed, field, words):
    analysed.add_sample_field("unlabelled", fo.StringField)
    analysed.set_values("constant", ["same"] * 80)
    with pytest.raises(InvalidInput, match=words):
        runs.audit(analysed, truth_field=field)


def test_samples_without_a_truth(selected):
    zone = selected.values("elfs.zone")
    truth = [digit(p) for p in selected.values("filepath")]
    selected.set_values("digit", [t if z == "coreset" or k % 2 else None for k, (t, z) in enumerate(zip(truth, zone))])
    runs.audit(selected, truth_field="digit", seeds=1)
    found = stored(selected, "audit")
    unknown = sum(value is None for value in selected.values("digit"))
    assert (found["without_truth"], found["audited"], found["samples"]) == (unknown, 80 - unknown, 80)
    assert "known for 100% of the coreset" in found["warnings"][0]
    selected.set_values("digit", [None if z == "coreset" else t for t, z in zip(truth, zone)])
    with pytest.raises(InvalidInput, match="No image of the coreset has a value"):
        runs.audit(selected, truth_field="digit", seeds=1)


def test_the_selection_is_the_same_with_and_without_an_audit(new_dataset):
    """Bit for bit: ranks, zones, the β curve."""
    found = []
    for audited in (False, True):
        dataset = new_dataset(60)
        dataset.set_values("ground_truth", [fo.Classification(label=digit(p)) for p in dataset.values("filepath")])
        runs.run_elfs(dataset, num_clusters=4, budget=15, beta=0.1)
        if audited:
            runs.audit(dataset, truth_field="ground_truth", seeds=1)
        runs.compute_scores(dataset)
        runs.search_beta(dataset, budget=12, repeats=1)
        runs.select_coreset(dataset, budget=12)
        if audited:
            runs.audit(dataset, truth_field="ground_truth", seeds=1)
        curve = record.load_results(dataset, "elfs")["beta"]
        found.append([curve, *dataset.values(["elfs.rank", "elfs.zone", "elfs.aum", "elfs.pseudo_label.label"])])
    assert found[0] == found[1]


def test_nothing_but_the_audit_reads_a_true_label(dataset, monkeypatch):
    dataset.set_values("ground_truth", [fo.Classification(label=digit(p)) for p in dataset.values("filepath")])
    read = []
    real = {name: getattr(SampleCollection, name) for name in ("values", "distinct", "count_values")}

    def spy(name):
        def call(self, path, *args, **kwargs):
            read.extend([str(path)] if isinstance(path, str) else map(str, path))
            return real[name](self, path, *args, **kwargs)

        return call

    def whole_samples(*args, **kwargs):
        raise AssertionError("whole samples were read, with their true labels")

    for name in real:
        monkeypatch.setattr(SampleCollection, name, spy(name))
    monkeypatch.setattr(fo.Dataset, "iter_samples", whole_samples)
    monkeypatch.setattr(fo.DatasetView, "iter_samples", whole_samples)
    runs.run_elfs(dataset, num_clusters=4, budget=15, tag="kept", view_name="Kept")
    runs.compute_scores(dataset, score="el2n")
    runs.search_beta(dataset, budget=12, repeats=1)
    runs.select_coreset(dataset, budget=12)
    runs.compare_coresets(dataset, ["run:elfs", "tag:kept"], seeds=1)
    runs.measure_stability(dataset, seeds=2)
    runs.budget_curve(dataset, repeats=1)
    runs.choose_coreset(dataset, method="moderate", budget=12, tag="other")
    runs.compare_methods(dataset, budgets=[12], methods=["elfs", "prune4rel"], seeds=1)
    assert any(path.startswith("elfs.") for path in read)
    assert not [path for path in read if "ground_truth" in path]
    runs.audit(dataset, truth_field="ground_truth", seeds=1)
    assert [path for path in read if "ground_truth" in path]


# As jobs


def test_results_that_have_become_old(selected):
    runs.compare_coresets(selected, ["tag:first", "elfs@beta=0.0,budget=20"], seeds=1)
    runs.budget_curve(selected, budgets=[10, 40], repeats=1)
    selected.set_values("digit", [digit(p) for p in selected.values("filepath")])
    runs.audit(selected, truth_field="digit", seeds=1)

    def old():
        return runs.stale(record.load_results(selected, "elfs"), record.load_record(selected, "elfs"))

    assert old() == {}
    runs.search_beta(selected, budget=20, repeats=1)
    assert old() == {}
    runs.select_coreset(selected, budget=10, beta=0.2)
    assert list(old()) == ["audit"] and "Another coreset has been applied" in old()["audit"]
    runs.compute_scores(selected, seed=1)
    assert set(old()) == {"comparison", "budget_curve", "audit"}
    assert "scores or pseudo-labels have changed" in old()["comparison"]


def test_a_comparison_of_the_applied_coreset_becomes_old_with_it(selected):
    runs.compare_coresets(selected, ["run:elfs", "elfs@beta=0.0,budget=20"], seeds=1)
    runs.select_coreset(selected, budget=10, beta=0.2)
    results = record.load_results(selected, "elfs")
    assert list(runs.stale(results, record.load_record(selected, "elfs"))) == ["comparison"]


def test_progress_cancel_and_lock(selected):
    events = []
    runs.budget_curve(selected, budgets=[10, 40], repeats=1, sinks=[events.append])
    assert [event.overall for event in events] == sorted(event.overall for event in events)
    assert events[-1].overall == 1.0 and jobs.read_job(selected, "elfs")["state"] == "completed"
    before = record.load_results(selected, "elfs")

    def cancel(event):
        runs.request_cancel(selected, "elfs")

    with pytest.raises(Cancelled):
        runs.compare_coresets(selected, ["run:elfs", "tag:first"], seeds=1, sinks=[cancel])
    assert jobs.read_job(selected, "elfs")["state"] == "cancelled"
    assert record.load_results(selected, "elfs") == before
    with jobs.job(selected, "elfs", "Something else", {"a": 1}):
        with pytest.raises(Busy, match="Something else is already running"):
            runs.budget_curve(selected)


def test_analyses_leave_the_samples_alone(analysed, state_of):
    runs.compare_coresets(analysed, ["run:elfs", "run:other"], seeds=1)  # leaves what the panel reads of the last job
    before = state_of(analysed), analysed.values(["elfs.rank", "elfs.zone", "tags"])
    runs.measure_stability(analysed, seeds=2)
    runs.budget_curve(analysed, budgets=[10], repeats=1)
    runs.audit(analysed, truth_field="ground_truth", seeds=1)
    assert (state_of(analysed), analysed.values(["elfs.rank", "elfs.zone", "tags"])) == before


def test_no_run_and_other_runs(dataset):
    with pytest.raises(InvalidInput, match="There is no ELFS run 'elfs'"):
        runs.compare_coresets(dataset, ["tag:a", "tag:b"])
    with pytest.raises(InvalidInput, match="No dataset is open"):
        runs.audit(None, truth_field="x")
    dataset.register_run("mine", dataset.init_run())
    with pytest.raises(NameTaken, match="another kind"):
        runs.budget_curve(dataset, "mine")


def test_deleting_the_run_removes_them(selected):
    runs.measure_stability(selected, seeds=2)
    folder = record.run_folder(selected, "elfs")
    assert (folder / "stability.npz").is_file()
    runs.delete_run(selected)
    assert not folder.exists() and record.load_results(selected, "elfs") == {}


def test_a_stability_file_that_is_damaged_or_cannot_be_kept_costs_nothing_else(selected, monkeypatch, tmp_path):
    path = record.run_folder(selected, "elfs") / "stability.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    for content in (b"", b"no archive", b"PK\x03\x04half"):
        path.write_bytes(content)
        assert runs.read_stability(selected) is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ELFS_HOME", str(tmp_path / "file"))
    assert runs.measure_stability(selected, seeds=2)["overlap"] > 0
    assert runs.read_stability(selected) is None and "stability" in record.load_results(selected, "elfs")


def test_a_view_means_its_dataset(analysed):
    assert runs.budget_curve(analysed.limit(3), budgets=[10], repeats=1)["samples"] == 80
    assert staleness.NAMES == ("comparison", "methods", "stability", "budget_curve", "audit")
