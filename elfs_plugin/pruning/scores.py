"""The difficulty scores, one row for each, and what a rank means in words. Imports nothing heavy.

To add a score, record it in :mod:`~..proxy.dynamics` and give it a row here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """One difficulty score of :class:`~..proxy.dynamics.Dynamics`.

    ``label`` names it in forms, tables and sentences, ``axis`` on the axis of a figure; ``hard`` is the end at which
    the hard samples stand, ``"low"`` or ``"high"``; ``text`` says in a sentence what it measures; ``stored``: whether
    a run writes it on its samples, so that it can be ranked by there.
    """

    label: str
    hard: str
    text: str
    stored: bool = False
    axis: str = ""

    def __post_init__(self):
        object.__setattr__(self, "axis", self.axis or self.label)


SCORES = {
    "aum": Score(
        "AUM",
        hard="low",
        text="How clearly the proxy preferred the pseudo-label while it learnt, summed over the epochs.",
        stored=True,
    ),
    "aum_logit": Score(
        "AUM of logits",
        hard="low",
        text="The lead of the pseudo-label's logit over the next, averaged over the epochs.",
    ),
    "forgetting": Score(
        "forgetting",
        hard="high",
        text="How often the proxy lost the pseudo-label after it had it right.",
        stored=True,
        axis="forgetting events",
    ),
    "el2n": Score(
        "EL2N",
        hard="high",
        text="How far the proxy's probabilities were from the pseudo-label in the first epochs.",
        stored=True,
    ),
    "correctness": Score(
        "correctness",
        hard="low",
        text="In how many epochs the proxy predicted the pseudo-label.",
    ),
    "entropy": Score(
        "entropy",
        hard="high",
        text="How unsure the proxy was in the last epoch.",
    ),
    # Made for keeping its high end with nothing dropped (β = 0): samples that are never learnt score low in it, like
    # the easy ones.
    "dual": Score(
        "DUAL",
        hard="high",
        text="How uncertain and hard a sample was early in training, yet learnt in the end.",
        stored=True,
    ),
}

HARD_WHEN = {name: score.hard for name, score in SCORES.items()}
"""For each score the end at which the hard samples stand."""

STORED = tuple(name for name, score in SCORES.items() if score.stored)
"""The scores that a run writes on its samples."""


def zone_reason(rank, n, hard_count, budget, score="aum"):
    """Why a sample of that rank (0 = hardest of n) is in or out, as a sentence."""
    place = rank_text(rank, n, score)
    if rank < hard_count:
        return f"too hard: {place} is below β = {hard_count / n:.1%}"
    if rank < hard_count + budget:
        return f"in the coreset: {place} is between {hard_count / n:.1%} and {(hard_count + budget) / n:.1%}"
    return f"too easy: {place} is at or above {(hard_count + budget) / n:.1%}"


def rank_text(rank, n, score="aum"):
    """A rank as its share of all, for example "AUM rank 3.0%"."""
    return f"{SCORES[score].label} rank {rank / n:.1%}"
