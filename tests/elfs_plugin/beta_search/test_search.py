from dataclasses import replace

import numpy as np
import pytest
import torch

from elfs_plugin.beta_search import candidates as beta_candidates
from elfs_plugin.beta_search import search
from elfs_plugin.beta_search.search import (
    BetaSearch,
    candidate,
    choose,
    default_grid,
    resolve_beta_proxy,
    search_beta,
    usual_beta,
)
from elfs_plugin.errors import Cancelled, InvalidInput
from elfs_plugin.proxy import mlp as mlp_ensemble
from elfs_plugin.proxy.config import ProxyConfig

FAST = ProxyConfig.mlp(steps=8, hidden=16)


def task(n=60, classes=2, seed=0):
    """Separated blobs, their labels, and random scores."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    vectors = (3 * np.eye(4)[labels] + 0.3 * rng.normal(size=(n, 4))).astype(np.float32)
    scores = rng.random(n)
    return vectors, labels, scores


@pytest.mark.parametrize(
    ("budget", "n", "grid"),
    [
        (3, 10, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),  # up to 1 - 3 / 10
        (10, 10, [0]),
        (35, 100, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),  # 0.65 is the limit
        (9, 10, [0, 0.1]),
    ],
)
def test_default_grid(budget, n, grid):
    assert default_grid(budget, n).tolist() == grid


BETAS = np.array([0.0, 0.1, 0.2])


def test_choose_takes_the_best_when_it_stands_alone():
    beta, reason = choose(BETAS, np.array([[0.5, 0.5], [0.9, 0.9], [0.6, 0.6]]), 0.1)
    assert beta == 0.1
    assert reason == "β = 0.1 is the best (90.0%), clearly, over 2 held-out splits of pseudo-labels."


def test_choose_takes_the_usual_one_of_those_not_clearly_worse():
    # Behind the best by 0.02, 0.01 ± 0.03 and 0.15 ± 0.05: the usual 0.6 of a tenth kept draws to 0.2, not to 0.3.
    betas = np.array([0.0, 0.1, 0.2, 0.3])
    accuracies = np.array([[0.78, 0.58], [0.80, 0.60], [0.76, 0.62], [0.60, 0.50]])
    beta, reason = choose(betas, accuracies, 0.1)
    assert beta == 0.2
    assert reason == (
        "β = 0.2 (69.0%) is the nearest to 0.6, which is usual for this budget, of 2 values not clearly worse than the "
        "best (70.0% at β = 0.1), over 2 held-out splits of pseudo-labels."
    )
    assert choose(betas, accuracies, 0.7)[0] == 0.1  # usual is 0; 0.0 is always 0.02 behind


def test_choose_compares_within_the_repeats():
    # The repeats differ by far more than the two values, but the second is behind by 0.01 in each of them.
    assert choose(BETAS[:2], np.array([[0.9, 0.5], [0.89, 0.49]]), 0.1)[0] == 0.0
    assert choose(BETAS[:2], np.array([[0.9, 0.5], [0.88, 0.5]]), 0.1)[0] == 0.1  # 0.01 ± 0.01
    assert choose(BETAS[:2], np.array([[0.9, 0.5], [0.87, 0.49]]), 0.1)[0] == 0.1  # 0.02 ± 0.01, the edge
    assert choose(BETAS[:2], np.array([[0.9, 0.5], [0.86, 0.48]]), 0.1)[0] == 0.0  # 0.03 ± 0.01


def test_choose_with_one_repeat_is_the_best_or_of_equals_the_usual():
    assert choose(BETAS, np.array([[0.5], [0.8], [0.8]]), 0.1)[0] == 0.2
    assert choose(BETAS, np.array([[0.5], [0.8], [0.8]]), 1.0)[0] == 0.1
    beta, reason = choose(BETAS, np.array([[0.5], [0.8], [0.7]]), 0.1)
    assert beta == 0.1
    assert reason == (
        "β = 0.1 is the best (80.0%) on one held-out split of pseudo-labels; how clearly, more repeats would tell."
    )


def test_choose_takes_the_smaller_of_two_equally_near():
    assert choose(np.array([0.4, 0.5]), np.array([[0.8], [0.8]]), 0.2)[0] == 0.4  # usual is 0.45
    assert choose(np.array([0.5, 0.7]), np.array([[0.8], [0.8]]), 0.1)[0] == 0.5


@pytest.mark.parametrize(("kept", "beta"), [(0.01, 0.6), (0.1, 0.6), (0.25, 0.375), (0.3, 0.3), (0.6, 0.05), (0.9, 0)])
def test_usual_beta(kept, beta):
    assert usual_beta(kept) == pytest.approx(beta)


def test_mean_and_spread():
    result = BetaSearch(np.array([0.0]), np.array([[0.4, 0.8]]), 0.0, "")
    assert result.mean == pytest.approx([0.6]) and result.spread == pytest.approx([0.2])


def test_the_smallest_within_one_deviation_of_the_best():
    # Means 0.5, 0.78, 0.8; the best varies by 0.02.
    accuracies = np.array([[0.5, 0.5], [0.77, 0.79], [0.78, 0.82]])
    assert BetaSearch(np.array([0, 0.1, 0.2]), accuracies, 0.2, "").smallest == 0.1
    accuracies[1] -= 0.01
    assert BetaSearch(np.array([0, 0.1, 0.2]), accuracies, 0.2, "").smallest == 0.2


def test_shape_and_progress():
    vectors, labels, scores = task()
    reports = []
    result = search_beta(
        vectors,
        labels,
        scores,
        0.7,
        repeats=2,
        config=FAST,
        device="cpu",
        progress=lambda fraction, detail="": reports.append(fraction),
    )
    assert result.betas.tolist() == [0, 0.1, 0.2, 0.3]
    assert result.accuracies.shape == (4, 2)
    assert ((result.accuracies >= 0) & (result.accuracies <= 1)).all()
    assert result.chosen in result.betas and f"{result.chosen:.2g}" in result.reason
    assert reports == sorted(reports) and reports[-1] == 1.0 and len(reports) == 8 + 1


def test_a_cancelled_search_stops_while_it_trains():
    vectors, labels, scores = task()
    reports = []

    def cancel(fraction, detail=""):
        reports.append(fraction)
        if fraction > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        search_beta(vectors, labels, scores, 0.7, repeats=2, config=FAST, device="cpu", progress=cancel)
    assert len(reports) == 4  # of 8 steps


def test_the_order_of_the_samples_does_not_matter():
    vectors, labels, scores = task()
    scores = np.round(scores, 1)  # many ties
    ids = np.array([f"id{k:02}" for k in np.random.default_rng(1).permutation(60)])
    turned = np.random.default_rng(2).permutation(60)
    options = {"grid": [0, 0.2, 0.4], "repeats": 3, "config": FAST}
    one = search_beta(vectors, labels, scores, 0.3, ids=ids, **options)
    other = search_beta(vectors[turned], labels[turned], scores[turned], 0.3, ids=ids[turned], **options)
    assert np.array_equal(one.accuracies, other.accuracies) and one.chosen == other.chosen
    by_position = search_beta(vectors[turned], labels[turned], scores[turned], 0.3, **options)
    assert not np.array_equal(one.accuracies, by_position.accuracies)


def test_candidates_in_groups_are_those_trained_at_once(monkeypatch):
    vectors, labels, scores = task()
    options = {"grid": [0, 0.2, 0.4], "repeats": 3, "config": FAST}
    at_once = search_beta(vectors, labels, scores, 0.3, **options)
    monkeypatch.setattr(mlp_ensemble, "GROUP_BYTES", 1)
    assert np.array_equal(search_beta(vectors, labels, scores, 0.3, **options).accuracies, at_once.accuracies)


def test_same_seed_same_curve():
    vectors, labels, scores = task()
    one, same = (search_beta(vectors, labels, scores, 30, grid=[0, 0.3], repeats=2, config=FAST) for _ in range(2))
    assert np.array_equal(one.accuracies, same.accuracies) and one.chosen == same.chosen


def test_a_hard_end_of_wrong_labels_is_found():
    # The hardest 30% carry the wrong label: a coreset of them teaches the opposite, one from beta 0.3 on is right.
    rng = np.random.default_rng(0)
    n = 100
    truth = np.arange(n) % 2
    vectors = (3 * np.eye(4)[truth] + 0.2 * rng.normal(size=(n, 4))).astype(np.float32)
    scores = rng.permutation(n).astype(float)
    labels = np.where(scores < 30, 1 - truth, truth)
    result = search_beta(vectors, labels, scores, 0.2, grid=[0, 0.5], repeats=2, config=ProxyConfig.mlp(steps=40))
    assert result.mean[0] < 0.5 < result.mean[1]
    assert result.chosen == 0.5
    turned = search_beta(
        vectors, labels, -scores, 0.2, grid=[0, 0.5], repeats=2, hard="high", config=ProxyConfig.mlp(steps=40)
    )
    assert np.array_equal(turned.accuracies, result.accuracies)


def test_the_grid_is_sorted_and_its_limit_allowed():
    vectors, labels, scores = task()
    result = search_beta(vectors, labels, scores, 42, grid=[0.3, 0.0, 0.3], repeats=1, config=FAST)
    assert result.betas.tolist() == [0, 0.3]  # 0.3 = 1 - 42 / 60


def test_everything_kept_leaves_one_beta():
    vectors, labels, scores = task(20)
    result = search_beta(vectors, labels, scores, 1.0, repeats=1, config=FAST)
    assert result.betas.tolist() == [0] and result.chosen == 0.0


TINY = ProxyConfig.resnet8(members=1, steps=3, batch_size=8)


def picture_task(n=40, seed=0):
    """Images that are dark or bright, with noise, their labels, and scores."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = (60 + 130 * labels[:, None, None, None] + rng.integers(-50, 50, (n, 3, 8, 8))).astype(np.uint8)
    return images, labels, rng.random(n)


def test_images_can_be_searched_also_with_resnet18():
    images, labels, scores = picture_task(20)
    config = ProxyConfig.resnet18(steps=1, batch_size=8)
    assert search_beta(images, labels, scores, 10, grid=[0.5], repeats=1, config=config).accuracies.shape == (1, 1)


def test_a_hard_end_of_wrong_labels_is_found_on_images():
    images, truth, _ = picture_task(100)
    scores = np.random.default_rng(1).permutation(100).astype(float)
    labels = np.where(scores < 30, 1 - truth, truth)
    config = ProxyConfig.resnet8(members=1, steps=30, batch_size=16)
    result = search_beta(images, labels, scores, 0.2, grid=[0, 0.5], repeats=2, config=config, device="cpu")
    assert result.mean[0] < 0.5 < result.mean[1] and result.chosen == 0.5


def test_the_order_of_the_images_does_not_matter():
    images, labels, scores = picture_task()
    ids = np.array([f"id{k:02}" for k in np.random.default_rng(1).permutation(40)])
    turned = np.random.default_rng(2).permutation(40)
    options = {"grid": [0, 0.4], "repeats": 2, "config": TINY, "device": "cpu"}
    one = search_beta(images, labels, scores, 0.4, ids=ids, **options)
    other = search_beta(images[turned], labels[turned], scores[turned], 0.4, ids=ids[turned], **options)
    assert np.array_equal(one.accuracies, other.accuracies)


INTERRUPTED = {"grid": [0, 0.4], "repeats": 2, "config": replace(TINY, steps=12), "device": "cpu"}


@pytest.fixture(scope="module")
def uninterrupted():
    return search_beta(*picture_task(), 0.4, **INTERRUPTED)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stop", [0.05, 0.3, 0.6, 0.9])
def test_an_interrupted_search_on_images_goes_on_to_the_same_result(
    tmp_path, monkeypatch, uninterrupted, stop, threads
):
    monkeypatch.setattr("elfs_plugin.engine.in_threads.SECONDS_BETWEEN_REPORTS", 0.001)
    monkeypatch.setattr(beta_candidates, "cpu_threads", lambda: threads)
    images, labels, scores = picture_task()
    reports = []

    def cancel(fraction, detail=""):
        reports.append(fraction)
        if fraction >= stop:
            raise Cancelled

    with pytest.raises(Cancelled):
        search_beta(images, labels, scores, 0.4, checkpoint=tmp_path / "beta", progress=cancel, **INTERRUPTED)
    rest = []
    resumed = search_beta(
        images,
        labels,
        scores,
        0.4,
        checkpoint=tmp_path / "beta",
        progress=lambda fraction, detail="": rest.append(fraction),
        **INTERRUPTED,
    )
    assert np.array_equal(resumed.accuracies, uninterrupted.accuracies)
    assert min(rest) >= int(4 * stop) / 4 - (threads - 1) / 4  # finished candidates are not trained again
    assert rest == sorted(rest) and rest[-1] == 1.0
    assert list(tmp_path.iterdir()) == []


def test_the_number_of_threads_changes_nothing(monkeypatch):
    images, labels, scores = picture_task()
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(beta_candidates, "cpu_threads", lambda threads=threads: threads)
        found.append(search_beta(images, labels, scores, 0.4, grid=[0, 0.3, 0.6], repeats=2, config=TINY, device="cpu"))
    assert np.array_equal(found[0].accuracies, found[1].accuracies)


def test_a_checkpoint_of_another_search_is_ignored(tmp_path):
    images, labels, scores = picture_task()
    options = {"grid": [0, 0.4], "repeats": 2, "config": TINY, "device": "cpu"}

    def cancel(fraction, detail=""):
        raise Cancelled

    (tmp_path / "beta.0-7").write_text("of a search long ago")
    with pytest.raises(Cancelled):
        search_beta(images, labels, scores, 0.4, checkpoint=tmp_path / "beta", progress=cancel, **options)
    other = search_beta(images, labels, -scores, 0.4, checkpoint=tmp_path / "beta", **options)
    assert np.array_equal(other.accuracies, search_beta(images, labels, -scores, 0.4, **options).accuracies)
    assert list(tmp_path.iterdir()) == []


def test_candidates_are_lighter_than_the_proxy_of_all_samples():
    assert candidate(ProxyConfig.mlp()).steps == 150
    small = candidate(ProxyConfig.resnet8())
    assert (small.members, small.steps) == (1, 500)
    assert candidate(ProxyConfig.resnet18()).steps == candidate(ProxyConfig.timm("resnet18")).steps == 2000


def test_small_networks_at_once_fit_in_memory():
    config = ProxyConfig.resnet8()
    at = [beta_candidates._fit_in_memory(config, (9, 3, size, size), torch.device("cpu")) for size in (32, 224, 2048)]
    assert at == [81, 1, 1]


@pytest.mark.parametrize("grid", [[], [-0.1], [0, 0.6], [0, np.nan], [np.inf]])
def test_impossible_grids(grid):
    vectors, labels, scores = task()
    with pytest.raises(InvalidInput, match="every β of the grid must be between 0 and 0.5") as error:
        search_beta(vectors, labels, scores, 30, grid=grid, config=FAST)
    assert error.value.field == "grid"


def test_refusals():
    vectors, labels, scores = task()
    with pytest.raises(InvalidInput, match="at least 20 samples, there are 19"):
        search_beta(vectors[:19], labels[:19], scores[:19], 5, config=FAST)
    with pytest.raises(InvalidInput, match="whole number from 1, not 0") as error:
        search_beta(vectors, labels, scores, 30, repeats=0, config=FAST)
    assert error.value.field == "repeats"
    with pytest.raises(InvalidInput, match="from 1 to 60") as error:
        search_beta(vectors, labels, scores, 61, config=FAST)
    assert error.value.field == "budget"


def test_resolve_beta_proxy(monkeypatch):
    scored = ProxyConfig.resnet18(epochs=200)
    monkeypatch.setattr(search, "has_gpu", lambda: False)
    assert resolve_beta_proxy("auto", scored) == resolve_beta_proxy("resnet8", scored)
    monkeypatch.setattr(search, "has_gpu", lambda: True)
    assert resolve_beta_proxy("auto", scored) == replace(scored, steps=2000)
    assert resolve_beta_proxy("auto", ProxyConfig.mlp()) == resolve_beta_proxy("mlp", scored)
    assert resolve_beta_proxy("resnet8", scored).members == 1
    assert resolve_beta_proxy(scored, ProxyConfig.mlp()) is scored
    with pytest.raises(InvalidInput, match="needs the image files") as error:
        resolve_beta_proxy("resnet8", ProxyConfig.mlp(), images_available=False, field="beta_proxy")
    assert error.value.field == "beta_proxy"
