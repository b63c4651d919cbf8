import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from elfs_plugin.clustering.temi import Heads, Teacher, pair_weights, temi_loss
from elfs_plugin.devices import generator


def log_probabilities(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).log_softmax(dim=-1)


def test_loss_by_hand():
    # One head, one pair, two clusters. Student (1/2, 1/2) for both; teacher (1/4, 3/4) and (3/4, 1/4); marginal 1/2.
    # With beta 1: -log(2 (1/2 3/4 + 1/2 1/4)) = -log 1 = 0 in both directions.
    # With beta 1/2: -log(2 (sqrt(3/8) + sqrt(1/8))) = -log 1.93185.
    student = torch.tensor([[[0.5, 0.5]]]).log()
    teacher_a, teacher_b = torch.tensor([[[0.25, 0.75]]]).log(), torch.tensor([[[0.75, 0.25]]]).log()
    marginal, one = torch.tensor([[0.5, 0.5]]), torch.ones(1)
    loss = temi_loss(student, student, teacher_a, teacher_b, marginal, beta=1.0, weights=one)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    loss = temi_loss(student, student, teacher_a, teacher_b, marginal, beta=0.5, weights=one)
    assert loss.item() == pytest.approx(-math.log(2 * (math.sqrt(3 / 8) + math.sqrt(1 / 8))))


def test_loss_against_a_loop_over_the_formula():
    heads, batch, clusters, beta = 3, 5, 4, 0.6
    student_a, student_b, teacher_a, teacher_b = (log_probabilities(heads, batch, clusters, seed=s) for s in range(4))
    marginal = log_probabilities(heads, clusters, seed=9).exp()
    qs_a, qs_b, qt_a, qt_b = (x.exp().tolist() for x in (student_a, student_b, teacher_a, teacher_b))
    m = marginal.tolist()

    expected = []
    for h in range(heads):
        total = 0.0
        for i in range(batch):
            weight = sum(qt_a[g][i][c] * qt_b[g][i][c] for g in range(heads) for c in range(clusters)) / heads
            forward = -math.log(sum((qs_a[h][i][c] * qt_b[h][i][c]) ** beta / m[h][c] for c in range(clusters)))
            backward = -math.log(sum((qs_b[h][i][c] * qt_a[h][i][c]) ** beta / m[h][c] for c in range(clusters)))
            total += weight * (forward + backward) / 2
        expected.append(total / batch)
    actual = temi_loss(student_a, student_b, teacher_a, teacher_b, marginal, beta=beta)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12)


def test_pair_weights_by_hand():
    # Head 0: 0.5 0.5 + 0.5 0.5 = 0.5; head 1: 0.9 0.2 + 0.1 0.8 = 0.26; their mean 0.38.
    a = torch.tensor([[[0.5, 0.5]], [[0.9, 0.1]]])
    b = torch.tensor([[[0.5, 0.5]], [[0.2, 0.8]]])
    assert pair_weights(a, b).tolist() == pytest.approx([0.38])


def test_pairs_that_agree_cost_less_than_pairs_that_do_not():
    marginal = torch.full((1, 2), 0.5)
    sure, other = torch.tensor([[[0.99, 0.01]]]).log(), torch.tensor([[[0.01, 0.99]]]).log()
    one = torch.ones(1)
    together = temi_loss(sure, sure, sure, sure, marginal, weights=one)
    apart = temi_loss(sure, other, sure, other, marginal, weights=one)
    assert together < apart


def test_batched_heads_equal_each_head_computed_alone():
    heads, dim, clusters, hidden, bottleneck = 3, 6, 4, 10, 5
    model = Heads(heads, dim, clusters, hidden=hidden, bottleneck=bottleneck, generator=generator(0))
    with torch.no_grad():
        for bias in (model.first_bias, model.second_bias):
            bias.normal_(generator=generator(1))
    x = torch.randn(7, dim, generator=generator(2))
    logits = model(x)
    assert logits.shape == (heads, 7, clusters) and logits.dtype == torch.float32
    assert logits.abs().max() <= 1 + 1e-6
    for h in range(heads):
        one = F.gelu(x @ model.first[h] + model.first_bias[h])
        one = F.normalize(one @ model.second[h] + model.second_bias[h], dim=1)
        one = one @ (model.prototypes[h] / model.prototypes[h].norm(dim=0))
        torch.testing.assert_close(logits[h], one)


def test_bfloat16_stays_close_to_float32_and_returns_float32():
    exact = Heads(2, 32, 5, generator=generator(0))
    rough = Heads(2, 32, 5, dtype=torch.bfloat16, generator=generator(0))
    x = torch.randn(64, 32, generator=generator(1))
    assert rough(x).dtype == torch.float32
    torch.testing.assert_close(rough(x), exact(x), atol=0.02, rtol=0)


def test_a_sample_of_zeros_has_even_probabilities():
    logits = Heads(2, 4, 3, generator=generator(0))(torch.zeros(1, 4))
    assert (logits == 0).all()


def test_an_emptied_cluster_leaves_the_loss_finite():
    student = log_probabilities(1, 4, 3)
    loss = temi_loss(student, student, student, student, torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64))
    assert torch.isfinite(loss).all()


def test_heads_do_not_touch_each_other():
    model = Heads(2, 4, 3, hidden=6, bottleneck=5, generator=generator(0))
    model(torch.randn(8, 4, generator=generator(1)))[0].square().sum().backward()
    assert model.second.grad[0].abs().sum() > 0 and model.second.grad[1].abs().sum() == 0
    assert model.first.grad[0].abs().sum() > 0 and model.first.grad[1].abs().sum() == 0


def test_heads_start_different_from_each_other_and_equal_for_equal_seeds():
    one, same, other = (Heads(2, 4, 3, generator=generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(one.second, same.second) and not torch.equal(one.second, other.second)
    assert not torch.equal(one.second[0], one.second[1])
    assert 0.015 < one.second.std().item() < 0.02  # truncated at two standard deviations of 0.02


def test_teacher_is_a_moving_average():
    student = Heads(1, 2, 2, hidden=3, bottleneck=2, generator=generator(0))
    teacher = Teacher(student, 0.75)
    start = student.first.detach().clone()
    with torch.no_grad():
        student.first += 1.0
    teacher.update()
    torch.testing.assert_close(teacher.heads.first, start + 0.25)  # 0.75 * 0 + 0.25 * 1
    teacher.update()
    torch.testing.assert_close(teacher.heads.first, start + 0.4375)  # 0.75 * 0.25 + 0.25 * 1
    torch.testing.assert_close(student.first.detach(), start + 1.0)
    assert not any(p.requires_grad for p in teacher.heads.parameters())
