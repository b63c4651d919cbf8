"""The library's functions take numbers of any kind, with the same result, and refuse the rest in a sentence."""

import numpy as np
import pytest
import torch

from elfs_plugin.beta_search.search import search_beta
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster
from elfs_plugin.errors import InvalidInput
from elfs_plugin.evaluation.comparison import compare_arrays
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.train import train_proxy
from elfs_plugin.proxy.warm_up import train_outputs
from elfs_plugin.pruning.zones import double_end
from elfs_plugin.selectors import Pool, select
from elfs_plugin.selectors.engines.zcore.scores import zcore_scores

N = 60
LABELS = np.arange(N) % 3
RNG = np.random.default_rng(0)
VECTORS = (4 * np.eye(6)[LABELS] + 0.2 * RNG.normal(size=(N, 6))).astype(np.float32)
SCORES = RNG.normal(size=N)
CLUSTERING = ClusteringConfig(heads=2, epochs=1, min_steps=4, max_steps=4, warm_start_steps=10)
PROXY = ProxyConfig.mlp(epochs=2, batch_size=32, hidden=16)

KINDS = {
    "lists": lambda values: values.tolist(),
    "tensors": torch.tensor,
    "reversed": lambda values: values[::-1].copy()[::-1],
    "objects": lambda values: values.astype(object),
    "other byte order": lambda values: values.astype(values.dtype.newbyteorder("S")),
}

FUNCTIONS = {
    "knn_graph": lambda vectors, labels, scores: knn_graph(vectors, 5).indices,
    "cluster": lambda vectors, labels, scores: (
        cluster(vectors, knn_graph(VECTORS, 5), 3, config=CLUSTERING, device="cpu").labels
    ),
    "train_proxy": lambda vectors, labels, scores: train_proxy(vectors, labels, config=PROXY, device="cpu").aum,
    "search_beta": lambda vectors, labels, scores: (
        search_beta(vectors, labels, scores, 10, grid=[0.0, 0.2], repeats=1, config=PROXY, device="cpu").accuracies
    ),
    "double_end": lambda vectors, labels, scores: double_end(scores, 10, 0.1).rank,
    "select": lambda vectors, labels, scores: (
        select("k_center", Pool(np.arange(N), embeddings=vectors, pseudo_labels=labels), 10).indices
    ),
    "zcore_scores": lambda vectors, labels, scores: zcore_scores(vectors, max_draws=500).scores,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_numbers_of_any_kind_give_the_same(function, kind):
    if kind == "objects":  # of which labels would be floating point
        given = [KINDS[kind](VECTORS), LABELS, KINDS[kind](SCORES)]
    else:
        given = [KINDS[kind](values) for values in (VECTORS, LABELS, SCORES)]
    assert np.array_equal(FUNCTIONS[function](*given), FUNCTIONS[function](VECTORS, LABELS, SCORES))


@pytest.mark.parametrize("wrong", [VECTORS[0], [["a"] * 6] * N, [[1.0, 2.0], [3.0]] * (N // 2), VECTORS + 1j, None])
@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name != "double_end"])
def test_other_things_are_refused_in_a_sentence(function, wrong):
    with pytest.raises(InvalidInput):
        FUNCTIONS[function](wrong, LABELS, SCORES)


def test_other_functions_refuse_in_a_sentence_too():
    with pytest.raises(InvalidInput, match="The scores are not numbers|The scores must be real numbers"):
        double_end(["a"] * N, 10, 0.1)
    with pytest.raises(InvalidInput, match="The embeddings must form a matrix"):
        compare_arrays({"a": [0], "b": [1]}, VECTORS[0], LABELS)
    with pytest.raises(InvalidInput, match="The embeddings must form a matrix"):
        train_outputs(VECTORS[0], LABELS)


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True, None])
@pytest.mark.parametrize(
    "function",
    [
        lambda seed: knn_graph(VECTORS, 5, seed=seed),
        lambda seed: cluster(VECTORS, knn_graph(VECTORS, 5), 3, config=CLUSTERING, seed=seed),
        lambda seed: train_proxy(VECTORS, LABELS, config=PROXY, seed=seed),
        lambda seed: select("random", Pool(np.arange(N)), 10, seed=seed),
        lambda seed: compare_arrays({"a": [0], "b": [1]}, VECTORS, LABELS, seed=seed),
        lambda seed: zcore_scores(VECTORS, seed=seed),
    ],
    ids=["knn_graph", "cluster", "train_proxy", "select", "compare", "zcore_scores"],
)
def test_impossible_seeds(function, seed):
    with pytest.raises(InvalidInput, match="The seed must be a whole number") as caught:
        function(seed)
    assert caught.value.field == "seed"
