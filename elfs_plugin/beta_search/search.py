"""Which β? A grid search on a 90/10 split of the pseudo-labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import as_array, as_row
from ..contracts import AnyPath, Array, Budget, Floats, Progress
from ..devices import has_gpu
from ..engine.choose import current
from ..errors import InvalidInput
from ..order import Order
from ..progress import silent
from ..proxy import kinds
from ..proxy.config import ProxyConfig, resolve_proxy
from ..proxy.train import as_inputs
from ..pruning.scores import HARD_WHEN
from ..pruning.usual_beta import usual_beta
from ..pruning.zones import resolve_budget
from ..seeds import Stream, rng
from ..validation import derived_seed, whole_number
from .candidates import Coresets, at_once, on_images
from .splits import MIN_SAMPLES, coreset_of, split

if TYPE_CHECKING:
    import torch


DEFAULT_REPEATS = 3

DEVIATIONS = 2.0
"""A β is allowed while it is behind the best by no more than so many standard deviations."""


@dataclass(frozen=True)
class BetaSearch:
    """The curve: ``betas`` (B,), ``accuracies`` (B, repeats) on held-out pseudo-labels, the ``chosen`` β and why."""

    betas: Floats
    accuracies: Floats
    chosen: float
    reason: str

    @property
    def mean(self) -> Floats:
        return self.accuracies.mean(axis=1)

    @property
    def spread(self) -> Floats:
        """Standard deviation over the repeats (0 for one repeat)."""
        return self.accuracies.std(axis=1)

    @property
    def smallest(self) -> float:
        """The smallest β within one standard deviation of the best mean: another rule, beside the chosen one."""
        best = int(self.mean.argmax())
        return float(self.betas[self.mean >= self.mean[best] - self.spread[best] - 1e-12][0])


def default_grid(budget: int, n: int, step: float = 0.1) -> Floats:
    """β = 0, 0.1, … up to 1 - budget / n."""
    limit = 1 - budget / n
    return np.round(np.arange(0, int(np.floor(limit / step + 1e-9)) + 1) * step, 10)


def validate_search(n: int, repeats: Any) -> int:
    """The repeats as an int.

    Raises:
        InvalidInput: unless n samples and that many repeats allow a search
    """
    if n < MIN_SAMPLES:
        raise InvalidInput(f"A β search needs at least {MIN_SAMPLES} samples, there are {n}. Set β by hand.", "beta")
    count = whole_number(repeats) or 0
    if count < 1:
        raise InvalidInput(f"The number of repeats must be a whole number from 1, not {repeats}.", "repeats")
    return count


def candidate(config: ProxyConfig) -> ProxyConfig:
    """``config``, a :class:`~..proxy.config.ProxyConfig` that is meant for all samples, as it is trained on one coreset
    of a search: by itself, and for a number of steps that is the same whatever the budget."""
    return replace(config, **config.row.candidate)


def resolve_beta_proxy(
    proxy: str | ProxyConfig, scored_by: ProxyConfig, images_available: bool = True, field: str = "proxy"
) -> ProxyConfig:
    """The :class:`~..proxy.config.ProxyConfig` of one candidate of a β search.

    ``"auto"`` goes by the network that made the scores, ``scored_by``: on embeddings the MLP, on images the same
    network when there is a GPU, else a small ResNet. Otherwise ``proxy`` is as for
    :func:`~..proxy.config.resolve_proxy`, and a :class:`~..proxy.config.ProxyConfig` is taken as it is.
    """
    if isinstance(proxy, ProxyConfig):
        return proxy
    if proxy != "auto":
        return candidate(resolve_proxy(proxy, images_available, field))
    without_gpu = scored_by.on_images and not has_gpu()
    return candidate(ProxyConfig.of(kinds.ON_IMAGES_WITHOUT_GPU) if without_gpu else scored_by)


def search_beta(
    inputs: ArrayLike,
    labels: ArrayLike,
    scores: ArrayLike,
    budget: Budget | str,
    *,
    grid: ArrayLike | None = None,
    repeats: int = DEFAULT_REPEATS,
    hard: str = HARD_WHEN["aum"],
    config: ProxyConfig | None = None,
    ids: Sequence[Any] | Array | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    checkpoint: AnyPath | None = None,
    progress: Progress = silent,
) -> BetaSearch:
    """Trains a proxy on the coreset of every β and tests it on held-out pseudo-labels (ELFS, ICLR 2025).

    For each repeat another tenth of the samples is held out; from the rest the coreset of each β is selected (budget
    and β as fractions, so that the split is a small copy of the whole) and a proxy trained for the same number of
    steps. The accuracy after the last step counts, never the best one. Within a repeat all proxies begin alike, so
    that they differ by their coresets alone. On embeddings all of them are trained at once.

    The β found is the one for what is trained here; that of a network which learns from images alone can be another
    one than a probe's on embeddings.

    Args:
        inputs: as for :func:`~..proxy.train.train_proxy`
        labels: (N,) pseudo-labels
        scores: (N,) difficulty, ``hard`` its hard end
        budget: count or fraction of N
        grid: β values (default: 0, 0.1, … as far as the budget allows); impossible ones raise
        repeats: held-out splits per β
        config: the proxy (default: :func:`candidate` of the MLP on embeddings, of the small ResNet on images)
        checkpoint: a file where the accuracies of a search on images are kept as they come; the same call then goes on
            to the same result
        ids: (N,) distinct and sortable; they take the place of positions, so that the order of the samples does not
            matter to the splits or to ties of the scores

    Returns:
        :class:`BetaSearch`; ``chosen`` by :func:`choose`
    """
    inputs, seed = as_inputs(inputs), derived_seed(seed)
    n = len(inputs)
    labels, scores = as_row(labels, n, "The labels", "labels"), as_row(scores, n, "The scores", "scores")
    budget = resolve_budget(budget, n)
    count = validate_search(n, repeats)
    grid = default_grid(budget, n) if grid is None else as_array(grid, "The values of the grid", "grid")
    betas = np.unique(np.asarray(grid, dtype=np.float64))
    limit = 1 - budget / n
    if len(betas) == 0 or not np.isfinite(betas).all() or betas[0] < 0 or betas[-1] > limit + 1e-9:
        raise InvalidInput(f"With this budget every β of the grid must be between 0 and {limit:.4g}.", "grid")
    if config is None:
        config = candidate(ProxyConfig.of(kinds.ON_IMAGES_WITHOUT_GPU if np.ndim(inputs) == 4 else kinds.ON_EMBEDDINGS))
    order, drawn = Order(n, ids), []
    for repeat in range(count):
        part = split(order, rng(seed, Stream.BETA_SPLIT, repeat))
        train = order.sorted(part.train)
        coresets = [coreset_of(train, scores, budget / n, beta, hard) for beta in betas]
        drawn.append(Coresets(part.held_out, np.stack(coresets)))
    given = (inputs, labels, drawn, betas, config, order, seed, current().device(device))
    accuracies = on_images(*given, checkpoint, progress) if config.on_images else at_once(*given, progress)
    chosen, reason = choose(betas, accuracies, budget / n)
    return BetaSearch(betas, accuracies, chosen, reason)


def choose(betas: Floats, accuracies: Floats, kept: float) -> tuple[float, str]:
    """The β that is usual for the budget, as far as the curve allows, and the sentence that says so.

    The best of the curve alone is a poor choice: pseudo-labels that are wrong at the hard end are wrong in the
    held-out tenth too, so the curve is flat or falling where the true one still rises. Hence the curve only rules out:
    allowed is every β that is behind the best by at most two standard deviations of their differences over the repeats,
    which share splits and seeds.

    Args:
        betas: (B,); accuracies: (B, repeats) on held-out pseudo-labels
        kept: budget / N, see :func:`usual_beta`; of two equally far from it the smaller β is taken

    Returns:
        (β, reason)
    """
    mean = accuracies.mean(axis=1)
    best = int(mean.argmax())
    behind = accuracies[best] - accuracies
    allowed = np.flatnonzero(behind.mean(axis=1) <= DEVIATIONS * behind.std(axis=1) + 1e-12)
    usual = usual_beta(kept)
    index = int(allowed[np.round(np.abs(betas[allowed] - usual), 9).argmin()])
    if accuracies.shape[1] == 1:
        return float(betas[index]), (
            f"β = {betas[index]:.2g} is the best ({mean[best]:.1%}) on one held-out split of pseudo-labels; how "
            "clearly, more repeats would tell."
        )
    splits = f"over {accuracies.shape[1]} held-out splits of pseudo-labels"
    if len(allowed) == 1:
        return float(betas[index]), f"β = {betas[index]:.2g} is the best ({mean[best]:.1%}), clearly, {splits}."
    return float(betas[index]), (
        f"β = {betas[index]:.2g} ({mean[index]:.1%}) is the nearest to {usual:.2g}, which is usual for this budget, of "
        f"{len(allowed)} values not clearly worse than the best ({mean[best]:.1%} at β = {betas[best]:.2g}), {splits}."
    )
