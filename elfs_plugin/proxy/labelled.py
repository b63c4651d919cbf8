"""What a model that has learnt the few labels there are says of all samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import as_matrix
from ..contracts import Integers, Vectors
from ..errors import InvalidInput
from ..neighbors.vectors import normalize
from ..seeds import Stream, derived

_STRENGTH = 10.0
"""C of the logistic regression: on unit vectors the usual 1 leaves it nearly uniform."""
_FOLDS = 5
_TEMPERATURES = np.geomspace(0.25, 8.0, 26)
_BLOCK = 65536


def probabilities_of_all(embeddings: ArrayLike, rows: Integers, labels: ArrayLike, seed: int = 0) -> Vectors:
    """Multinomial logistic regression on the labelled samples, with a temperature (Guo et al. 2017).

    The temperature is the one with the lowest cross-entropy on folds that were held out; 1 where a class has fewer than
    two samples.

    Args:
        embeddings: (N, D) finite; scaled to unit length
        rows: (L,) the samples that have a label
        labels: (L,) of any kind

    Returns:
        (N, C) float32 probabilities, the classes in sorted order

    Raises:
        InvalidInput: for labels of a single class
    """
    from sklearn.linear_model import LogisticRegression

    vectors = normalize(as_matrix(embeddings, "The embeddings", "embeddings"))
    classes, codes = np.unique(np.asarray(labels), return_inverse=True)
    if len(classes) < 2:
        raise InvalidInput(
            f"The labelled images are all of one class ({classes[0]}): a model needs two at least."
            if len(classes)
            else "No image is labelled yet.",
            "labels_field",
        )
    known = vectors[rows]
    model = LogisticRegression(C=_STRENGTH, max_iter=500).fit(known, codes)
    temperature = _temperature(known, codes, derived(seed, Stream.LABELLED_FOLDS, bits=32))
    found = np.empty((len(vectors), len(classes)), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):
        logits = _logits(model, vectors[start : start + _BLOCK]) / temperature
        found[start : start + _BLOCK] = np.exp(_log_softmax(logits))
    return found


def _temperature(vectors, codes, seed):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    folds = min(_FOLDS, int(np.bincount(codes).min()))
    if folds < 2:
        return 1.0
    held_out = np.empty((len(codes), int(codes.max()) + 1))
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(vectors, codes):
        model = LogisticRegression(C=_STRENGTH, max_iter=500).fit(vectors[train], codes[train])
        held_out[test] = _logits(model, vectors[test])
    own = np.arange(len(codes)), codes
    losses = [-_log_softmax(held_out / temperature)[own].mean() for temperature in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _logits(model, vectors):
    """(M, C) also for two classes."""
    found = model.decision_function(vectors)
    return np.stack([-found / 2, found / 2], axis=1) if found.ndim == 1 else found


def _log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
