"""What a model that has learnt the few labels there are says of all samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import as_matrix
from ..contracts import Array, Integers, Vectors
from ..errors import InvalidInput
from ..neighbors.vectors import normalize
from ..seeds import Stream, derived, rng

_STRENGTH = 10.0
"""C of the logistic regression: on unit vectors the usual 1 leaves it nearly uniform."""
_FOLDS = 5
_TEMPERATURES = np.geomspace(0.25, 8.0, 26)
_BLOCK = 65536


@dataclass(frozen=True)
class Learnt:
    """A model of the labels so far.

    Attributes:
        classes: (C,) the distinct labels, sorted
        probabilities: (N, C) float32
        held_out: (L,) for each labelled sample the class, as a place in ``classes``, that a model gives it which has
            not learnt its label
    """

    classes: Array
    probabilities: Vectors
    held_out: Integers


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
    vectors, classes, codes = _checked(embeddings, labels)
    return _probabilities(vectors, rows, codes, _stratified(vectors[rows], codes, seed))


def learn(embeddings: ArrayLike, rows: Integers, labels: ArrayLike, seed: int = 0) -> Learnt:
    """The same model as :func:`probabilities_of_all`, and what it says of labels that it has not learnt."""
    vectors, classes, codes = _checked(embeddings, labels)
    known = vectors[rows]
    logits = _stratified(known, codes, seed)
    held_out = _held_out(known, codes, seed) if _folds(codes) < _FOLDS else logits.argmax(axis=1)
    return Learnt(classes, _probabilities(vectors, rows, codes, logits), held_out)


def predicted(embeddings: ArrayLike, rows: Integers, labels: ArrayLike, of: Integers) -> Array:
    """(M,) the labels that the model gives the samples ``of`` (M,). Raises as :func:`probabilities_of_all` does."""
    vectors, classes, codes = _checked(embeddings, labels)
    return classes[_fit(vectors[rows], codes).predict(vectors[of])]


def _checked(embeddings, labels):
    """(unit vectors, classes, codes)."""
    vectors = normalize(as_matrix(embeddings, "The embeddings", "embeddings"))
    classes, codes = np.unique(np.asarray(labels), return_inverse=True)
    if len(classes) < 2:
        raise InvalidInput(
            f"The labelled images are all of one class ({classes[0]}): a model needs two at least."
            if len(classes)
            else "No image is labelled yet.",
            "labels_field",
        )
    return vectors, classes, codes


def _fit(vectors, codes):
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # The products are small: threads would wait for each other far longer than they compute.
    with threadpool_limits(1):
        return LogisticRegression(C=_STRENGTH, max_iter=500).fit(vectors, codes)


def _probabilities(vectors, rows, codes, held_out):
    model = _fit(vectors[rows], codes)
    temperature = 1.0 if held_out is None else _temperature(held_out, codes)
    found = np.empty((len(vectors), int(codes.max()) + 1), dtype=np.float32)
    for start in range(0, len(vectors), _BLOCK):
        logits = _logits(model, vectors[start : start + _BLOCK]) / temperature
        found[start : start + _BLOCK] = np.exp(_log_softmax(logits))
    return found


def _folds(codes):
    """How many folds every class can be in."""
    return min(_FOLDS, int(np.bincount(codes).min()))


def _stratified(vectors, codes, seed):
    """(L, C) logits of models that were trained on the other folds; None where a class has a single sample."""
    from sklearn.model_selection import StratifiedKFold

    folds = _folds(codes)
    if folds < 2:
        return None
    held_out = np.empty((len(codes), int(codes.max()) + 1))
    drawn = StratifiedKFold(folds, shuffle=True, random_state=derived(seed, Stream.LABELLED_FOLDS, bits=32))
    for train, test in drawn.split(vectors, codes):
        held_out[test] = _logits(_fit(vectors[train], codes[train]), vectors[test])
    return held_out


def _held_out(vectors, codes, seed):
    """(L,) classes by models trained on four of five folds, whatever the sizes of the classes: few folds would make the
    models worse than the one that they stand for. A class of one sample is never recognised."""
    fold = np.empty(len(codes), dtype=np.int64)
    # Dealt out class by class, so that each fold has its share of every class.
    drawn = np.lexsort((rng(seed, Stream.HELD_OUT_FOLDS).permutation(len(codes)), codes))
    fold[drawn] = np.arange(len(codes)) % _FOLDS
    found = np.empty(len(codes), dtype=np.int64)
    for number in np.unique(fold):
        test = fold == number
        seen = np.unique(codes[~test])
        alone = len(seen) < 2
        found[test] = seen[0] if alone else _fit(vectors[~test], codes[~test]).predict(vectors[test])
    return found


def _temperature(held_out, codes):
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
