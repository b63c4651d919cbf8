"""What a user should know before trusting clusters: occupancy, entropy, confidence and agreement, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from .pseudo_labels import PseudoLabels


WELL_SEPARATED = 0.6
BARELY_SEPARATED = 0.25
"""Separation from which clusters count as standing apart well, and below which hardly; ``benchmarks/health.py`` shows
how right the pseudo-labels were on either side."""

UNKNOWN = (
    "Stable is not the same as right: without labels nobody can know whether the clusters are the classes you mean. "
    "Label about 100 images, chosen at random, and the audit tells."
)


def marginal_entropy(occupancy: ArrayLike) -> float:
    """Entropy of the cluster sizes over its maximum, in [0, 1]; 1 when all clusters are equally large."""
    share = np.asarray(occupancy, dtype=np.float64) / max(np.sum(occupancy), 1)
    positive = share[share > 0]
    return float(-(positive * np.log(positive)).sum() / np.log(len(share))) if len(share) > 1 else 0.0


def health(result: PseudoLabels) -> dict[str, Any]:
    """The health of :class:`~.pseudo_labels.PseudoLabels` in numbers, as plain Python values.

    ``empty`` and ``tiny`` (less than a tenth of an even share) count clusters; ``entropy`` of their sizes,
    ``confidence`` and ``agreement`` (of the heads, mean over the samples) and ``seed_agreement`` (of two halves of the
    heads, which share no seed; None for one head) are in [0, 1]. ``separation`` is that of
    :func:`~.separation.separation`, None where it is not known.
    """
    occupancy = result.occupancy
    even = occupancy.sum() / len(occupancy)
    return {
        "clusters": len(occupancy),
        "empty": int((occupancy == 0).sum()),
        "tiny": int(((occupancy > 0) & (occupancy < 0.1 * even)).sum()),
        "smallest": int(occupancy.min()),
        "largest": int(occupancy.max()),
        "entropy": marginal_entropy(occupancy),
        "confidence": float(np.mean(result.confidence)),
        "agreement": float(np.mean(result.agreement)),
        "seed_agreement": _known(result.seed_agreement),
        "separation": _known(result.separation),
    }


def _known(value):
    return float(value) if np.isfinite(value) else None


def reassurance(numbers: Mapping[str, Any]) -> str | None:
    """What may be said over clusters without a warning: a sentence, or None where the numbers of :func:`health` do not
    bear it out."""
    separation = numbers.get("separation")
    if separation is None or separation < WELL_SEPARATED:
        return None
    return (
        "The clusters are well separated, none is empty or tiny, and the heads agree. On data whose classes are known, "
        "most pseudo-labels of such clusters were right, as far as there were as many clusters as classes."
    )


def health_warnings(result: PseudoLabels) -> list[str]:
    """Sentences about what a user should know before trusting the clusters, each with what to do."""
    numbers, warnings = health(result), []
    clusters = numbers["clusters"]
    if numbers["empty"]:
        warnings.append(
            f"{numbers['empty']} of {clusters} clusters are empty. Try fewer clusters, or another encoder if there "
            "should be as many classes."
        )
    if numbers["tiny"]:
        warnings.append(
            f"{numbers['tiny']} of {clusters} clusters hold less than a tenth of an even share. Rare classes look like "
            "this, and so does a cluster count that is too high."
        )
    if numbers["entropy"] < 0.5:
        warnings.append("Most samples fell into few clusters (collapse). Try another encoder, seed or cluster count.")
    if numbers["confidence"] < max(0.3, 2 / clusters):
        warnings.append(
            f"The clusters are uncertain: a sample's best cluster has a probability of {numbers['confidence']:.0%} on "
            "average. Try a stronger encoder or another cluster count."
        )
    if len(result.head_losses) > 1 and numbers["agreement"] < 0.6:
        warnings.append(
            f"The heads agree on only {numbers['agreement']:.0%} of the samples: the clusters are not well determined "
            "by these embeddings. Try another cluster count or a stronger encoder."
        )
    elif numbers["seed_agreement"] is not None and numbers["seed_agreement"] < 0.7:
        warnings.append(
            f"Two halves of the heads, started from different seeds, agree on only {numbers['seed_agreement']:.0%} of "
            "the samples: another seed would give other clusters. Try more heads or another cluster count."
        )
    warnings += _separation_warnings(numbers["separation"])
    return warnings


def _separation_warnings(separation):
    if separation is None or separation >= WELL_SEPARATED:
        return []
    if separation < BARELY_SEPARATED:
        return [
            "The clusters hardly stand apart: about as many near neighbours are in different clusters as if a cloud "
            "without clusters were cut into pieces. Most pseudo-labels may be wrong, however sure the heads are. "
            "Try a stronger encoder."
        ]
    return [
        "The clusters stand apart only in part: many near neighbours are in different clusters. On data whose classes "
        "are known, a sixth to a half of such pseudo-labels were wrong, however sure the heads were. Try a stronger "
        "encoder, or another cluster count."
    ]


def per_cluster(result: PseudoLabels, ids: ArrayLike) -> list[dict[str, Any]]:
    """One dict for each cluster that has members: ``cluster`` (its number), ``size``, mean ``confidence`` and
    ``agreement``, and ``id`` of the sample it is most certain of (ties by id)."""
    ids = np.asarray(ids)
    order = np.lexsort((ids, -result.confidence, result.labels))
    clusters, first, sizes = np.unique(result.labels[order], return_index=True, return_counts=True)
    ends = np.append(first[1:], len(order))
    return [
        {
            "cluster": int(cluster),
            "size": int(size),
            "confidence": float(result.confidence[order[start:end]].mean()),
            "agreement": float(result.agreement[order[start:end]].mean()),
            "id": str(ids[order[start]]),
        }
        for cluster, start, end, size in zip(clusters, first, ends, sizes)
    ]
