import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import elfs_plugin
from elfs_plugin import seeds
from elfs_plugin.beta_search import candidates as beta_candidates
from elfs_plugin.beta_search import search as beta_search
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster
from elfs_plugin.errors import Cancelled
from elfs_plugin.evaluation import choosing, probe, stability
from elfs_plugin.evaluation import methods as method_comparison
from elfs_plugin.evaluation.methods import compare_methods
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.proxy import mlp as mlp_ensemble
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.train import fit, train_proxy
from elfs_plugin.seeds import Stream, derived, repeats, rng
from elfs_plugin.stages import Stages
from elfs_plugin.validation import LARGEST_DERIVED_SEED, validate_seed
from tests.few_steps import candidate_steps

LIBRARY = Path(elfs_plugin.__file__).parent


def blobs(n=60, clusters=3):
    labels = np.arange(n) % clusters
    vectors = 3 * np.eye(6)[labels] + np.random.default_rng(0).normal(size=(n, 6))
    return vectors.astype(np.float32), labels


def test_values_stay_what_they_are():
    """Results of earlier versions are told apart by VERSION alone: other numbers need another one."""
    assert seeds.VERSION == 1
    assert derived(0, Stream.MEMBER, 3) == 1752850533999793981
    assert repeats(7, 3) == [7, 3615694991, 4198186165]


def test_no_two_streams_or_indices_share_a_seed():
    paths = [
        (stream, *indices) for stream in Stream for indices in [(), *product(range(20)), *product(range(6), range(6))]
    ]
    found = [derived(seed, *path) for seed in (0, 1, 2, 7919, 2**32 - 1, LARGEST_DERIVED_SEED) for path in paths]
    assert len(set(found)) == len(found) == 6 * len(Stream) * 57


@pytest.mark.parametrize("seed", [0, 1, 7919, 2**32 - 1])
def test_no_two_repeats_of_a_comparison_share_a_network(seed):
    networks = [
        derived(own, stream, member)
        for own in repeats(seed, 20)
        for member in range(16)
        for stream in (Stream.MEMBER, Stream.WARM_UP, Stream.BETA_PROXY, Stream.PROBE)
    ]
    assert len(set(networks)) == 20 * 16 * 4


def test_the_numbers_of_streams_are_distinct():
    assert len(set(Stream.__members__.values())) == len(
        Stream.__members__
    )  # an IntEnum takes a repeated one as an alias


@pytest.mark.parametrize("bits", [31, 32, 63])
def test_a_seed_has_its_bits(bits):
    found = [derived(5, Stream.KMEANS, index, bits=bits) for index in range(200)]
    assert 0 <= min(found) and 2 ** (bits - 2) < max(found) < 2**bits
    assert len(set(found)) == 200


def test_every_library_takes_them():
    largest = derived(LARGEST_DERIVED_SEED, Stream.BATCHES)
    assert torch.rand(1, generator=torch.Generator().manual_seed(largest)) < 1
    assert np.random.RandomState(derived(2**32 - 1, Stream.PLOT_UMAP, bits=32)).random() < 1


def test_generators_begin_anew_and_apart():
    assert rng(3, Stream.CCS).random() == rng(3, Stream.CCS).random()
    first = {rng(seed, stream, index).random() for seed in (3, 4) for stream in Stream for index in (0, 1)}
    assert len(first) == 4 * len(Stream)


def test_only_whole_numbers_from_zero_and_named_streams():
    for wrong in (lambda: derived(-1, Stream.CCS), lambda: derived(0, Stream.CCS, -1), lambda: derived(0, 7919)):
        with pytest.raises(ValueError):
            wrong()


def test_the_first_repeat_is_the_seed_and_a_user_could_give_the_others():
    found = repeats(11, 20)
    assert found[0] == 11 and len(set(found)) == 20
    assert found[:3] == repeats(11, 3) and repeats(11, 1) == [11]
    assert [validate_seed(seed) for seed in found] == found
    assert not set(found) & set(repeats(12, 20))


@pytest.fixture
def first_layers(monkeypatch):
    """The first layer of every network that is built, as bytes, by the seed of the comparison that was at work."""
    built, at_work = {}, []

    class Watched(mlp_ensemble.Networks):
        def __init__(self, *given):
            super().__init__(*given)
            if at_work:
                layers = [layer.detach().numpy().tobytes() for layer in self.first]
                built.setdefault(at_work[-1], set()).update(layers)

    def trained(pool, names, seed, **rest):
        at_work.append(seed)
        return real(pool, names, seed, **rest)

    def measured(*given):
        at_work.clear()
        return real_measures(*given)

    real, real_measures = method_comparison.prepared, method_comparison._measured
    monkeypatch.setattr(mlp_ensemble, "Networks", Watched)
    monkeypatch.setattr(method_comparison, "prepared", trained)
    monkeypatch.setattr(method_comparison, "_measured", measured)
    candidate_steps(3, replace=monkeypatch.setattr)
    return built


def test_seeds_of_a_comparison_share_no_network(first_layers):
    compare_methods(*blobs(), [10], methods=["elfs", "el2n", "grand"], seeds=3, seed=4)
    ensemble, warm_up, searched = 16, 10, choosing.BETA_REPEATS
    assert [len(layers) for layers in first_layers.values()] == [ensemble + warm_up + searched] * 3
    assert len(set().union(*first_layers.values())) == 3 * (ensemble + warm_up + searched)


def test_probes_of_a_comparison_share_no_network_and_no_split(monkeypatch):
    asked = []
    monkeypatch.setattr(
        probe,
        "accuracies",
        lambda inputs, labels, tasks, **rest: asked.extend(tasks) or np.zeros(len(tasks)),
    )
    compare_methods(*blobs(), [10], methods=["k_center"], seeds=3, seed=4)
    assert len({task.seed for task in asked}) == 3
    assert len({tuple(sorted(task.held_out)) for task in asked}) == 3


def test_stability_trains_with_the_seeds_of_a_comparison(monkeypatch):
    used = []

    def trained(*given, seed, **rest):
        used.append(seed)
        return train_proxy(*given, seed=seed, **rest)

    monkeypatch.setattr(stability, "train_proxy", trained)
    vectors, labels = blobs()
    stability.stability(vectors, labels, 3, 10, 0.1, seeds=3, seed=4, config=ProxyConfig.mlp(epochs=1))
    assert used == repeats(4, 3)


def test_finished_stages_of_other_streams_are_computed_anew(tmp_path, monkeypatch):
    vectors, labels = blobs()
    config = replace(ClusteringConfig.quick(), heads=2, min_steps=5, max_steps=5)

    def resumed():
        pipe = Stages(folder=tmp_path, device="cpu")
        pipe.count_clusters(vectors)
        pipe.pseudo_labels(vectors, 3, config=config)
        pipe.dynamics(vectors, labels, 3, config=ProxyConfig.mlp(epochs=1))
        pipe.beta(vectors, labels, np.arange(60.0), 10, grid=[0.0], repeats=1)
        return pipe.resumed

    candidate_steps(3, replace=monkeypatch.setattr)
    everything = ["cluster_count", "neighbors", "pseudo_labels", "dynamics", "beta"]
    assert resumed() == [] and resumed() == everything
    monkeypatch.setattr(seeds, "VERSION", seeds.VERSION + 1)
    assert resumed() == ["neighbors"]  # found exactly, with nothing random about it


@pytest.mark.parametrize("kind", ["clustering", "proxy"])
def test_a_training_of_other_streams_begins_anew(kind, tmp_path, monkeypatch):
    """What was stopped half-way is taken up again with the same streams, and not with others."""
    vectors, labels = blobs()
    heads = replace(ClusteringConfig.quick(), heads=2, min_steps=12, max_steps=12)
    monkeypatch.setattr("elfs_plugin.clustering.temi_training.STEPS_BETWEEN_LOOKS", 5)
    network, images = replace(ProxyConfig.resnet8(members=2), steps=8), np.zeros((12, 3, 8, 8), dtype=np.uint8)

    def resumed():
        said = []

        def progress(fraction, detail=""):
            said.append(detail)
            if fraction > 0.6:
                raise Cancelled

        options = {"checkpoint": tmp_path / "training", "device": "cpu", "progress": progress}
        with pytest.raises(Cancelled):
            if kind == "clustering":
                cluster(vectors, knn_graph(vectors, 8), 3, config=heads, **options)
            else:
                train_proxy(images, labels[:12], config=network, **options)
        return any("resumed" in detail for detail in said)

    assert [resumed(), resumed()] == [False, True]
    monkeypatch.setattr(seeds, "VERSION", seeds.VERSION + 1)
    assert not resumed()


def test_a_search_on_images_of_other_streams_begins_anew(tmp_path, monkeypatch):
    images, labels = np.zeros((24, 3, 8, 8), dtype=np.uint8), np.arange(24) % 3
    config = replace(ProxyConfig.resnet8(), steps=1, members=1)
    trained = []

    def stopped_in_the_second_repeat(*given, seed, **rest):
        trained.append(seed)
        if seed == derived(0, Stream.BETA_PROXY, 1):
            raise Cancelled
        return fit(*given, seed=seed, **rest)

    def repeats_trained():
        trained.clear()
        with pytest.raises(Cancelled):
            beta_search.search_beta(
                images,
                labels,
                np.arange(24.0),
                6,
                grid=[0.0],
                repeats=2,
                config=config,
                device="cpu",
                checkpoint=tmp_path / "search",
            )
        return len(trained)

    monkeypatch.setattr(beta_candidates, "fit", stopped_in_the_second_repeat)
    monkeypatch.setattr(beta_candidates, "cpu_threads", lambda: 1)
    assert [repeats_trained(), repeats_trained()] == [2, 1]
    monkeypatch.setattr(seeds, "VERSION", seeds.VERSION + 1)
    assert repeats_trained() == 2


def test_nothing_draws_by_itself():
    """A seed reaches a generator through a named stream alone."""
    by_hand = re.compile(r"default_rng\(|manual_seed\(|RandomState|\bseed\s*[+*]\s|[+*]\s*seed\b")
    files = [path for path in LIBRARY.rglob("*.py") if path.name not in ("seeds.py", "devices.py")]
    assert len(files) > 100
    assert [
        f"{path.name}: {line}" for path in files for line in path.read_text().splitlines() if by_hand.search(line)
    ] == []
