"""Which method to take: a rule with two constants. What it rests on is in docs/evidence.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInput
from ..suggestions import did_you_mean
from ..validation import shown
from .registry import selectors

AUTO = "auto"
"""The name that stands for :func:`recommend`'s answer wherever a method is named."""

LEAST_FOR_NETWORKS = 0.1
"""Below this share of the pool ELFS was not published."""

FEW_PER_CLUSTER = 2
"""Up to so many labels for each cluster Prune4ReL was best on both CIFAR sets, and not on digits."""

RARE = "rare"

LEARNERS = {
    "probe": "A model on embeddings, or a pretrained network",
    RARE: "The same, and some classes are rare",
    "network": "A network that learns from these images alone",
}
"""What is going to learn from the labels."""


def check_method(method: str) -> None:
    """Raises :class:`InvalidInput` for what is neither ``"auto"`` nor a selector."""
    if method != AUTO:
        _check(method, [AUTO, *selectors()], "method")


def check_learner(learner: str) -> None:
    """Raises :class:`InvalidInput` for none of :data:`LEARNERS`."""
    _check(learner, list(LEARNERS), "learner")


def check_asked(method: str, params: Mapping[str, Any], learner: str) -> None:
    """Raises :class:`InvalidInput` for a learner that there is not, and for parameters of no method in particular."""
    check_learner(learner)
    if method == AUTO and params:
        raise InvalidInput("Parameters are those of one method: name it, or leave them out.", "method")


def _check(given, known, what):
    if not isinstance(given, str) or given not in known:
        raise InvalidInput(
            f"Unknown {what} {shown(given)}. Use one of: {', '.join(known)}.{did_you_mean(given, known)}", what
        )


@dataclass(frozen=True)
class Recommendation:
    """``method`` and, as the ``second``, another name of :func:`~..available`; ``reason``: a sentence for the user."""

    method: str
    second: str
    reason: str

    def __str__(self) -> str:
        return f"Recommended: {self.method}. {self.reason} Second: {self.second}."


def recommend(
    samples: int,
    budget: int,
    *,
    clusters: int | None = None,
    labelled: int = 0,
    learner: str = "probe",
    trusted: bool = True,
) -> Recommendation:
    """The method for a budget.

    Args:
        samples: how many can be chosen from
        budget: how many are to be chosen
        clusters: C of the pseudo-labels, if there are any
        labelled: how many are labelled already
        learner: one of :data:`LEARNERS`
        trusted: whether nothing speaks against the pseudo-labels, as far as it can be told without labels
    """
    share = budget / samples
    each = f", about {budget / clusters:,.1f} for each cluster" if clusters and budget < samples else ""
    asked = f"{budget:,} of {samples:,} images ({share:.1%}{each})"
    if learner == "network" and share >= LEAST_FOR_NETWORKS:
        if trusted:
            return Recommendation(
                "elfs",
                "graph_coverage",
                f"{asked} for a network that learns from these images alone: there ELFS, which drops the hardest and "
                "the easiest, was published to gain most.",
            )
        return Recommendation(
            "graph_coverage",
            "elfs",
            f"{asked}: for a network that learns from these images alone it would be ELFS, but the pseudo-labels that "
            "it depends on look doubtful. Graph coverage does not read them.",
        )
    if learner == RARE:
        return Recommendation(
            "k_center",
            "max_herding",
            f"{asked}, some classes of which are rare: images that are far from all others chosen. In our "
            "measurements that was best on long tails, and lost to random images where classes are about equally "
            "large, or where odd and broken images are among them.",
        )
    known = f", and the surroundings of the {labelled:,} labelled ones count as covered" if labelled else ""
    measured = "In our measurements that taught a model on embeddings more than random images, most so at few labels."
    if learner == "network":
        measured = "For networks that learn from the images alone this has not been measured."
    few = learner == "probe" and trusted and clusters is not None and budget <= FEW_PER_CLUSTER * clusters
    return Recommendation(
        "graph_coverage",
        "prune4rel" if few else "k_medoids",
        f"{asked}: images that stand for as many others as possible{known}. {measured}",
    )
