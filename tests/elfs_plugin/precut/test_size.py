import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.precut.size import ABOVE, KEPT, check_precut, resolve_precut


@pytest.mark.parametrize("given, kept", [("auto", "auto"), ("off", "off"), (5, 5), (5.0, 5), (np.int64(7), 7)])
def test_values_that_can_be(given, kept):
    assert check_precut(given) == kept


@pytest.mark.parametrize("given", ["on", "10", 0, 1, -3, 2.5, True, None, [5]])
def test_values_that_cannot(given):
    with pytest.raises(InvalidInput) as error:
        check_precut(given)
    assert error.value.field == "precut"


@pytest.mark.parametrize(
    "precut, n, budget, kept",
    [
        ("auto", ABOVE, 10, ABOVE),
        ("auto", ABOVE + 1, 10, KEPT),
        ("auto", 10_000_000, 400_000, 2_000_000),  # five for each that is chosen
        ("auto", 10_000_000, 3_000_000, 10_000_000),
        ("off", 10_000_000, 10, 10_000_000),
        (1000, 5000, 10, 1000),
        (1000, 900, 10, 900),
        (1000, 5000, 1000, 1000),
    ],
)
def test_how_many_are_kept(precut, n, budget, kept):
    assert resolve_precut(precut, n, budget) == kept


def test_fewer_than_are_to_be_chosen_are_refused():
    with pytest.raises(InvalidInput, match="fewer than the budget of 1,001"):
        resolve_precut(1000, 5000, 1001)
