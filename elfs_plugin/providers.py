"""What is missing, and who provides it: the operator behind each thing that a selector or a run may need."""

PROVIDERS = {
    "embeddings": "compute_embeddings",
    "neighbors": "compute_pseudo_labels",
    "pseudo_labels": "compute_pseudo_labels",
    "confidence": "compute_pseudo_labels",
    "dynamics": "compute_scores",
    "scores": "compute_scores",
    "selection": "select_coreset",
}
"""Field of a :class:`~.selectors.pool.Pool`, or stage of a run's record, -> the operator that provides it."""

_OTHERWISE = {
    "labels": "give the pool the labels that the samples came with",
    "probabilities": "warm_up.with_outputs computes them from embeddings and labels",
    "parents": "frames, groups and objects have them, which make_rows makes a dataset of",
    "times": "frames have them, which make_rows makes a dataset of",
    "grand": "warm_up.with_outputs computes them from embeddings and labels",
}


def how_to_get(need: str) -> str:
    """Where a field of a pool comes from, as the end of a sentence."""
    return _OTHERWISE[need] if need in _OTHERWISE else f"the operator {PROVIDERS[need]} provides them"
