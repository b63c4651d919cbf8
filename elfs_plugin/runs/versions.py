"""Versions of a run's ranking, to key by what is made from it."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .record import RunRecord


def new_ranking(run: RunRecord) -> None:
    """Gives the record a new version of its ranking: to be called when scores, labels or their names change."""
    run.ranking = uuid.uuid4().hex


def ranking_version(run: RunRecord) -> str:
    """A short string that changes whenever the scores or labels of a run do, to key a cache by.

    Records of versions that had none are told apart by what their stages say.
    """
    if run.ranking:
        return run.ranking
    made_of = {name: run.stages.get(name) for name in ("embeddings", "pseudo_labels", "scores")}
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()[:32]
