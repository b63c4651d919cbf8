"""Which method to trust on this data: the family of selectors on one pool, over budgets and seeds.

Every seed has a proxy, a warm-up, a held-out tenth and a Random of its own, the same for all methods. Nothing here
reads a true label.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import selectors
from ..arrays import as_array, as_matrix
from ..contracts import Array, Budget, Floats, Integers, Progress
from ..engine.base import GPU_SHARE, Piece
from ..engine.choose import current
from ..errors import InvalidInput
from ..neighbors.graph import knn_graph, suggest_k
from ..order import Order
from ..plain import plain
from ..progress import part, silent
from ..pruning.zones import resolve_budget
from ..seeds import repeats
from ..validation import derived_seed
from .choosing import Chosen, choose_at_all, prepared
from .comparison import DUPLICATE_QUANTILE, coverage, imbalance, near_duplicate_pairs, verdict
from .probe import check_probe, probe_accuracies

if TYPE_CHECKING:
    import torch

    from ..neighbors.neighbor_graph import NeighborGraph
    from ..proxy.dynamics import Dynamics


BASELINE = "random"
MOST_SEEDS = 20


@dataclass(frozen=True)
class MethodComparison:
    """M methods at B budgets with S seeds, on a pool of N samples.

    * ``budgets`` (B,) counts; ``betas`` (B, S) the β that was searched for ``elfs``, NaN where none could be
    * ``accuracy`` (M, B, S) on held-out pseudo-labels of an MLP trained on the coreset without the held-out tenth; NaN
      where nothing was left of it. The row ``random`` is always there
    * ``coverage`` (M, B, S) mean cosine distance from the pool's samples to the nearest chosen one, asked of
      ``coverage_queries`` of them
    * ``imbalance`` (M, B, S) total variation distance between the clusters' shares in the coreset and in the pool
    * ``near_duplicates`` (M, B, S) pairs in the coreset at least as similar as ``duplicate_similarity``
    * ``overlap`` (M, B) mean share of the coreset that another seed chooses again, NaN for one seed; by chance b / N
    * ``seconds`` (M, S) to choose for all budgets, without the training of what the method needs
    * ``chosen[m][b][s]`` (b,) rows, in order of choice
    * ``warnings`` sentences; ``left_out`` method -> why it did not take part
    """

    methods: list[str]
    budgets: list[int]
    seeds: list[int]
    size_of_pool: int
    betas: Floats
    accuracy: Floats
    coverage: Floats
    coverage_queries: int
    imbalance: Floats
    near_duplicates: Integers
    duplicate_similarity: float
    overlap: Floats
    seconds: Floats
    warnings: list[str]
    left_out: dict[str, str]
    chosen: list[list[list[Integers]]] = field(repr=False)

    def difference(self, values: Floats | None = None) -> Floats:
        """(M, B, S) each accuracy minus Random's with the same seed; of other ``values`` of that shape as well."""
        values = self.accuracy if values is None else values
        return values - values[self.methods.index(BASELINE)][None]

    @property
    def sentences(self) -> list[str]:
        """For each budget, which methods are better and worse than Random."""
        return sentences(self, self.accuracy, "held-out pseudo-labels")

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers; NaN as None. Without the coresets themselves."""
        result = {name: plain(value) for name, value in vars(self).items() if name != "chosen"}
        for name in ("accuracy", "coverage", "imbalance", "near_duplicates"):
            values = getattr(self, name).astype(np.float64)
            result[f"{name}_mean"], result[f"{name}_sd"] = plain(values.mean(axis=2)), plain(values.std(axis=2))
        differences = self.difference()
        result["difference_mean"], result["difference_sd"] = (
            plain(differences.mean(axis=2)),
            plain(differences.std(axis=2)),
        )
        result["verdicts"] = [
            ["" if name == BASELINE or not np.isfinite(cell).all() else verdict(cell) for cell in row]
            for name, row in zip(self.methods, differences)
        ]
        result["sentences"] = self.sentences
        return result


def compare_methods(
    embeddings: ArrayLike,
    pseudo_labels: ArrayLike,
    budgets: Budget | str | Iterable[Budget | str] = (0.01, 0.1, 0.3),
    *,
    methods: Collection[str] | None = None,
    seeds: int = 5,
    seed: int = 0,
    ids: Sequence[Any] | Array | None = None,
    neighbors: NeighborGraph | None = None,
    confidence: Floats | None = None,
    dynamics: Dynamics | None = None,
    device: str | torch.device = "auto",
    progress: Progress = silent,
) -> MethodComparison:
    """Runs selection methods with their default parameters, ``elfs`` with a searched β, and compares what they choose.

    Args:
        embeddings: (N, D) finite; pseudo_labels: (N,) int clusters from 0
        budgets: counts, or fractions of N
        methods: names out of :func:`~..selectors.available` (default: all that are quick enough); Random is always in
        seeds: S, 1 to 20
        ids: (N,) distinct and sortable; they take the place of positions in everything random
        neighbors: a :class:`~..neighbors.graph.NeighborGraph` of the pool (default: it is made)
        confidence: (N,) of the clusters, for methods that use it
        dynamics: :class:`~..proxy.dynamics.Dynamics` for all seeds (default: the fast proxy is trained with every seed)

    Returns:
        :class:`MethodComparison`
    """
    embeddings, seed = as_matrix(embeddings, "The embeddings", "embeddings"), derived_seed(seed)
    labels = as_array(pseudo_labels, "The pseudo-labels", "pseudo_labels")
    n = np.size(labels)
    if len(embeddings) != n:
        raise InvalidInput(f"There are {len(embeddings):,} embeddings and {n:,} pseudo-labels; they must be as many.")
    check_probe(labels, seeds, "A comparison")
    if seeds > MOST_SEEDS:
        raise InvalidInput(f"At most {MOST_SEEDS} seeds can be compared, not {seeds}.", "seeds")
    counts = _counts(budgets, n)
    names, left_out = _names(methods, n, np.shape(embeddings)[1], counts[-1])
    ids = np.arange(n) if ids is None else np.asarray(ids)
    if neighbors is None:
        neighbors = knn_graph(
            embeddings, suggest_k(n, int(labels.max()) + 1), seed=seed, progress=part(progress, 0.0, 0.05)
        )
    pool = selectors.Pool(ids, embeddings=embeddings, neighbors=neighbors, pseudo_labels=labels, confidence=confidence)
    drawn = repeats(seed, seeds)
    chosen: list[list[list[Any]]] = [[[None] * seeds for _ in counts] for _ in names]
    seconds = np.zeros((len(names), seeds))
    betas = np.full((len(counts), seeds), np.nan)
    warnings: dict[str, str] = {}
    engine = current()
    where = engine.device(device)
    settings = (engine.share(pool), names, counts, dynamics, where)
    pieces = [Piece(choices_of, (*settings, own, (s, seeds))) for s, own in enumerate(drawn)]
    gpus = GPU_SHARE if where.type == "cuda" else 0.0
    found = dict(engine.run(pieces, part(progress, 0.05, 0.8), gpus=gpus))
    for s in range(seeds):
        for m, made in enumerate(found[s]):
            seconds[m, s] = made.seconds
            if made.betas:
                betas[:, s] = made.betas
            if made.warning:
                warnings.setdefault(names[m], made.warning)
            for b, rows in enumerate(made.rows):
                chosen[m][b][s] = rows
    order = Order(n, ids)
    distances, queries, uneven, near, similarity, overlap = _measured(
        chosen, embeddings, labels, neighbors, order, seed, drawn, part(progress, 0.8, 0.9)
    )
    accuracy = probe_accuracies(
        chosen, embeddings, labels, ids=ids, seed=seed, device=device, progress=part(progress, 0.9, 1.0)
    )
    return MethodComparison(
        methods=names,
        budgets=counts,
        seeds=drawn,
        size_of_pool=n,
        betas=betas,
        accuracy=accuracy,
        coverage=distances,
        coverage_queries=queries,
        imbalance=uneven,
        near_duplicates=near,
        duplicate_similarity=similarity,
        overlap=overlap,
        seconds=seconds,
        warnings=list(warnings.values()),
        left_out=left_out,
        chosen=chosen,
    )


def choices_of(
    pool: selectors.Pool,
    names: Sequence[str],
    counts: Sequence[int],
    dynamics: Dynamics | None,
    device: torch.device,
    seed: int,
    place: tuple[int, int],
    report: Progress,
) -> list[Chosen]:
    """What M methods choose at all budgets with one seed, the ``place`` of so many (from 0): a
    :class:`~.choosing.Chosen` each."""
    of_seed, found = _named(report, *place), []
    ready = prepared(pool, names, seed, dynamics=dynamics, device=device, progress=part(of_seed, 0.0, 0.35))
    for m, name in enumerate(names):
        step = part(of_seed, 0.35 + 0.65 * m / len(names), 0.35 + 0.65 * (m + 1) / len(names))
        step(0.0, name)
        found.append(choose_at_all(name, ready, counts, seed, device=device, progress=step))
    return found


def sentences(compared: MethodComparison, accuracy: Floats, what: str) -> list[str]:
    """One for each budget: which methods an accuracy (M, B, S) says are better and worse than Random."""
    return [_sentence(compared, accuracy, b, what) for b in range(len(compared.budgets))]


def _sentence(compared, accuracy, b, what):
    differences = compared.difference(accuracy)[:, b]
    order = np.argsort(-differences.mean(axis=1), kind="stable")
    groups: dict[str, list[str]] = {"better than": [], "worse than": []}
    for m in order:
        if compared.methods[m] != BASELINE and np.isfinite(differences[m]).all():
            word = verdict(differences[m])
            if word in groups:
                groups[word].append(f"{compared.methods[m]} ({100 * differences[m].mean():+.1f})")
    budget = compared.budgets[b]
    share = f"{budget:,} images ({budget / compared.size_of_pool:.1%})"
    if len(compared.seeds) < 3:
        return f"{share}: {len(compared.seeds)} seed(s) are too few to say which method is better than Random."
    better, worse = ", ".join(groups["better than"]) or "none", ", ".join(groups["worse than"]) or "none"
    return f"{share}: on {what} better than Random, in points: {better}; worse: {worse}."


def _counts(budgets, n):
    """Distinct counts, ascending."""
    budgets = [budgets] if np.ndim(budgets) == 0 else list(budgets)
    if not budgets:
        raise InvalidInput("Give at least one budget.", "budgets")
    return sorted({resolve_budget(budget, n) for budget in budgets})


def _names(methods, n, dimensions, largest):
    """(the methods in the family's order, what is left out and why)."""
    known = list(selectors.available())
    if methods is None:
        sizes = {"samples": n, "budget": largest, "dimensions": dimensions}
        costs = {name: details["cost"] for name, details in selectors.available().items()}
        left_out = {name for name, cost in costs.items() if cost is not None and cost.is_high(**sizes)}
        why = f"takes more than ten minutes a seed at {largest:,} of {n:,} samples; name it to wait for it."
        return (
            [name for name in known if name not in left_out],
            {name: f"{name} {why}" for name in known if name in left_out},
        )
    unknown = [name for name in methods if name not in known]
    if unknown:
        raise InvalidInput(f"Unknown selector {unknown[0]!r}. Available: {', '.join(known)}.", "methods")
    return [name for name in known if name in {*methods, BASELINE}], {}


def _measured(chosen, embeddings, labels, neighbors, order, seed, drawn, progress):
    """coverage, queries, imbalance, near-duplicates, their similarity, overlap: as in :class:`MethodComparison`."""
    shape = (len(chosen), len(chosen[0]), len(drawn))
    sets = [rows for of_method in chosen for of_budget in of_method for rows in of_budget]
    distances, queries = coverage(sets, embeddings, order, seed, progress)
    similarity = float(np.quantile(neighbors.similarities[:, 0], DUPLICATE_QUANTILE))
    near = np.array([near_duplicate_pairs(rows, neighbors, similarity) for rows in sets]).reshape(shape)
    uneven = np.array([imbalance(rows, labels) for rows in sets]).reshape(shape)
    overlap = np.array([[_overlap(of_budget) for of_budget in of_method] for of_method in chosen])
    return distances[:, 0].reshape(shape), queries, uneven, near, similarity, overlap


def _overlap(sets):
    """Mean share that two of the sets have in common."""
    shares = [len(np.intersect1d(a, b, assume_unique=True)) / len(a) for i, a in enumerate(sets) for b in sets[:i]]
    return float(np.mean(shares)) if shares else np.nan


def _named(progress, s, seeds):
    def report(fraction, detail=""):
        progress(fraction, f"seed {s + 1} of {seeds}: {detail}" if detail else f"seed {s + 1} of {seeds}")

    return report
