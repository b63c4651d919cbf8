"""Where every random number comes from: the user's seed, a named stream, and indices within it.

NumPy's ``SeedSequence`` mixes the three, so that neither two streams nor two seeds share anything: arithmetic on seeds
(seed + 1, seed + 1000 * member) makes the streams of one seed meet those of another.
"""

from enum import IntEnum

import numpy as np

VERSION = 1
"""To be raised when the same seed comes to mean other numbers: what was left unfinished before then begins anew."""


class Stream(IntEnum):
    """Everything that is drawn. A number belongs to its stream for good: a new stream takes a new one (12, 25 and 26
    belonged to streams of earlier versions)."""

    REPEATS = 0  # the seeds of a comparison
    NETWORK = 1  # first weights of a network that is trained by itself
    MEMBER = 2  # first weights of a member of an ensemble; index: the member
    BATCHES = 3  # which samples a proxy sees when, how images are cropped, which members leave a sample out
    HEADS = 4  # first weights of the clustering's heads
    KMEANS = 5  # the k-means that a head starts from; index: the head
    WARM_START = 6  # samples on which heads are fitted to their k-means
    PAIRS = 7  # batches of the clustering and the neighbour of each sample
    JUDGED = 8  # samples that decide between heads
    CELLS = 9  # cells of an approximate neighbour search
    RECALL = 10  # queries by which its recall is measured
    COUNT_ROWS = 11  # rows that an estimate of the number of clusters looks at
    COUNT_REFERENCE = 13  # the reference without clusters
    COUNT_HALVES = 14  # the halves that judge each other
    PLOT_ROWS = 15  # samples that UMAP is fitted to
    PLOT_UMAP = 16  # UMAP itself
    WARM_UP_HALVES = 17  # the halves that a warm-up trains on
    WARM_UP = 18  # the seeds of its networks; index: the network
    BETA_SPLIT = 19  # the tenth that a β search holds out; index: the repeat
    BETA_PROXY = 20  # the seeds of its proxies; index: the repeat
    PROBE_SPLIT = 21  # the tenth that a probe is tested on, and Random's order of the rest; index: the repeat
    PROBE = 22  # the seeds of the probes; index: the repeat
    RANDOM_SETS = 23  # the random sets beside which coresets are measured; index: the set
    COVERAGE_ROWS = 24  # samples at which coverage is measured
    RELABEL = 27  # batches, noise and first parameters of the learner that mends labels
    RANDOM = 28  # the keys of the method Random
    CCS = 29  # order within a stratum of CCS
    K_CENTER = 30  # the first centre of k-center
    PROTOTYPE_ROWS = 31  # rows on which prototypes are found
    PROTOTYPES = 32  # their k-means
    PRUNE4REL = 33  # ties of Prune4ReL
    ZCORE = 34  # draws of ZCore; indices: the round and the half
    ZCORE_START = 35  # the random start of ZCore's scores
    MAX_HERDING = 36  # the samples that MaxHerding looks at, and those that judge its first choices
    K_MEDOIDS = 37  # k-means of k-medoids; index: the level, and the group in the second
    TYPICLUST = 38  # k-means of TypiClust
    PROB_COVER = 39  # the samples that ProbCover looks at
    LABELLED_FOLDS = 40  # folds on which the temperature of a model of the labels so far is found
    SPECTRAL = 41  # the start of the eigenvectors of a neighbour graph
    SEPARATION_ROWS = 42  # rows on which the separation of clusters is measured
    SEPARATION_CLOUD = 43  # the cloud without clusters beside them (0), and its k-means (1)
    GOLDEN = 44  # the golden set of rounds of labelling
    HELD_OUT_FOLDS = 45  # folds on which a model of the labels so far is tested
    FAILURES = 46  # which of its failures have their turn first
    PROBE_IMAGES = 47  # images on which two ways of preparing images are compared
    PRECUT = 48  # the samples and k-means of a pre-cut, and what is drawn where nothing can be divided


def _sequence(seed, stream, indices):
    return np.random.SeedSequence(int(seed), spawn_key=(int(Stream(stream)), *map(int, indices)))


def derived(seed: int, stream: Stream, *indices: int, bits: int = 63) -> int:
    """A seed of its own for a :class:`Stream`: an int from 0 to below 2 ** ``bits``. 63 suit PyTorch; scikit-learn
    takes 32, Faiss 31.

    Args:
        seed: any whole number from 0
        indices: whole numbers from 0 to below 2 ** 32
    """
    return int(_sequence(seed, stream, indices).generate_state(1, np.uint64)[0]) >> (64 - bits)


def rng(seed: int, stream: Stream, *indices: int) -> np.random.Generator:
    """A ``numpy.random.Generator`` of its own, as for :func:`derived`."""
    return np.random.default_rng(_sequence(seed, stream, indices))


def repeats(seed: int, count: int) -> list[int]:
    """The ``count`` seeds of a comparison. The first is ``seed`` itself, so that what was made with it takes part; the
    others are derived, and small enough (32 bits) for a user to give them as a seed."""
    return [int(seed), *(derived(seed, Stream.REPEATS, repeat, bits=32) for repeat in range(1, count))]


def identity(seed: int) -> list[int]:
    """What stands for a seed in the fingerprint of kept work."""
    return [int(seed), VERSION]
