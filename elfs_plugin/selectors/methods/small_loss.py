"""Small loss: the samples whose label a classifier agrees with."""

import numpy as np

from ...errors import InvalidInput
from ..base import Ranked


class SmallLoss(Ranked):
    """Smallest cross-entropy -log p_y first, y the given label where there is one, else the pseudo-label."""

    name = "small_loss"
    listed = 140
    purpose = "The images whose label is most likely right. Clean, but easy."
    paper = "Jiang et al., MentorNet, ICML 2018 (arXiv 1712.05055); Han et al., Co-teaching, NeurIPS 2018"
    direction = "easy_first"
    needs = ("probabilities",)
    optional = ("labels", "pseudo_labels")
    keeps = "low"

    def score(self, pool, seed, progress):
        labels = known_labels(pool, self.name)
        if labels.max() >= pool.probabilities.shape[1]:
            raise InvalidInput(
                f"There are labels up to {labels.max()}, but probabilities of {pool.probabilities.shape[1]} classes."
            )
        own = np.take_along_axis(pool.probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)
        return -np.log(own.clip(np.finfo(np.float64).tiny, 1.0))


def known_labels(pool, name):
    """(N,) given labels, else pseudo-labels."""
    for labels in (pool.labels, pool.pseudo_labels):
        if labels is not None:
            return labels
    raise InvalidInput(
        f"{name} needs labels or pseudo_labels; the operator compute_pseudo_labels provides the latter.", "method"
    )
