import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.rounds import advise

FLAT = [(100, 0.7, 0.03), (200, 0.80, 0.03), (300, 0.82, 0.03)]


def test_a_gain_within_its_spread_is_flat():
    found = advise(FLAT)
    assert found.flat and "Stop here" in found.text
    assert "300 labels" in found.text and "82.0%" in found.text
    assert "the last 100 labels changed this by +2.0 points (spread ± 4.2)" in found.text


def test_a_larger_gain_is_not():
    found = advise([*FLAT[:2], (300, 0.85, 0.03)])
    assert not found.flat and "Another round is worth it" in found.text and "+5.0 points" in found.text


def test_a_loss_beyond_its_spread_is_no_reason_to_stop():
    found = advise([*FLAT[:2], (300, 0.70, 0.03)])
    assert not found.flat and "It got worse" in found.text


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_points_never_say_stop(count):
    found = advise([(100, 0.8, 0.03), (200, 0.8, 0.03)][:count])
    assert not found.flat and "Stop" not in found.text and found.text


@pytest.mark.parametrize(
    "point", [(-1, 0.5, 0.1), (10, 1.5, 0.1), (10, 0.5, float("nan")), (10, None, 0.1), (10, 0.5), (10, 0.5, -0.1)]
)
def test_what_is_no_point(point):
    with pytest.raises(InvalidInput, match="curve") as error:
        advise([point])
    assert error.value.field == "curve"
