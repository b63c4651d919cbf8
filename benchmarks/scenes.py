"""Scenes made of objects: long-tailed classes, settings in which some of them are together, small and large objects."""

from dataclasses import dataclass

import numpy as np

from .evidence_sets import plain

RARE = 0.3
"""This share of the classes are rare ones, those with the fewest objects."""
IMBALANCE = 50
MOST_OBJECTS = 12
_SETTINGS = 6
_OWN = 0.5
"""Half of the objects of a scene are of its setting's classes, half of any."""


@dataclass(frozen=True)
class Scenes:
    """N objects in P scenes. ``vectors`` (N, D), ``truth`` (N,), ``parents`` (N,), ``areas`` (N,) in shares of the
    scene; ``images`` (P, D), one vector of each scene as a whole; ``held_out`` (vectors, truth), each class as often;
    ``rows`` (N,), which sample of the data an object is."""

    name: str
    vectors: np.ndarray
    truth: np.ndarray
    parents: np.ndarray
    areas: np.ndarray
    images: np.ndarray
    held_out: tuple
    rows: np.ndarray

    @property
    def count(self):
        return len(self.images)

    @property
    def classes(self):
        return int(self.held_out[1].max()) + 1

    @property
    def rare(self):
        """The rare classes, the rarest first."""
        counts = np.bincount(self.truth, minlength=self.classes)
        return np.argsort(counts, kind="stable")[: max(1, round(RARE * self.classes))]


def layout(classes, scenes, rng):
    """((N,) classes, (N,) scenes, (N,) areas, (P,) settings): from 1 to :data:`MOST_OBJECTS` objects in a scene; areas
    from 0.2% to 20% of it, small ones as often as large ones on a scale of logarithms."""
    share = IMBALANCE ** -np.linspace(0, 1, classes)
    share = rng.permutation(share / share.sum())
    favourites = [rng.choice(classes, size=min(3, classes), replace=False) for _ in range(_SETTINGS)]
    settings = rng.integers(_SETTINGS, size=scenes)
    parents = np.repeat(np.arange(scenes), rng.integers(1, MOST_OBJECTS + 1, size=scenes))
    truth = rng.choice(classes, size=len(parents), p=share)
    for setting, liked in enumerate(favourites):
        own = np.flatnonzero((settings[parents] == setting) & (rng.random(len(parents)) < _OWN))
        truth[own] = rng.choice(liked, size=len(own), p=share[liked] / share[liked].sum())
    return truth, parents, np.exp(rng.uniform(np.log(0.002), np.log(0.2), size=len(parents))), settings


def bags(data, scenes, seed):
    """:class:`Scenes` as bags of vectors: no picture is made. An object is a sample of the data with a little noise
    (cosine about 0.98), and the vector of a scene the mean of its objects' by area and of its setting's background."""
    rng = np.random.default_rng(seed)
    case = plain(data, seed)
    truth, parents, areas, settings = layout(case.classes, scenes, rng)
    by_class = [np.flatnonzero(case.truth == c) for c in range(case.classes)]
    rows = np.array([rng.choice(by_class[c]) for c in truth])
    dimensions = case.vectors.shape[1]
    noise = rng.normal(size=(len(rows), dimensions)) / np.sqrt(dimensions)
    vectors = _unit(case.vectors[rows] + 0.2 * noise)
    weights = areas / np.bincount(parents, weights=areas, minlength=scenes)[parents]
    mean = np.zeros((scenes, dimensions))
    np.add.at(mean, parents, weights[:, None] * vectors)
    backgrounds = _unit(rng.normal(size=(_SETTINGS, dimensions)))
    images = _unit(mean + 0.5 * backgrounds[settings])
    return Scenes(data.name, vectors, truth, parents, areas, images, case.held_out, rows)


def _unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
