import numpy as np
import pytest
import torch
import torch.nn.functional as F

from elfs_plugin.errors import Cancelled, ElfsError, InvalidInput
from elfs_plugin.proxy import mlp as mlp_ensemble
from elfs_plugin.proxy.dynamics import HARD_WHEN
from elfs_plugin.proxy.mlp import EnsembleConfig, Networks, Standardised, fit_subsets, train
from tests import helpers

CPU = torch.device("cpu")
SMALL = EnsembleConfig(members=4, left_out=2, epochs=6, batch_size=32, hidden=32, learning_rate=0.05)


def blobs(n=120, seed=0):
    return helpers.blobs(n, 3, noise=0.3, seed=seed)


def test_networks_compute_what_single_networks_compute():
    networks = Networks(5, 7, 3, [1, 2], CPU)
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        networks.first_bias += 0.1
        networks.second_bias[1] -= 0.2
        networks.second += torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(1))
        shared, own = networks(x), networks(x.expand(2, -1, -1).contiguous())
        for member in range(2):
            h = F.linear(x, networks.first[member], networks.first_bias[member, 0]).relu()
            expected = h @ networks.second[member] + networks.second_bias[member]
            # bfloat16 in the first layer where the hardware has it
            torch.testing.assert_close(shared[member], expected, rtol=0.02, atol=0.05)
            torch.testing.assert_close(own[member], expected, rtol=0.02, atol=0.05)
    assert shared.shape == (2, 4, 3) and shared.dtype == torch.float32
    assert not torch.allclose(shared[0], shared[1], atol=0.1)


def test_equal_seeds_begin_equally():
    networks = Networks(5, 7, 3, [4, 9, 4], CPU)
    assert torch.equal(networks.first[0], networks.first[2]) and not torch.equal(networks.first[0], networks.first[1])
    assert (networks(torch.ones(2, 5)) == 0).all()  # undecided


def test_inputs_are_standardised_whatever_their_order():
    values = np.random.default_rng(0).normal(5, 3, (50, 4)).astype(np.float32)
    values[:, 2] = 7.0
    data = Standardised(values, CPU, dtype=torch.float32)
    taken = data.take(torch.arange(50)).double()
    np.testing.assert_allclose(taken.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(taken.std(0, correction=0), [1, 1, 0, 1], atol=1e-6)
    order = np.random.default_rng(1).permutation(50)
    shuffled = Standardised(values[order], CPU, np.argsort(order), torch.float32)
    assert torch.equal(shuffled.take(torch.as_tensor(np.argsort(order))), data.take(torch.arange(50)))


def test_large_inputs_are_standardised_when_taken(monkeypatch):
    values = np.random.default_rng(0).normal(5, 3, (50, 4)).astype(np.float32)
    rows = torch.tensor([[3, 49], [3, 0]])
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(mlp_ensemble, "READY_BYTES", 50 * 4 * 4)
        kept = Standardised(values, CPU, dtype=dtype)
        monkeypatch.setattr(mlp_ensemble, "READY_BYTES", 0)
        large = Standardised(values, CPU, dtype=dtype)
        assert kept._ready is not None and large._ready is None
        assert torch.equal(kept.take(rows), large.take(rows)) and kept.take(rows).dtype == dtype
        assert kept.take(rows).shape == (2, 2, 4) and torch.equal(kept.take(rows)[0, 0], kept.take(rows)[1, 0])


@pytest.mark.parametrize("left_out", [0, 2])
def test_one_score_per_sample(left_out):
    vectors, labels = blobs(50)
    config = EnsembleConfig(members=4, left_out=left_out, epochs=3, batch_size=16, hidden=16)
    dynamics = train(vectors, labels, config=config, device="cpu")
    assert dynamics.epochs == 3 and dynamics.dual_window == 3
    for name in (*HARD_WHEN, "aum_spread"):
        scores = getattr(dynamics, name)
        assert scores.shape == (50,) and scores.dtype == np.float64 and np.isfinite(scores).all(), name
    assert (np.abs(dynamics.aum) <= 3).all() and (dynamics.aum_spread > 0).all()


def test_mislabelled_samples_are_the_hardest():
    vectors, labels = blobs(120)
    wrong = np.array([5, 40, 77, 100])
    noisy = labels.copy()
    noisy[wrong] = (noisy[wrong] + 1) % 3
    dynamics = train(vectors, noisy, config=SMALL, device="cpu")
    for name in ("aum", "aum_logit"):
        assert set(np.argsort(getattr(dynamics, name))[:4]) == set(wrong), name
    assert set(np.argsort(-dynamics.el2n)[:4]) == set(wrong)


def test_a_sample_is_scored_only_by_networks_that_have_not_seen_it():
    # Labels without any pattern: networks that train on them fit them in time, the others cannot know them.
    vectors = np.random.default_rng(0).normal(size=(60, 40)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 2, 60)
    settings = {"members": 4, "epochs": 60, "batch_size": 20, "learning_rate": 0.05}
    seen = train(vectors, labels, config=EnsembleConfig(left_out=0, **settings), device="cpu")
    unseen = train(vectors, labels, config=EnsembleConfig(left_out=2, **settings), device="cpu")
    assert seen.correctness.mean() > 0.85 * 60
    assert 0.3 * 60 < unseen.correctness.mean() < 0.7 * 60


def test_every_sample_is_left_out_by_as_many_members():
    left = mlp_ensemble._left_out(1000, EnsembleConfig(members=8, left_out=3), torch.Generator().manual_seed(0))
    assert (left.sum(dim=1) == 3).all()
    assert ((left.sum(dim=0) > 300) & (left.sum(dim=0) < 450)).all()  # 375 expected, 15 is one standard deviation


def test_same_seed_same_dynamics_whatever_the_global_seed():
    vectors, labels = blobs(60)
    torch.manual_seed(0)
    one = train(vectors, labels, config=SMALL, device="cpu")
    torch.manual_seed(123)
    same = train(vectors, labels, config=SMALL, device="cpu")
    other = train(vectors, labels, config=SMALL, seed=1, device="cpu")
    for name in (*HARD_WHEN, "aum_spread"):
        assert np.array_equal(getattr(one, name), getattr(same, name)), name
    assert not np.array_equal(one.aum, other.aum)


def test_scale_of_the_embeddings_does_not_matter():
    vectors, labels = blobs(60)
    plain = train(vectors, labels, config=SMALL, device="cpu")
    scaled = train(vectors * 1024 + 5, labels, config=SMALL, device="cpu")
    np.testing.assert_allclose(scaled.aum, plain.aum, atol=0.05)


def test_one_sample():
    assert train(np.ones((1, 3)), [0], num_classes=2, config=SMALL, device="cpu").aum.shape == (1,)


def test_progress_rises_to_one_and_can_cancel():
    vectors, labels = blobs(50)
    reports = []
    train(vectors, labels, config=SMALL, device="cpu", progress=lambda f, detail="": reports.append((f, detail)))
    fractions = [f for f, _ in reports]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(reports) == 12 + 6
    assert reports[-1][1] == "epoch 6 of 6"

    def cancel(fraction, detail=""):
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        train(vectors, labels, config=SMALL, device="cpu", progress=cancel)


def test_a_subset_learns_its_own_labels_and_no_others():
    vectors, labels = blobs(90)
    turned = np.where(np.arange(90) < 45, labels, (labels + 1) % 3)
    subsets = np.stack([np.arange(45), np.arange(45, 90)])
    config = EnsembleConfig(steps=60, hidden=32, batch_size=32, learning_rate=0.05)
    trained = fit_subsets(Standardised(vectors, CPU), turned, subsets, 3, config, [0, 0])
    rows = np.arange(90)
    first, second = trained.predict(rows, [0, 1])
    assert np.mean(first == labels) > 0.95 and np.mean(second == (labels + 1) % 3) > 0.95
    assert np.array_equal(trained.predict(rows[::2], [1])[0], second[::2])


def test_networks_do_not_depend_on_how_many_are_trained_together(monkeypatch):
    vectors, labels = blobs(60)
    data = Standardised(vectors, CPU)
    subsets = np.stack([np.random.default_rng(k).permutation(60)[:20] for k in range(5)])
    config = EnsembleConfig(steps=4, hidden=16, batch_size=8)
    reports = []
    together = fit_subsets(data, labels, subsets, 3, config, [3, 3, 4, 4, 5])
    monkeypatch.setattr(mlp_ensemble, "GROUP_BYTES", 2 * mlp_ensemble._bytes(6, 16, 3, 8))
    apart = fit_subsets(data, labels, subsets, 3, config, [3, 3, 4, 4, 5], lambda f, detail="": reports.append(f))
    assert [members for members, _ in apart._groups] == [[0, 1], [2, 3], [4]]
    for members, networks in apart._groups:
        torch.testing.assert_close(networks.first, together._groups[0][1].first[members], rtol=1e-3, atol=1e-3)
    assert reports == sorted(reports) and reports[-1] == pytest.approx(1.0)
    rows = np.arange(60)
    assert np.array_equal(apart.predict(rows, [4, 0, 3]), together.predict(rows, [4, 0, 3]))


def test_a_loss_that_diverges_is_explained():
    vectors, labels = blobs(50)
    with pytest.raises(ElfsError, match=r"Training the proxy failed at step \d+ of 12.*1e\+30.*too high: try 1e\+29"):
        train(vectors, labels, config=EnsembleConfig(epochs=6, batch_size=32, learning_rate=1e30), device="cpu")
    vectors[3, 2] = np.nan
    with pytest.raises(ElfsError, match="step 1 of 12.*Some embeddings are NaN or infinite"):
        train(vectors, labels, config=SMALL, device="cpu")


def test_refusals():
    vectors, labels = blobs(10)
    with pytest.raises(InvalidInput, match="as many labels as inputs; there are 10 and 9"):
        train(vectors, labels[:9])
    with pytest.raises(InvalidInput, match=r"takes an \(N, D\) matrix"):
        train(np.zeros((4, 3, 2)), labels[:4])
    with pytest.raises(InvalidInput, match="members must be at least 1, not 0") as error:
        EnsembleConfig(members=0)
    assert error.value.field == "members"
    with pytest.raises(InvalidInput, match="from 0 to 15"):
        EnsembleConfig(left_out=16)
    assert EnsembleConfig(**EnsembleConfig(members=3, left_out=1).to_dict()).members == 3
