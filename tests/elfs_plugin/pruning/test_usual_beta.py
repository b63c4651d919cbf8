import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.pruning.usual_beta import prior_beta, usual_beta
from elfs_plugin.pruning.zones import resolve_beta


@pytest.mark.parametrize(
    ("fraction", "beta"),
    [(0.1, 0.6), (0.2, 0.45), (0.3, 0.3), (0.5, 0.1), (0.7, 0.0), (0.15, 0.525), (0.4, 0.2), (0.001, 0.6), (1, 0.0)],
)
def test_known_and_interpolated(fraction, beta):
    assert prior_beta(fraction) == pytest.approx(beta)


def test_it_falls_with_the_budget_and_is_always_allowed():
    fractions = np.linspace(0.001, 1, 200)
    betas = [prior_beta(f) for f in fractions]
    assert betas == sorted(betas, reverse=True)
    for fraction, beta in zip(fractions, betas):
        resolve_beta(beta, max(1, int(fraction * 1000)), 1000)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan"), True])
def test_refusals(fraction):
    with pytest.raises(InvalidInput, match="above 0 and at most 1"):
        prior_beta(fraction)


def test_the_usual_beta_is_not_clipped():
    assert usual_beta(0.5) == pytest.approx(0.1) and usual_beta(0.15) == pytest.approx(0.525) and usual_beta(0.9) == 0
