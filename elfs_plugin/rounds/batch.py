"""The next batch to label: some samples that cover the pool, the others where a model of the labels needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..choice import completed, recommended
from ..contracts import Budget, Integers, Progress
from ..errors import InvalidInput
from ..progress import part, silent
from ..proxy.labelled import learn
from ..pruning.quotas import shares
from ..pruning.zones import resolve_budget
from ..seeds import Stream, rng
from ..selectors.pool import Pool
from ..selectors.recommend import AUTO
from ..suggestions import did_you_mean
from ..validation import derived_seed, plain_number, shown
from . import class_budgets as by_class
from . import parts
from .arranged import Arranged, arranged
from .class_budgets import Group
from .labelled import Labelled
from .targets import TARGETS, Task

if TYPE_CHECKING:
    import torch

COVERAGE, TARGETED = "coverage", "targeted"
"""Why a sample is in a batch."""


@dataclass(frozen=True)
class Batch:
    """What to label next.

    Attributes:
        indices: (b,) distinct rows of the pool in order of labelling, coverage and targets mixed throughout, so that a
            batch of which only the beginning gets labelled has its share of both
        sources: b of :data:`COVERAGE` and :data:`TARGETED`
        reasons: b sentences
        method: of the coverage; ``target`` of the others, None where there are none
        accuracy: share of the labels on which a model is right that has not learnt them, or None without a model. They
            were chosen, not drawn: it is no estimate for the pool
        warnings: sentences for the user
    """

    indices: Integers
    sources: list[str]
    reasons: list[str]
    method: str
    target: str | None = None
    accuracy: float | None = None
    warnings: list[str] = field(default_factory=list)


def next_batch(
    pool: Pool,
    budget: Budget | str,
    labelled: Labelled | None = None,
    *,
    share: float = 0.3,
    target: str = "uncertainty",
    failures: ArrayLike | None = None,
    class_budgets: Mapping[Any, int] | str | None = None,
    method: str = AUTO,
    seed: int = 0,
    progress: Progress = silent,
    device: str | torch.device = "auto",
) -> Batch:
    """Chooses a batch. The same ids give the same batch, in whatever order the pool lists them.

    Args:
        pool: with embeddings; ``locked`` are labelled or out for labelling, ``excluded`` the golden set and what was
            skipped, whose labels are not learnt either
        budget: a count, or a fraction of the samples that are neither
        labelled: the labels so far; without two classes of them all is chosen by coverage
        share: of the budget that goes to coverage, in [0, 1]
        target: of the rest, one of :data:`~.targets.TARGETS`
        failures: for the target ``"failures"``: rows of the pool on which a model of the caller's own failed (default:
            the labels that a model got wrong which had not learnt them)
        class_budgets: {class: how many} of the batch, or such a text as :func:`~.class_budgets.as_mapping` takes, by
            the model's predictions. Best effort; ``warnings`` say where there were too few
        method: of the coverage, as :func:`~..choice.choose` takes it

    Raises:
        InvalidInput: with the ``field`` that is wrong
    """
    seed = derived_seed(seed)
    share = check_mix(share, target, failures)
    given = arranged(pool, labelled, failures)
    pool, free = given.pool, given.pool.free
    if not free.any():
        raise InvalidInput("All samples of the pool are locked or excluded; there is nothing to choose.", "budget")
    count = resolve_budget(budget, int(free.sum()))
    wanted = by_class.checked(class_budgets, count)
    if method == AUTO:
        method = recommended(pool, count).method
    pool = completed(pool, method, {}, None, seed, device, part(progress, 0.0, 0.3))
    progress(0.3, "learning the labels so far")
    task, accuracy = _learnt(replace(given, pool=pool), seed)
    if task is None:
        share, groups = 1.0, [Group(free, count)]
        warnings = _without_model(given.labelled, wanted)
    else:
        groups, warnings = by_class.grouped(wanted, count, free, task.classes, task.probabilities.argmax(axis=1))
    sizes = [group.count for group in groups]
    aimed = shares(count - int(share * count + 0.5), sizes, sizes).tolist()
    covering = [Group(group.members, group.count - some) for group, some in zip(groups, aimed)]
    covered = parts.covered(pool, method, covering, seed, part(progress, 0.4, 0.6))
    if task is None or not sum(aimed):
        return _batch(given.order, covered, parts.NONE, method, None, accuracy, warnings)
    if target == "failures" and not len(task.failures):
        target = "uncertainty"
        warnings.append("The model got no label wrong, so there are no failures to look near: uncertainty instead.")
    wishes = [Group(group.members, some) for group, some in zip(groups, aimed)]
    found = parts.targeted(task, target, wishes, covered.rows, part(progress, 0.6, 1.0))
    return _batch(given.order, covered, found, method, target, accuracy, warnings)


def _learnt(given: Arranged, seed: int) -> tuple[Task | None, float | None]:
    """(what targets need, accuracy on held-out labels); None twice where there are no two classes."""
    known = given.labelled
    if len(known.classes) < 2:
        return None, None
    model = learn(given.pool.embeddings, known.rows, known.labels, seed)
    wrong = model.held_out != known.codes
    failures = given.failures
    if failures is None:
        failures = rng(seed, Stream.FAILURES).permutation(known.rows[wrong])
    counts = np.bincount(known.codes, minlength=len(known.classes))
    task = Task(given.pool, known.classes, counts, model.probabilities, failures, seed)
    return task, float(1 - wrong.mean())


def _without_model(known: Labelled, wanted: Mapping[Any, int]) -> list[str]:
    said = []
    if len(known):
        said.append("All labels so far are of one class, so no model can be learnt: all is chosen by coverage.")
    if wanted:
        said.append("Budgets of classes count from two labelled classes on; they were passed over.")
    return said


def _batch(
    order: Integers, covered: parts.Part, found: parts.Part, method: str, target: str | None, *said: Any
) -> Batch:
    turn = parts.mixed([len(covered.rows), len(found.rows)])
    rows = np.concatenate([covered.rows, found.rows])[turn]
    sources = [COVERAGE] * len(covered.rows) + [TARGETED] * len(found.rows)
    reasons = [*covered.reasons, *found.reasons]
    return Batch(order[rows], [sources[i] for i in turn], [reasons[i] for i in turn], method, target, *said)


def check_mix(share: float, target: str, failures: ArrayLike | None = None) -> float:
    """The share as a float.

    Raises:
        InvalidInput: for a share, or a target, that there is not
    """
    value = plain_number(share)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InvalidInput(f"The share of coverage must be from 0 to 1, not {shown(share)}.", "share")
    if not isinstance(target, str) or target not in TARGETS:
        raise InvalidInput(
            f"Unknown target {shown(target)}. Use one of: {', '.join(TARGETS)}.{did_you_mean(target, list(TARGETS))}",
            "target",
        )
    if failures is not None and target != "failures":
        raise InvalidInput("Failures were given, but they are not the target.", "failures")
    return float(value)
