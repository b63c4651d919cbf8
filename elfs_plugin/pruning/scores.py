"""The difficulty scores by name: which end is hard, and what a rank means in words. Imports nothing heavy."""

HARD_WHEN = {
    "aum": "low",
    "aum_logit": "low",
    "forgetting": "high",
    "el2n": "high",
    "correctness": "low",
    "entropy": "high",
    "dual": "high",
}
"""For each score the end at which the hard samples stand. DUAL is made for keeping its high end with nothing dropped
(β = 0): samples that are never learnt score low in it, like the easy ones."""


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
    return f"{score.upper() if score == 'aum' else score} rank {rank / n:.1%}"
