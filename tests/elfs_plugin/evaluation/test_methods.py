import json

import numpy as np
import pytest

from elfs_plugin.errors import Cancelled, InvalidInput
from elfs_plugin.evaluation import audit as evaluation
from elfs_plugin.evaluation import choosing
from elfs_plugin.evaluation import methods as method_comparison
from elfs_plugin.evaluation.methods import compare_methods, sentences
from elfs_plugin.evaluation.probe import probe_accuracies
from elfs_plugin.evaluation.tables import method_rows, to_csv
from elfs_plugin.selectors import available
from elfs_plugin.selectors.engines.zcore.scores import zcore_scores
from elfs_plugin.selectors.methods import zcore
from tests.few_steps import candidate_steps
from tests.helpers import blobs, make_dynamics

QUICK = ["elfs", "k_center", "ccs"]


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    candidate_steps(30, replace=monkeypatch.setattr)


@pytest.fixture(scope="module")
def compared():
    vectors, labels = blobs(noise=1.0)
    with pytest.MonkeyPatch.context() as patch:
        candidate_steps(30, replace=patch.setattr)
        return compare_methods(vectors, labels, [0.1, 20, 8], methods=QUICK, seeds=3)


def test_shapes_budgets_and_the_baseline(compared):
    assert compared.methods == ["elfs", "random", "ccs", "k_center"]  # in the family's order
    assert compared.budgets == [8, 20]  # 0.1 of 80 is 8, once
    assert compared.accuracy.shape == compared.coverage.shape == compared.near_duplicates.shape == (4, 2, 3)
    for of_method in compared.chosen:
        for budget, of_budget in zip(compared.budgets, of_method):
            assert [len(set(rows.tolist())) for rows in of_budget] == [budget] * 3
    assert not compared.difference()[1].any()


def test_a_beta_is_searched_for_every_budget_and_seed(compared):
    assert compared.betas.shape == (2, 3) and ((compared.betas >= 0) & (compared.betas <= 0.9)).all()


def test_overlap_of_seeds_by_hand():
    assert method_comparison._overlap([np.array([1, 2, 3, 4]), np.array([3, 4, 5, 6])]) == 0.5
    sets = [np.array([0, 1]), np.array([0, 1]), np.array([0, 2])]
    assert method_comparison._overlap(sets) == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert np.isnan(method_comparison._overlap([np.array([1])]))


def test_accuracy_is_that_of_what_was_chosen():
    """One cluster's samples teach that cluster alone; a sample of each teaches all."""
    vectors, labels = blobs(200)
    chosen = [[[np.flatnonzero(labels == 0)] * 2], [[np.arange(100)] * 2]]
    one, all_of_them = probe_accuracies(chosen, vectors, labels)
    assert one.max() < 0.5 and all_of_them.min() > 0.95


def test_sentences_name_the_better_and_the_worse(compared):
    accuracy = np.zeros((4, 2, 3))
    accuracy[compared.methods.index("elfs"), 0] = [0.02, 0.021, 0.02]
    accuracy[compared.methods.index("ccs"), 0] = [-0.1, -0.11, -0.1]
    accuracy[compared.methods.index("k_center"), 0] = [0.3, -0.3, 0.0]  # within its own spread
    first, second = sentences(compared, accuracy, "true labels")
    assert first == "8 images (10.0%): on true labels better than Random, in points: elfs (+2.0); worse: ccs (-10.3)."
    assert second.endswith("better than Random, in points: none; worse: none.")


def test_few_seeds_give_no_verdict():
    vectors, labels = blobs()
    found = compare_methods(vectors, labels, [10], methods=["k_center"], seeds=1)
    assert "too few to say" in found.sentences[0]
    assert np.isnan(found.overlap).all() and found.to_dict()["overlap"] == [[None], [None]]


def test_same_seed_same_result_whatever_the_order():
    vectors, labels = blobs(60, noise=1.0)
    ids = np.array([f"id{i:03}" for i in range(60)])
    order = np.random.default_rng(1).permutation(60)
    options = {"methods": ["k_center", "random"], "seeds": 2, "seed": 5}
    one = compare_methods(vectors, labels, [10], ids=ids, **options)
    two = compare_methods(vectors[order], labels[order], [10], ids=ids[order], **options)
    for m in range(2):
        for s in range(2):
            assert ids[one.chosen[m][0][s]].tolist() == ids[order][two.chosen[m][0][s]].tolist()
    np.testing.assert_allclose(one.accuracy, two.accuracy, atol=1e-6)


def test_given_dynamics_are_used_and_none_is_trained(monkeypatch):
    monkeypatch.setattr(choosing, "train_proxy", None)
    vectors, labels = blobs()
    found = compare_methods(vectors, labels, [10], methods=["el2n"], seeds=2, dynamics=make_dynamics(np.arange(80)))
    assert found.chosen[1][0][0].tolist() == list(range(79, 69, -1)) and found.overlap[1, 0] == 1


def test_what_a_method_warns_of_is_passed_on(monkeypatch):
    def few_draws(*args, **options):
        return zcore_scores(*args, **{**options, "max_draws": 1000, "target": 1})

    monkeypatch.setattr(zcore, "zcore_scores", few_draws)
    vectors, labels = blobs(60, noise=1.0)
    found = compare_methods(vectors, labels, [10], methods=["k_center", "zcore"], seeds=2)
    assert [text.split(":")[0] for text in found.warnings] == ["zcore"]
    assert "half-runs of ZCore correlate" in found.warnings[0]
    assert found.to_dict()["warnings"] == found.warnings


def test_methods_that_would_take_hours_are_left_out_unless_named():
    names, left_out = method_comparison._names(None, 50_000, 384, 15_000)
    assert names == list(available()) and left_out == {}
    names, left_out = method_comparison._names(None, 1_000_000, 384, 300_000)
    assert set(left_out) == {"herding", "k_center", "prune4rel", "zcore"} and not set(left_out) & set(names)
    assert "name it to wait for it" in left_out["herding"]
    named = method_comparison._names(["herding"], 1_000_000, 384, 300_000)
    assert named == (["random", "herding"], {})


def test_the_audit_needs_the_labels_afterwards(compared):
    vectors, labels = blobs(noise=1.0)
    right = evaluation.audit_methods(compared, vectors, np.array(list("abcd"))[labels])
    # The truth is what the pseudo-labels were, so nothing is different.
    np.testing.assert_allclose(right, compared.accuracy)
    with pytest.raises(InvalidInput, match="80 samples need as many true labels, not 3"):
        evaluation.audit_methods(compared, vectors, [1, 2, 3])
    with pytest.raises(InvalidInput, match="two classes"):
        evaluation.audit_methods(compared, vectors, np.zeros(80))


def test_rows_and_csv(compared):
    found = json.loads(json.dumps(compared.to_dict()))
    rows = method_rows(found, true_accuracy=compared.accuracy)
    assert [(row["budget"], row["method"]) for row in rows[:2]] == [(8, "elfs"), (8, "random")]
    assert rows[1]["minus_random"] == 0 and rows[0]["overlap_by_chance"] == 0.1
    assert rows[0]["true_accuracy"] == pytest.approx(rows[0]["accuracy"])
    lines = to_csv(rows).splitlines()
    assert len(lines) == 1 + 4 * 2 and lines[0].startswith("budget,method,pool,seeds,accuracy,accuracy_sd")


def test_progress_rises_and_can_cancel():
    vectors, labels = blobs()
    seen = []
    compare_methods(vectors, labels, [10], methods=["ccs"], seeds=1, progress=lambda f, text="": seen.append(f))
    assert seen == sorted(seen) and seen[-1] == 1.0

    def stop(fraction, detail=""):
        if fraction > 0.5:
            raise Cancelled()

    with pytest.raises(Cancelled):
        compare_methods(vectors, labels, [10], methods=["ccs"], seeds=2, progress=stop)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": ["best"]}, "Unknown selector 'best'. Available: elfs, random"),
        ({"budgets": []}, "at least one budget"),
        ({"budgets": [81]}, "from 1 to 80"),
        ({"seeds": 0}, "from 1, not 0"),
        ({"seeds": 21}, "At most 20 seeds"),
        ({"pseudo_labels": np.zeros(80, dtype=int)}, "needs two clusters"),
        ({"pseudo_labels": np.zeros(79, dtype=int)}, "80 embeddings and 79 pseudo-labels"),
    ],
)
def test_refusals(change, words):
    vectors, labels = blobs()
    with pytest.raises(InvalidInput, match=words):
        compare_methods(**{"embeddings": vectors, "pseudo_labels": labels, "budgets": [10], "seeds": 2, **change})
