"""The batch of a job that died after it had decided: who asks again wants that one, not a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import jobs
from ..fiftyone_types import Dataset
from . import state
from .state import SELECTED, Round

if TYPE_CHECKING:
    from ..record import RunRecord

KIND = "next_batch"
FINISHED = (
    "The batch that an interrupted job had chosen was there already and was finished; no other one was chosen. To get "
    "another one, choose again."
)


def began(dataset: Dataset, key: str) -> float | None:
    """When the run's last job began, in seconds since 1970, if it was to choose a batch and did not say that it had."""
    last = jobs.read_job(dataset, key) or {}
    return last["started"] if last.get("kind") == KIND and last["state"] not in ("running", "completed") else None


def chosen_since(record: RunRecord, moment: float | None) -> Round | None:
    """The last round, if it was chosen since then and nothing has been done with it."""
    found = state.rounds_of(record)
    if moment is None or not found or found[-1].state != SELECTED or found[-1].sent:
        return None
    return found[-1] if found[-1].when.get(SELECTED, 0) >= moment else None
