"""The benchmarks' audit: a probe trained on true labels of a subset, tested on samples that no method has seen."""

import numpy as np

PROBE_STRENGTH = 0.01
"""Inverse weight of the probe's L2 penalty."""


def split(truth):
    """(pool, evaluation) rows: of every class the last fifth is for the evaluation."""
    pool, evaluation = [], []
    for label in np.unique(truth):
        rows = np.flatnonzero(truth == label)
        cut = len(rows) - len(rows) // 5
        pool.append(rows[:cut])
        evaluation.append(rows[cut:])
    return np.sort(np.concatenate(pool)), np.sort(np.concatenate(evaluation))


class Probe:
    """Multinomial logistic regression on standardised embeddings of a pool, tested on the evaluation set."""

    def __init__(self, data, pool, evaluation):
        vectors = data.vectors[pool]
        mean, scale = vectors.mean(axis=0), vectors.std(axis=0).clip(1e-6)
        self._pool, self._evaluation = (vectors - mean) / scale, (data.vectors[evaluation] - mean) / scale
        self._pool_truth, self._evaluation_truth = data.truth[pool], data.truth[evaluation]

    def accuracy(self, chosen):
        """In [0, 1], trained on the true labels of these rows of the pool."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        classes = np.unique(self._pool_truth[chosen])
        if len(classes) < 2:
            return float(np.mean(self._evaluation_truth == classes[0]))
        model = LogisticRegression(C=PROBE_STRENGTH, max_iter=300, tol=1e-3)
        with threadpool_limits(1):  # on a busy machine threads of small products wait for each other
            model.fit(self._pool[chosen], self._pool_truth[chosen])
        return float(np.mean(model.predict(self._evaluation) == self._evaluation_truth))


def random_rows(n, count, seed):
    """The random subset that a coreset of that size is compared with."""
    return np.random.default_rng([seed, count]).choice(n, count, replace=False)
