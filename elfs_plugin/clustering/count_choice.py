"""What each criterion makes of its curve over the numbers of clusters, and what that means in words."""

from collections.abc import Mapping

import numpy as np

from ..contracts import Floats, Integers

CRITERIA = {
    "prediction_strength": "two halves of the data still give the same groups at",
    "silhouette": "the groups stand furthest apart at",
    "modularity": "near neighbors stay together best at",
}
"""What each criterion's choice means, in words for the user."""

STRONG = 0.8
"""Prediction strength from which clusters count as found; Tibshirani and Walther recommend 0.8 to 0.9."""

MIN_SEPARATION = 0.03
"""Silhouette above the reference's from which clusters count as found."""

MIN_COMMUNITY = 0.06
"""Modularity above the reference's highest from which communities count as found."""


def choose(candidates: Integers, curves: Mapping[str, Floats], reference: Mapping[str, Floats]) -> dict[str, int]:
    """Each criterion's choice among (K,) ``candidates``, 1 where it sees no clusters."""
    strength, strength_without = curves["prediction_strength"], reference["prediction_strength"]
    strong = (strength >= STRONG) & (1 - strength <= 0.5 * (1 - strength_without))
    excess = curves["silhouette"] - reference["silhouette"]
    modularity = curves["modularity"]
    return {
        "prediction_strength": _strongest(candidates[strong], strength[strong]) if strong.any() else 1,
        "silhouette": int(candidates[np.argmax(excess)]) if excess.max() >= MIN_SEPARATION else 1,
        "modularity": int(candidates[np.argmax(modularity)])
        if modularity.max() >= reference["modularity"].max() + MIN_COMMUNITY
        else 1,
    }


def _strongest(candidates, strength):
    """Of the largest candidate and those up to a fifth below it, the strongest (of equals the largest): a few clusters
    too many cost little strength among many."""
    strength = np.where(candidates >= candidates[-1] / 1.2, strength, 0)
    return int(candidates[strength >= strength.max() - 0.01][-1])


def near(low: int, high: int) -> bool:
    return high - low <= max(1, 0.2 * low)


def widened(low: int, high: int, top: int) -> tuple[int, int]:
    """The picks' range a tenth wider on both sides, at least by one: no criterion is sharper than that."""
    return max(2, low - max(1, round(0.1 * low))), min(int(top), high + max(1, round(0.1 * high)))


def explain(suggested: int, low: int, high: int, clear: bool, picks: Mapping[str, int]) -> str:
    """What was found, how sure it is and what to do, for a reader who has never heard of the criteria."""
    own = "Set the number of classes yourself if you know it"
    choices = "; ".join(f"{CRITERIA[name]} {pick if pick > 1 else 'no number'}" for name, pick in picks.items())
    if not clear:
        return (
            f"No clear groups were found ({choices}): these vectors look much like data without any. {suggested} is "
            f"only a number to start with. {own}, or try another encoder."
        )
    close = [pick for pick in picks.values() if pick > 1 and near(*sorted((pick, suggested)))]
    least, most = min(close, default=suggested), max(close, default=suggested)
    span = f"{least} to {most}" if least < most else f"{least}"
    if len(close) == len(picks):
        return f"All {len(picks)} criteria point to {span} clusters. {own}: one class may well form several clusters."
    if 2 * len(close) > len(picks):
        return (
            f"{len(close)} of {len(picks)} criteria point to {span} clusters, not all ({choices}). {own}; otherwise "
            f"try {suggested} first and look at the clusters."
        )
    return (
        f"There are groups, but the criteria disagree on their number ({choices}). {suggested} is the middle; anything "
        f"from {low} to {high} is plausible. {own}; otherwise compare the clusters of two or three numbers."
    )
