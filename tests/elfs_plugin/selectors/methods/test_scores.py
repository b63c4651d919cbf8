"""Methods that rank by one score: directions, ties, values that can be checked by hand."""

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.selectors import Pool, select
from elfs_plugin.selectors.methods.uncertainty import uncertainty
from tests.helpers import make_dynamics

IDS = np.array(list("abcde"))


def ids(*args, **kwargs):
    name, pool, budget = args
    return "".join(pool.ids[select(name, pool, budget, **kwargs).indices])


@pytest.mark.parametrize("method", ["el2n", "dual", "forgetting"])
def test_dynamics_hardest_first_and_ties_by_id(method):
    pool = Pool(IDS, dynamics=make_dynamics([1, 3, 2, 3, 0]))
    assert ids(method, pool, 3) == "bdc" and ids(method, pool, 5) == "bdcae"
    turned = Pool(IDS[::-1], dynamics=make_dynamics([0, 3, 2, 3, 1]))
    assert ids(method, turned, 5) == "bdcae"


def test_forgetting_breaks_its_ties_by_aum():
    pool = Pool(
        IDS,
        dynamics=make_dynamics([0] * 5, forgetting=np.array([2.0, 2, 2, 5, 2]), aum=np.array([0.3, 0.1, 0.2, 9, 0.1])),
    )
    assert ids("forgetting", pool, 5) == "dbeca"


def test_scores_that_were_not_recorded():
    pool = Pool(IDS, dynamics=make_dynamics([1, 2, 3, 4, 5], dual=np.full(5, np.nan)))
    with pytest.raises(InvalidInput, match="score 'dual' was not recorded"):
        select("dual", pool, 2)


def test_grand_takes_the_largest_gradients():
    pool = Pool(IDS, grand=np.array([0.1, 0.5, 0.2, 0.5, 0.0]))
    assert ids("grand", pool, 3) == "bdc"
    assert select("grand", pool, 1).reasons[2] == "not chosen: grand score 0.2 is 3 of 5, highest first"


PROBABILITIES = np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0], [0.6, 0.2, 0.2], [0.45, 0.45, 0.1]])


def test_uncertainty_by_hand():
    assert uncertainty(PROBABILITIES, "least_confidence") == pytest.approx([0.5, 0.6, 0.0, 0.4, 0.55])
    assert uncertainty(PROBABILITIES, "margin") == pytest.approx([1.0, 0.9, 0.0, 0.6, 1.0])
    log = np.log
    by_hand = [
        log(2),
        -0.4 * log(0.4) - 0.6 * log(0.3),
        0.0,
        -0.6 * log(0.6) - 0.4 * log(0.2),
        -0.9 * log(0.45) - 0.1 * log(0.1),
    ]
    assert uncertainty(PROBABILITIES, "entropy") == pytest.approx(by_hand)
    assert uncertainty(np.ones((3, 1)), "margin").tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("measure", "order"), [("least_confidence", "beadc"), ("margin", "aebdc"), ("entropy", "bdeac")]
)
def test_the_most_uncertain_come_first(measure, order):
    assert ids("uncertainty", Pool(IDS, probabilities=PROBABILITIES), 5, measure=measure) == order


def test_small_loss_takes_the_likeliest_labels():
    labels = np.array([0, 1, 0, 1, 2])  # losses of 0.5, 0.3, 1.0, 0.2, 0.1
    pool = Pool(IDS, probabilities=PROBABILITIES, pseudo_labels=labels)
    assert ids("small_loss", pool, 5) == "cabde"
    assert select("small_loss", pool, 1).scores == pytest.approx(-np.log([0.5, 0.3, 1.0, 0.2, 0.1]))
    given = Pool(IDS, probabilities=PROBABILITIES, pseudo_labels=labels, labels=np.array([2, 0, 1, 0, 0]))
    assert ids("small_loss", given, 3) == "deb"  # 0 0.4 0 0.6 0.45: the given labels count
    assert np.isfinite(select("small_loss", given, 1).scores).all()


def test_small_loss_needs_labels_that_fit():
    with pytest.raises(InvalidInput, match="needs labels or pseudo_labels"):
        select("small_loss", Pool(IDS, probabilities=PROBABILITIES), 1)
    with pytest.raises(InvalidInput, match="labels up to 3, but probabilities of 3 classes"):
        select("small_loss", Pool(IDS, probabilities=PROBABILITIES, labels=np.array([0, 1, 2, 3, 0])), 1)
