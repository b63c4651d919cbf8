"""Which method to take: one rule with few constants, each measured (docs/evidence.md)."""

from __future__ import annotations

from dataclasses import dataclass

AUTO = "auto"
"""The name that stands for :func:`recommend`'s answer wherever a method is named."""

LARGE_SHARE = 0.2
"""From this share of the pool on clusters as many as the budget cover it more evenly than the graph does."""
LEAST_FOR_NETWORKS = 0.1
"""Below this share of the pool ELFS was not published."""

LEARNERS = {
    "probe": "a model on embeddings, or a pretrained network",
    "network": "a network that learns from these images alone",
}
"""What is going to learn from the labels."""


@dataclass(frozen=True)
class Recommendation:
    """``method`` and, as the ``second``, another name of :func:`~..available`; ``reason``: a sentence for the user."""

    method: str
    second: str
    reason: str


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
                f"{asked} for a network that learns from these images alone: there the authors of ELFS, which drops the "
                "hardest and the easiest, report most.",
            )
        return Recommendation(
            "graph_coverage",
            "elfs",
            f"{asked}: for a network that learns from these images alone it would be ELFS, but the pseudo-labels that it "
            "depends on look doubtful. Graph coverage does not read them.",
        )
    if share >= LARGE_SHARE:
        return Recommendation(
            "k_medoids",
            "graph_coverage",
            f"{asked} are a large part of the pool: one image from each of as many clusters covers it most evenly.",
        )
    known = f", and surroundings of the {labelled:,} labelled ones count as covered" if labelled else ""
    return Recommendation(
        "graph_coverage",
        "k_medoids",
        f"{asked}: at small budgets images that stand for many others teach most{known}.",
    )
