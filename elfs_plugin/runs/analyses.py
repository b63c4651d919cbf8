"""Analyses of a run as jobs: comparison, stability, budget curve. Nothing that selects reads their results.

Each writes one entry of the run's results (``comparison``, ``stability``, ``budget_curve``; that of ``methods`` is
:mod:`.comparing_methods`, that of ``audit`` :mod:`.auditing`), a plain dict with its settings, counts, time, and what
it was made from, see :func:`~.staleness.stale`. None of these reads true labels.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import files
from ..contracts import Array, Budget, Images, Integers, Sink, Vectors
from ..encoders.decoded import DecodedImages
from ..encoders.images import DEFAULT_IMAGE_SIZE
from ..errors import InvalidInput
from ..evaluation import budget_curve as curves
from ..evaluation.comparison import compare
from ..evaluation.limits import check_number
from ..evaluation.stability import stability
from ..progress import part
from ..proxy.train import ProxyConfig
from ..pruning.scores import HARD_WHEN
from ..pruning.zones import as_beta, as_budget, resolve_beta, resolve_budget
from ..validation import shown, validate_seed, whole_number
from . import reading
from .analysis import Analysis
from .arrays import kept_graph
from .coresets import expected_size, member_ids, parse_members
from .fiftyone_types import Dataset
from .folder import run_folder

logger = logging.getLogger(__name__)


def compare_coresets(
    dataset: Dataset,
    members: str | Sequence[Any],
    *,
    key: str = "elfs",
    seeds: int = 5,
    seed: int = 0,
    device: str = "auto",
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Compares two to ten coresets in the embeddings and pseudo-labels of the run ``key``; results: ``comparison``.

    Args:
        members: see :mod:`.coresets`; samples that the run does not have are left out and counted for each
        seeds: as for :func:`~..evaluation.comparison.compare_arrays`
    """
    seeds, seed = whole_count(seeds, "seeds"), validate_seed(seed)
    wanted = parse_members(members)
    check_number(len(wanted))
    with Analysis(dataset, key, "Comparing coresets", sinks, "comparison") as job:
        chosen = {member.name: member_ids(job.dataset, member) for member in wanted}
        pool = job.read()
        selections, listed = {}, []
        for member in wanted:
            ids = chosen[member.name]
            places = pool.places(ids)
            if not len(places):
                raise InvalidInput(
                    f"The coreset '{member.name}' holds no image that the run '{key}' has scored. Leave it out.",
                    "members",
                )
            selections[member.name] = places
            expected = expected_size(job.dataset, member)
            listed.append(
                {
                    "name": member.name,
                    "spec": str(member),
                    "outside": len(ids) - len(places),
                    "missing": 0 if expected is None else max(0, expected - len(ids)),
                }
            )
        found = compare(
            selections,
            pool.as_pool(kept_graph(job.run, pool)),
            seeds=seeds,
            seed=seed,
            device=device,
            progress=job.progress,
        )
        result = {**found.to_dict(), "members": listed, "clusters": pool.names}
        its_own = any(member.kind == "run" and member.value == key for member in wanted)
        job.save(result, {"seeds": seeds, "seed": seed}, of_selection=its_own)
        return {"key": key, "stage": "comparison", **pool.counts, "members": listed, "sentences": found.sentences}


def measure_stability(
    dataset: Dataset,
    key: str = "elfs",
    *,
    budget: Budget | str | None = None,
    beta: float | str | None = None,
    seeds: int = 3,
    proxy: str = "run",
    seed: int | None = None,
    device: str = "auto",
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Trains the run's proxy with other seeds and chooses the same coreset again; results: ``stability``.

    How many of the seeds chose each sample is kept in a file, see :func:`read_stability`.

    Args:
        budget, beta: default: those of the applied selection; ``beta="auto"``: the searched one
        seeds: how many coresets are compared, the run's own among them
        proxy: ``"run"``: as the scores were made, ``"mlp"``: on the embeddings whatever they were made with
    """
    if not isinstance(proxy, str) or proxy not in ("run", "mlp"):
        raise InvalidInput(f"Unknown proxy {shown(proxy)} for stability. Use 'run' or 'mlp'.", "proxy")
    seeds, seed = whole_count(seeds, "seeds"), seed if seed is None else validate_seed(seed)
    with Analysis(dataset, key, "Measuring stability", sinks, "stability") as job:
        stage = job.run.stages["scores"]
        budget, beta = _settings(job.run, budget, beta)
        config = ProxyConfig.from_dict(stage.get("proxy")) if proxy == "run" else ProxyConfig.mlp()
        same = ProxyConfig.from_dict(stage.get("proxy")) == config
        pool, progress = job.read(), job.progress
        _check_settings(budget, beta, len(pool))
        inputs: Vectors | Images = pool.vectors
        unreadable = 0
        if config.on_images:
            size = int(config.image_size or stage.get("image_size") or DEFAULT_IMAGE_SIZE)
            images = DecodedImages(lambda: reading.by_id(job.dataset, pool.ids.tolist(), "filepath"))
            inputs, unread = images.get(pool.ids.tolist(), size, part(progress, 0.0, 0.1))
            unreadable = len(unread)
            pool = pool.only(np.array([i not in unread for i in pool.ids.tolist()]))
            progress = part(progress, 0.1, 1.0)
        found = stability(
            inputs,
            pool.labels,
            pool.num_classes,
            budget,
            beta,
            seeds=seeds,
            hard=HARD_WHEN[pool.score],
            score=pool.score,
            scores=pool.scores if same else None,
            ids=pool.ids,
            config=config,
            seed=stage.get("seed", 0) if seed is None else seed,
            device=device,
            progress=progress,
        )
        _keep_stability(job, pool, found)
        result = {**found.to_dict(), **pool.counts, "unreadable": unreadable}
        job.save(result, {"budget": found.budget, "beta": found.beta, "seeds": seeds, "proxy": proxy})
        return {
            "key": key,
            "stage": "stability",
            **pool.counts,
            "unreadable": unreadable,
            "overlap": found.overlap_mean,
            "sentence": found.sentence,
        }


def budget_curve(
    dataset: Dataset,
    key: str = "elfs",
    *,
    budgets: Sequence[Budget | str] | None = None,
    beta: float | str | None = None,
    repeats: int = curves.DEFAULT_REPEATS,
    seed: int = 0,
    device: str = "auto",
    sinks: Iterable[Sink] = (),
) -> dict[str, Any]:
    """Measures what a probe learns from growing coresets, beside Random; results: ``budget_curve``.

    Args:
        budgets, beta, repeats: as for :func:`~..evaluation.budget_curve.budget_curve`
    """
    repeats, seed = whole_count(repeats, "repeats"), validate_seed(seed)
    if isinstance(beta, (str, np.generic)):
        beta = as_beta(beta)
    with Analysis(dataset, key, "Measuring the budget curve", sinks, "budget_curve") as job:
        pool = job.read()
        found = curves.budget_curve(
            pool.vectors,
            pool.labels,
            pool.scores,
            budgets=budgets,
            beta=beta,
            hard=HARD_WHEN[pool.score],
            repeats=repeats,
            ids=pool.ids,
            seed=seed,
            device=device,
            progress=job.progress,
        )
        settings = {"beta": beta if isinstance(beta, (int, float)) else None, "repeats": repeats, "seed": seed}
        job.save({**found.to_dict(), **pool.counts}, settings)
        return {"key": key, "stage": "budget_curve", **pool.counts, "enough": found.enough, "sentence": found.sentence}


def read_stability(dataset: Dataset, key: str = "elfs") -> tuple[Array, Integers] | None:
    """(ids (N,), chosen_by (N,) int) of the last stability measurement, or None."""
    path = run_folder(dataset._dataset, key) / "stability.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["ids"].astype(str), file["chosen_by"].astype(np.int64)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive raises nearly anything; it can be measured again
        logger.warning("%s cannot be read (%s)", path, error)
        return None


def _keep_stability(job, pool, found):
    path = job.run.folder / "stability.npz"
    arrays = {"ids": pool.ids.astype("S24"), "chosen_by": found.chosen_by.astype(np.uint8)}
    if not files.keep(path, lambda file: np.savez(file, **arrays)):
        logger.warning("%s cannot be written; the panel does not show which images were chosen how often.", path)


def _settings(run, budget, beta):
    selection = run.stages.get("selection", {})
    budget = selection.get("budget", selection.get("coreset")) if budget is None else budget
    if budget is None:
        raise InvalidInput("No coreset has been applied yet. Give a budget, or use select_coreset first.", "budget")
    if isinstance(beta, str) and beta == "auto":
        beta = run.stages.get("beta", {}).get("chosen")
    elif beta is None:
        beta = selection.get("beta", run.stages.get("beta", {}).get("chosen"))
    if beta is None:
        raise InvalidInput("No β has been applied or searched yet. Give β, or use search_beta first.", "beta")
    return as_budget(budget), as_beta(beta)


def whole_count(value: Any, name: str) -> int:
    """A number of seeds or repeats as an int; how many are possible, the analysis says."""
    found = whole_number(value)
    if found is None or found < 1:
        raise InvalidInput(f"{name} must be a whole number from 1, not {shown(value)}.", name)
    return found


def _check_settings(budget, beta, n):
    resolve_beta(beta, resolve_budget(budget, n), n)
