"""The two parts of a batch, coverage and targets, each chosen group by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..choice import choose
from ..contracts import Integers, Progress
from ..progress import part
from ..selectors.pool import Pool
from .class_budgets import Group
from .targets import TARGETS, Task


@dataclass(frozen=True)
class Part:
    """``rows`` (b,) in order of choice and b ``reasons``, a sentence for each."""

    rows: Integers
    reasons: list[str]


NONE = Part(np.zeros(0, dtype=np.int64), [])


def covered(pool: Pool, method: str, groups: Sequence[Group], seed: int, progress: Progress) -> Part:
    """What a method chooses from each group, the choices from those before it covered already."""
    found: list[Part] = []
    locked = pool.locked
    groups = [group for group in groups if group.count]
    for number, group in enumerate(groups):
        own = replace(pool, locked=locked, excluded=~(group.members | locked))
        now = part(progress, number / len(groups), (number + 1) / len(groups))
        chosen = choose(method, own, group.count, seed=seed, progress=now).selection
        locked = locked | np.isin(np.arange(len(pool)), chosen.indices)
        found.append(Part(chosen.indices, [chosen.reasons[row] for row in chosen.indices.tolist()]))
    return _joined(found)


def targeted(task: Task, target: str, groups: Sequence[Group], taken: Integers, progress: Progress) -> Part:
    """What a target chooses from each group, ``taken`` and the choices from those before it covered already."""
    found: list[Part] = []
    groups = [group for group in groups if group.count]
    for number, group in enumerate(groups):
        before = np.concatenate([taken, *(one.rows for one in found)])
        locked = task.pool.locked | np.isin(np.arange(len(task.pool)), before)
        now = part(progress, number / len(groups), (number + 1) / len(groups))
        own = replace(task, pool=replace(task.pool, locked=locked), progress=now)
        found.append(Part(*TARGETS[target](own, group.members & ~locked, group.count)))
    return _joined(found)


def mixed(sizes: Sequence[int]) -> list[int]:
    """The numbers from 0 to below the sum of the sizes, which count through parts of so many one after the other, in an
    order in which every part is spread evenly and keeps its own order."""
    places = np.concatenate([(np.arange(size) + 0.5) / max(size, 1) for size in sizes])
    return np.argsort(places, kind="stable").tolist()


def _joined(found: Sequence[Part]) -> Part:
    if not found:
        return NONE
    turn = mixed([len(one.rows) for one in found])
    reasons = [reason for one in found for reason in one.reasons]
    return Part(np.concatenate([one.rows for one in found])[turn], [reasons[i] for i in turn])
