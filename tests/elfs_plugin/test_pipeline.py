import shutil
from dataclasses import replace

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from elfs_plugin import stages
from elfs_plugin.checkpoints import StageStore, fingerprint
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig
from elfs_plugin.encoders.embed import Embeddings
from elfs_plugin.errors import Cancelled, InvalidInput
from elfs_plugin.options import ElfsOptions
from elfs_plugin.pipeline import DECODING_SHARE, planned, run_elfs
from elfs_plugin.progress import Reporter
from elfs_plugin.proxy.train import ProxyConfig
from elfs_plugin.seeds import identity
from elfs_plugin.stages import STAGES, Stages, stage_weights
from tests.few_steps import candidate_steps

N = 60
CLUSTERING = ClusteringConfig(heads=2, epochs=1, min_steps=4, max_steps=4, warm_start_steps=4)
PROXY = ProxyConfig.mlp(epochs=3, batch_size=32, hidden=16)
ARGUMENTS = dict(preset=CLUSTERING, proxy=PROXY, grid=[0.0, 0.2], repeats=1, device="cpu")
COMPUTERS = {
    "embeddings": "embed_images",
    "neighbors": "knn_graph",
    "pseudo_labels": "cluster",
    "dynamics": "train_proxy",
    "beta": "search_beta",
    "selection": "double_end",
}
AFTER_EMBEDDING = ["neighbors", "pseudo_labels", "dynamics", "beta", "selection"]


@pytest.fixture(scope="module", autouse=True)
def quick_search():
    with pytest.MonkeyPatch.context() as patch:
        candidate_steps(8, replace=patch.setattr)
        yield


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return (4 * np.eye(6)[np.arange(N) % 3] + 0.2 * rng.normal(size=(N, 6))).astype(np.float32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """30 images of three tints; the fifth is no image."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    paths = []
    for index in range(30):
        values = rng.integers(0, 60, (16, 16, 3), dtype=np.uint8)
        values[:, :, index % 3] += 150
        paths.append(folder / f"{index:02}.png")
        Image.fromarray(values).save(paths[-1])
    paths[4].write_text("no image")
    return paths


@pytest.fixture
def computed(monkeypatch):
    """The stages that are computed, not resumed, in order."""
    found = []

    def spy(stage, real):
        def compute(*args, **kwargs):
            found.append(stage)
            return real(*args, **kwargs)

        return compute

    for stage, name in COMPUTERS.items():
        monkeypatch.setattr(stages, name, spy(stage, getattr(stages, name)))
    return found


def run(source, budget=20, **changes):
    return run_elfs(source, 3, budget, **{**ARGUMENTS, **changes})


@pytest.fixture(scope="module")
def whole(vectors, tmp_path_factory):
    """The result of a run, and its folder, to be read only."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return run(vectors, folder=folder), folder


@pytest.fixture
def folder(whole, tmp_path):
    """A folder of one's own with the finished run."""
    return shutil.copytree(whole[1], tmp_path / "run")


def same(one, other):
    """Whether two results are equal, array by array."""
    parts = ["embeddings", "neighbors", "pseudo_labels", "dynamics", "zones"]
    parts += ["beta_search"] if one.beta_search is not None else []
    for part in parts:
        a, b = vars(getattr(one, part)), vars(getattr(other, part))
        assert a.keys() == b.keys()
        for name in a:
            # One head has no agreement between seeds: NaN.
            assert np.array_equal(a[name], b[name], equal_nan=isinstance(a[name], float)), (part, name)
            assert type(a[name]) is type(b[name]), (part, name)
    assert one.beta == other.beta
    return True


def test_a_matrix_to_a_coreset(vectors, computed):
    seen = []
    result = run(vectors, on_stage=lambda stage, value, seconds: seen.append((stage, seconds)))
    assert computed == AFTER_EMBEDDING == [stage for stage, _ in seen]
    assert result.seconds == dict(seen) and all(seconds >= 0 for seconds in result.seconds.values())
    assert len(result.zones.coreset) == 20 and result.zones.rank.shape == (N,)
    assert result.pseudo_labels.labels.shape == (N,) and result.pseudo_labels.num_clusters == 3
    assert result.neighbors.k == 5 and result.dynamics.epochs == 3
    assert result.beta == result.beta_search.chosen and result.beta_search.accuracies.shape == (2, 1)
    assert np.array_equal(np.argsort(result.zones.rank), np.lexsort((np.arange(N), result.dynamics.aum)))


def test_images_to_a_coreset_and_the_unreadable_one_is_left_out(photos, tmp_path, computed):
    result = run(photos, 0.5, folder=tmp_path / "run")
    assert computed == [stage for stage in STAGES if stage != "cluster_count"]
    assert result.embeddings.ok.sum() == 29 and not result.embeddings.ok[4]
    assert "not an image" in result.embeddings.failures[4]
    assert result.zones.rank.shape == (29,) and len(result.zones.coreset) == 14  # half of 29, rounded down
    computed.clear()
    assert same(result, run(photos, 0.5, folder=tmp_path / "run")) and computed == []


def test_rows_that_cannot_be_used_are_left_out(vectors):
    broken = vectors.copy()
    broken[7, 2] = np.nan
    result = run(broken, 1.0, beta=0)
    assert list(result.embeddings.failures) == [7] and len(result.zones.coreset) == N - 1
    assert result.beta_search is None and result.beta == 0.0


def test_the_second_call_computes_nothing(vectors, whole, folder, computed):
    seen = []
    second = run(vectors, folder=folder, on_stage=lambda stage, *rest: seen.append(stage))
    assert computed == [] and seen == AFTER_EMBEDDING
    assert same(whole[0], second)


def test_without_a_folder_everything_is_computed_again_with_the_same_result(vectors, whole, computed):
    assert same(whole[0], run(vectors)) and computed == AFTER_EMBEDDING


@pytest.mark.parametrize(
    ("changes", "recomputed"),
    [
        ({"budget": 21}, ["beta", "selection"]),
        ({"beta": 0.1}, ["selection"]),
        ({"grid": [0.0]}, ["beta"]),
        ({"proxy": replace(PROXY, epochs=4)}, ["dynamics", "beta", "selection"]),
        ({"preset": replace(CLUSTERING, heads=1)}, ["pseudo_labels"]),
        ({"neighbors": 7}, ["neighbors", "pseudo_labels"]),
        ({"score": "el2n"}, ["beta", "selection"]),
        ({"ids": [f"{i:02}" for i in range(N)]}, ["beta", "selection"]),
    ],
)
def test_a_changed_parameter_recomputes_only_what_depends_on_it(vectors, folder, computed, changes, recomputed):
    changed = run(vectors, folder=folder, **changes)
    # Stages behind the first changed one may find their inputs unchanged (the same labels, the same β).
    assert computed[: len(recomputed)] == recomputed
    untouched = AFTER_EMBEDDING[: AFTER_EMBEDDING.index(recomputed[0])]
    assert not set(untouched) & set(computed)
    assert same(changed, run(vectors, **changes))


def test_another_seed_keeps_only_the_neighbours(vectors, folder, computed):
    run(vectors, folder=folder, seed=1)
    assert computed == AFTER_EMBEDDING[1:]


def test_changed_vectors_recompute_everything(vectors, folder, computed):
    noise = np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
    run(vectors + noise, folder=folder)
    assert computed == AFTER_EMBEDDING


@pytest.mark.parametrize("crash", AFTER_EMBEDDING)
def test_a_crash_keeps_the_stages_before(vectors, whole, tmp_path, computed, monkeypatch, crash):
    def fail(*args, **kwargs):
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(stages, COMPUTERS[crash], fail)
        with pytest.raises(RuntimeError, match="power went"):
            run(vectors, folder=tmp_path / "run")
    at = AFTER_EMBEDDING.index(crash)
    assert computed == AFTER_EMBEDDING[:at]
    computed.clear()
    resumed = run(vectors, folder=tmp_path / "run")
    assert computed == AFTER_EMBEDDING[at:]
    assert same(resumed, whole[0])


def test_a_damaged_stage_is_computed_again(vectors, whole, folder, computed):
    path = folder / "dynamics.npz"
    path.write_bytes(path.read_bytes()[:100])
    assert same(whole[0], run(vectors, folder=folder))
    assert computed == ["dynamics"]


def test_a_changed_image_or_weights_file_is_embedded_anew(tmp_path):
    image, weights = tmp_path / "a.png", tmp_path / "weights.pth"
    Image.new("L", (4, 4), 10).save(image)
    weights.write_bytes(b"1")
    calls = []

    def compute(progress):
        calls.append(1)
        return Embeddings(np.ones((1, 2), dtype=np.float32), np.array([True]), {})

    def embed():
        Stages(folder=tmp_path / "run").embed([image], "timm:resnet18", weights=weights, compute=compute)
        return len(calls)

    assert embed() == 1 and embed() == 1
    Image.new("L", (5, 5), 20).save(image)
    assert embed() == 2 and embed() == 2
    weights.write_bytes(b"22")
    assert embed() == 3 and embed() == 3


def test_one_monotone_bar(vectors):
    events = []
    run(vectors, reporter=Reporter(stage_weights(*STAGES), [events.append], interval=0))
    overall = [event.overall for event in events]
    assert overall == sorted(overall) and overall[-1] == 1.0 and len(events) > 10
    steps = [event.step for event in events]
    assert steps == sorted(steps) and set(steps) == {3, 4, 5, 6, 7}
    assert {event.steps for event in events} == {7}


def test_cancelling_keeps_the_finished_stages(vectors, tmp_path, computed):
    finished = []
    reporter = Reporter(stage_weights(*STAGES), is_cancelled=lambda: "pseudo_labels" in finished, interval=0)
    with pytest.raises(Cancelled):
        run(vectors, folder=tmp_path / "run", reporter=reporter, on_stage=lambda stage, *rest: finished.append(stage))
    assert finished == ["neighbors", "pseudo_labels"] == computed
    computed.clear()
    run(vectors, folder=tmp_path / "run")
    assert computed == AFTER_EMBEDDING[2:]


def test_cancelling_within_a_stage(vectors):
    reports = []
    reporter = Reporter(stage_weights(*STAGES), [reports.append], is_cancelled=lambda: len(reports) >= 6, interval=0)
    with pytest.raises(Cancelled):
        run(vectors, reporter=reporter)
    assert len(reports) == 6 and reports[-1].stage == STAGES["pseudo_labels"]


def test_resumed_stages_are_listed(vectors, tmp_path):
    for resumed in ([], ["neighbors", "pseudo_labels"]):
        pipe = Stages(folder=tmp_path / "run", device="cpu")
        graph, labels = pipe.pseudo_labels(vectors, 3, config=CLUSTERING)
        assert pipe.resumed == resumed
    assert graph.indices.dtype == np.int32 and isinstance(labels.warnings, list) and isinstance(labels.best_head, int)


def test_the_resnet_proxy_trains_on_the_usable_images(photos, tmp_path):
    config = ProxyConfig.resnet18(epochs=1, batch_size=16)
    result = run(photos, 10, proxy=config, image_size=8, beta=0.1)
    assert result.dynamics.epochs == 1 and result.dynamics.aum.shape == (29,)


def test_decoding_for_the_proxy_is_part_of_its_stage(photos):
    events = []
    reporter = Reporter(stage_weights(*STAGES), [events.append], interval=0)
    config = ProxyConfig.timm("test_resnet", image_size=8, epochs=1, batch_size=16)
    run(photos, 10, proxy=config, image_size=999, beta=0.1, reporter=reporter)
    here = [event for event in events if event.stage == STAGES["dynamics"]]
    decoding = [event.fraction for event in here if "images decoded" in event.detail]
    assert len(decoding) == 29 and decoding[-1] == pytest.approx(DECODING_SHARE)
    fractions = [event.fraction for event in here]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_a_cancelled_image_proxy_resumes_in_the_middle(tmp_path):
    images, labels = np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8), dtype=np.uint8), np.arange(12) % 2
    config, details = ProxyConfig.timm("test_resnet", image_size=8, epochs=3, batch_size=6), []

    def cancel(fraction, detail=""):
        if fraction > 0.6:
            raise Cancelled()

    with pytest.raises(Cancelled):
        Stages(folder=tmp_path, device="cpu").dynamics(images, labels, 2, config=config, progress=cancel)
    assert [path.name for path in tmp_path.iterdir()] == ["dynamics.training"]
    resumed = Stages(folder=tmp_path, device="cpu").dynamics(
        images, labels, 2, config=config, progress=lambda fraction, detail="": details.append(detail)
    )
    assert details[0] == "resumed at epoch 3 of 3" and len(details) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["dynamics.npz"]
    whole = Stages(device="cpu").dynamics(images, labels, 2, config=config)
    assert np.array_equal(resumed.aum, whole.aum)


def test_the_search_can_train_on_images_where_the_scores_were_not(photos, tmp_path, monkeypatch):
    searched, search = [], stages.search_beta

    def watched(inputs, *rest, **options):
        searched.append((inputs.shape, options["config"].kind))
        return search(inputs, *rest, **options)

    monkeypatch.setattr(stages, "search_beta", watched)
    options = {"proxy": "mlp", "image_size": 8, "repeats": 1, "folder": tmp_path}
    config = ProxyConfig.resnet8(members=1, steps=1, batch_size=16)
    result = run(photos, 10, beta_proxy=config, **options)
    again = run(photos, 10, beta_proxy=config, **options)
    assert np.array_equal(result.beta_search.accuracies, again.beta_search.accuracies)
    assert (tmp_path / "beta.npz").exists() and not (tmp_path / "beta.training").exists()
    run(photos, 10, **options)
    assert searched == [((29, 3, 8, 8), "resnet8"), ((29, result.embeddings.vectors.shape[1]), "mlp")]


def test_images_that_vanish_after_embedding_are_left_out_and_listed(photos, vectors):
    config = ProxyConfig.resnet18(epochs=1, batch_size=16)
    result = run(vectors[:30], 10, proxy=config, proxy_images=photos, image_size=8, beta=0.1)
    assert result.scored.sum() == 29 and not result.scored[4]
    assert list(result.failures) == [4] and "not an image" in result.failures[4]
    assert len(result.pseudo_labels.labels) == 30 and len(result.dynamics.aum) == len(result.zones.rank) == 29
    assert len(result.zones.coreset) == 10


@pytest.mark.parametrize(
    ("arguments", "changes", "field"),
    [
        ((1, 20), {}, "num_clusters"),
        ((N + 1, 20), {}, "num_clusters"),
        ((3, 0), {}, "budget"),
        ((3, N + 1), {}, "budget"),
        ((3, 20), {"beta": 0.7}, "beta"),
        ((3, 20), {"beta": None}, "beta"),
        ((3, 20), {"score": "difficulty"}, "score"),
        ((3, 20), {"proxy": "svm"}, "proxy"),
        ((3, 20), {"proxy": "resnet18"}, "proxy"),  # a matrix has no images
        ((3, 20), {"seed": -1}, "seed"),
        ((3, 20), {"seed": 1.5}, "seed"),
        ((3, 20), {"neighbors": 0}, "neighbors"),
        ((3, 20), {"image_size": 0}, "image_size"),
        ((3, 20), {"ids": ["a"]}, "ids"),
        ((3, 20), {"proxy_images": ["a.png"]}, "proxy_images"),
        ((3, 20), {"repeats": 0}, "repeats"),
    ],
)
def test_refused_before_any_work(vectors, computed, arguments, changes, field):
    with pytest.raises(InvalidInput) as error:
        run_elfs(vectors, *arguments, **{**ARGUMENTS, **changes})
    assert error.value.field == field and computed == []


@pytest.mark.parametrize("source", [[], np.empty((0, 4))])
def test_nothing_to_select_from(source):
    with pytest.raises(InvalidInput, match="no samples to select from"):
        run(source)


@pytest.fixture(scope="module")
def of_float64(vectors):
    return run(vectors.astype(np.float64), beta=0.1)


@pytest.mark.parametrize(
    "kind",
    [
        np.ndarray.tolist,
        list,
        torch.tensor,
        lambda values: [torch.tensor(row) for row in values],
        pandas.DataFrame,
        lambda values: values.astype(object),
        lambda values: values[::-1].copy()[::-1],
        lambda values: np.repeat(values, 2, axis=1)[:, ::2],
        lambda values: (row for row in values),
    ],
)
def test_vectors_of_any_kind(vectors, of_float64, kind):
    assert same(run(kind(vectors.astype(np.float64)), beta=0.1), of_float64)


def test_half_precision_and_integers(vectors):
    for given in (vectors.astype(np.float16), (vectors * 100).astype(np.int16)):
        assert len(run(given, beta=0.1).zones.coreset) == 20


@pytest.mark.parametrize("kind", [list, tuple, iter, np.array, pandas.Series, lambda paths: [str(p) for p in paths]])
def test_paths_of_any_kind(photos, kind):
    assert run(kind(photos), 10, beta=0).embeddings.ok.sum() == 29


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("folder", "'folder' is one path. Give a list"),
        ({"a.png": 1}, "no order"),
        ({"a.png"}, "no order"),
        (["a.png", [1.0, 2.0]], "mixed: number 2 is"),
        ([None, "a.png"], "mixed: number 2 is 'a.png'"),
        ([1.0, 2.0], "must form a matrix"),
        (np.zeros(5), "must form a matrix"),
        (torch.zeros(5), "must form a matrix"),
        (np.zeros((5, 3, 8, 8)), "must form a matrix"),
        (pandas.DataFrame({"path": ["a.png"]}), "are not numbers"),
        (np.zeros((30, 4), dtype=complex), "must be real numbers"),
        (5, "a list of paths, or"),
        (None, "a list of paths, or"),
    ],
)
def test_what_is_neither_paths_nor_vectors_is_refused_in_a_sentence(source, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        run(source)
    assert caught.value.field == "source"


def test_a_budget_above_what_can_be_used_is_refused_before_any_training(vectors, computed):
    given = vectors.copy()
    given[10:] = np.nan
    with pytest.raises(InvalidInput, match="Only 10 of the 60 images can be used .* than the budget of 20") as caught:
        run(given, 20, beta=0.1)
    assert caught.value.field == "budget" and computed == []


@pytest.mark.parametrize(("usable", "beta", "field"), [(30, 0.5, "beta"), (19, "auto", "beta")])
def test_what_too_few_usable_vectors_do_not_allow_is_refused_before_any_training(
    vectors, computed, usable, beta, field
):
    given = vectors.copy()
    given[usable:] = np.nan
    with pytest.raises(InvalidInput) as caught:
        run(given, 18, beta=beta)
    assert caught.value.field == field and computed == []


def test_shuffled_input_with_ids_selects_the_same_ids(vectors):
    ids = np.array([f"{i:02}" for i in range(N)])
    order = np.random.default_rng(3).permutation(N)
    scores = np.arange(N) // 10 * 1.0  # many ties
    plain = Stages().select(scores, 25, 0.12, ids=ids)
    shuffled = Stages().select(scores[order], 25, 0.12, ids=ids[order])
    assert ids[plain.coreset].tolist() == ids[order][shuffled.coreset].tolist() == ids[7:32].tolist()


def test_every_stage_has_a_weight():
    weights = stage_weights(*STAGES)
    assert list(weights) == list(STAGES.values()) and all(weight > 0 for weight in weights.values())


def test_the_number_of_clusters_can_be_estimated(tmp_path, computed):
    rng = np.random.default_rng(0)
    vectors = (4 * np.eye(8)[np.arange(240) % 4] + 0.2 * rng.normal(size=(240, 8))).astype(np.float32)
    seen = []
    arguments = {**ARGUMENTS, "folder": tmp_path / "run"}
    result = run_elfs(vectors, "auto", 20, **arguments, on_stage=lambda stage, *rest: seen.append(stage))
    assert seen[0] == "cluster_count" and result.cluster_count.suggested == 4
    assert result.pseudo_labels.num_clusters == 4 and result.cluster_count.agree
    computed.clear()
    again = run_elfs(vectors, "auto", 20, **arguments)
    assert computed == [] and same(result, again)
    assert again.cluster_count.to_dict() == result.cluster_count.to_dict()


def test_a_clustering_that_was_cancelled_resumes_in_the_middle(tmp_path, vectors, monkeypatch):
    monkeypatch.setattr("elfs_plugin.clustering.temi_training.STEPS_BETWEEN_LOOKS", 5)
    longer = {**ARGUMENTS, "preset": replace(CLUSTERING, min_steps=24, max_steps=24), "beta": 0.0}
    folder = tmp_path / "run"
    details = []

    def cancel(event):
        if event.detail.startswith("step 20"):
            cancelled.append(True)

    cancelled = []
    reporter = Reporter(stage_weights(*STAGES), [cancel], is_cancelled=lambda: bool(cancelled), interval=0)
    with pytest.raises(Cancelled):
        run_elfs(vectors, 3, 20, **longer, folder=folder, reporter=reporter)
    assert (folder / "pseudo_labels.training").exists()
    reporter = Reporter(stage_weights(*STAGES), [lambda event: details.append(event.detail)], interval=0)
    resumed = run_elfs(vectors, 3, 20, **longer, folder=folder, reporter=reporter)
    assert "resumed at step 24" in details or "resumed at step 20" in details
    assert same(resumed, run_elfs(vectors, 3, 20, **longer)) and not (folder / "pseudo_labels.training").exists()


def test_a_precut_leaves_a_part_and_says_how_many_are_gone(vectors, tmp_path):
    reporter_texts = []

    def cut(**options):
        reporter = Reporter(planned(ElfsOptions.of(budget=0.2, precut=40, **options), AFTER_EMBEDDING, N))
        result = run_elfs(vectors, 3, 0.2, precut=40, folder=tmp_path, reporter=reporter, **ARGUMENTS, **options)
        reporter_texts.append(reporter.warnings)
        return result

    first = cut()
    assert first.cut_away == 20 and first.scored.sum() == 40 == len(first.pseudo_labels.labels) and not first.failures
    assert len(first.coreset) == 12  # a fifth of all 60
    assert first.scored[first.coreset].all()
    assert any("20 of 60 images were left out" in text for text in reporter_texts[0])
    stored = StageStore(tmp_path).load("precut", fingerprint(vectors, 40, identity(0)))
    assert stored["rows"].tolist() == np.flatnonzero(first.scored).tolist()
    assert cut().coreset.tolist() == first.coreset.tolist()
    chosen = cut(method="graph_coverage")
    assert len(chosen.coreset) == 12 and chosen.scored[chosen.coreset].all()


@pytest.mark.parametrize("precut", ["auto", "off", 60, 1000])
def test_nothing_is_cut_where_it_need_not_be(vectors, precut):
    result = run(vectors, precut=precut)
    assert result.cut_away == 0 and result.scored.all()
    assert result.coreset.tolist() == run(vectors).coreset.tolist()


def test_a_precut_below_the_budget_or_the_clusters_is_refused_before_any_work(vectors):
    for precut, message in ((5, "fewer than the budget"), (12, "lusters")):
        with pytest.raises(InvalidInput, match=message):
            run_elfs(vectors, 13, 12, precut=precut, **ARGUMENTS)
