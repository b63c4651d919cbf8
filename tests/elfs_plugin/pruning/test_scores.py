"""The table of the difficulty scores, and ranks in words."""

from dataclasses import fields

import pytest

from elfs_plugin.proxy.dynamics import Dynamics
from elfs_plugin.pruning.scores import HARD_WHEN, SCORES, STORED, rank_text, zone_reason


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_recorded_and_described(name):
    score = SCORES[name]
    assert name in {field.name for field in fields(Dynamics)}
    assert score.label and score.axis and score.text.endswith(".")
    assert score.hard in ("low", "high") and HARD_WHEN[name] == score.hard


def test_what_a_run_writes_on_its_samples():
    assert STORED == ("aum", "forgetting", "el2n", "dual")
    assert len({score.label for score in SCORES.values()}) == len(SCORES)


def test_a_rank_in_words():
    assert rank_text(3, 100) == "AUM rank 3.0%"
    assert rank_text(3, 100, "forgetting") == "forgetting rank 3.0%"
    reasons = [zone_reason(rank, 10, 2, 3, "el2n") for rank in (1, 2, 5)]
    assert reasons == [
        "too hard: EL2N rank 10.0% is below β = 20.0%",
        "in the coreset: EL2N rank 20.0% is between 20.0% and 50.0%",
        "too easy: EL2N rank 50.0% is at or above 50.0%",
    ]
