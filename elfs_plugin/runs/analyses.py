"""Analyses of a run as jobs: comparison, stability, budget curve, audit. Nothing that selects reads their results.

Each writes one entry of the run's results (``comparison``, ``stability``, ``budget_curve``, ``audit``; that of
``methods`` is :mod:`.compare_methods`), a plain dict with its settings, counts, time, and what it was made from, see
:func:`~.staleness.stale`. Of these only the audit reads true labels.
"""

import contextlib
import logging
import time

import numpy as np

from .. import __version__, files
from ..errors import InvalidInput
from ..evaluation import audit as evaluation
from ..evaluation import budget_curve as curves
from ..evaluation.comparison import verdict
from ..evaluation.limits import check_number
from ..evaluation.stability import stability
from ..plain import plain
from ..progress import part
from ..proxy.train import ProxyConfig
from ..pruning.scores import HARD_WHEN
from ..pruning.zones import as_beta, as_budget, resolve_beta, resolve_budget
from ..validation import shown, validate_seed, whole_number
from . import changes, fields, jobs, journal, own, record
from .arrays import kept_graph, read_pool
from .coresets import expected_size, member_ids, parse_members
from .pixels import DEFAULT_IMAGE_SIZE, DecodedImages
from .ranking import ranking_version
from .repair import settle
from .staleness import cut_of
from .truth import truth_path
from .views import zone_view

logger = logging.getLogger(__name__)

READING = "Reading the run"
WRITING = "Writing the results"

FEW_WITH_TRUTH = 0.9
"""Below this share of known truths outside the coreset, relative to inside, Random is drawn from a biased rest."""


def compare_coresets(dataset, members, *, key="elfs", seeds=5, seed=0, device="auto", sinks=()):
    """Compares two to ten coresets in the embeddings and pseudo-labels of the run ``key``; results: ``comparison``.

    Args:
        members: see :mod:`.coresets`; samples that the run does not have are left out and counted for each
        seeds: as for :func:`~..evaluation.comparison.compare`
    """
    seeds, seed = _whole(seeds, "seeds"), validate_seed(seed)
    wanted = parse_members(members)
    check_number(len(wanted))
    with analysis_job(dataset, key, "Comparing coresets", sinks, kind="comparison") as job:
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
        found = evaluation.compare(
            selections,
            pool.as_pool(kept_graph(job.dataset, key, pool)),
            seeds=seeds,
            seed=seed,
            device=device,
            progress=job.progress,
        )
        result = {**found.to_dict(), "members": listed, "clusters": pool.names}
        own = any(member.kind == "run" and member.value == key for member in wanted)
        job.save("comparison", result, {"seeds": seeds, "seed": seed}, of_selection=own)
        return {"key": key, "stage": "comparison", **pool.counts, "members": listed, "sentences": found.sentences}


def measure_stability(
    dataset, key="elfs", *, budget=None, beta=None, seeds=3, proxy="run", seed=None, device="auto", sinks=()
):
    """Trains the run's proxy with other seeds and chooses the same coreset again; results: ``stability``.

    How many of the seeds chose each sample is kept in a file, see :func:`read_stability`.

    Args:
        budget, beta: default: those of the applied selection; ``beta="auto"``: the searched one
        seeds: how many coresets are compared, the run's own among them
        proxy: ``"run"``: as the scores were made, ``"mlp"``: on the embeddings whatever they were made with
    """
    if not isinstance(proxy, str) or proxy not in ("run", "mlp"):
        raise InvalidInput(f"Unknown proxy {shown(proxy)} for stability. Use 'run' or 'mlp'.", "proxy")
    seeds, seed = _whole(seeds, "seeds"), seed if seed is None else validate_seed(seed)
    with analysis_job(dataset, key, "Measuring stability", sinks, kind="stability") as job:
        stage = job.run.stages["scores"]
        budget, beta = _settings(job.run, budget, beta)
        config = ProxyConfig.from_dict(stage.get("proxy")) if proxy == "run" else ProxyConfig.mlp()
        same = ProxyConfig.from_dict(stage.get("proxy")) == config
        pool, progress = job.read(), job.progress
        _check_settings(budget, beta, len(pool))
        inputs = pool.vectors
        unreadable = 0
        if config.on_images:
            size = int(config.image_size or stage.get("image_size") or DEFAULT_IMAGE_SIZE)
            images = DecodedImages(lambda: changes.paths_of(job.dataset, pool.ids.tolist()))
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
        job.save("stability", result, {"budget": found.budget, "beta": found.beta, "seeds": seeds, "proxy": proxy})
        return {
            "key": key,
            "stage": "stability",
            **pool.counts,
            "unreadable": unreadable,
            "overlap": found.overlap_mean,
            "sentence": found.sentence,
        }


def budget_curve(
    dataset, key="elfs", *, budgets=None, beta=None, repeats=curves.DEFAULT_REPEATS, seed=0, device="auto", sinks=()
):
    """Measures what a probe learns from growing coresets, beside Random; results: ``budget_curve``.

    Args:
        budgets, beta, repeats: as for :func:`~..evaluation.budget_curve.budget_curve`
    """
    repeats, seed = _whole(repeats, "repeats"), validate_seed(seed)
    if isinstance(beta, (str, np.generic)):
        beta = as_beta(beta)
    with analysis_job(dataset, key, "Measuring the budget curve", sinks, kind="budget_curve") as job:
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
        job.save("budget_curve", {**found.to_dict(), **pool.counts}, settings)
        return {"key": key, "stage": "budget_curve", **pool.counts, "enough": found.enough, "sentence": found.sentence}


def audit(dataset, key="elfs", *, truth_field, seeds=5, seed=0, device="auto", sinks=()):
    """Compares the applied coreset with Random, and counts classes per zone, by true labels; results: ``audit``.

    The only function that reads true labels. Samples without one are left out and counted.

    Args:
        truth_field: a Classification field, or a field (also nested) of strings, whole numbers or booleans
    """
    seeds, seed = _whole(seeds, "seeds"), validate_seed(seed)
    with analysis_job(dataset, key, "Auditing", sinks, needs="selection", kind="audit") as job:
        path = truth_path(job.dataset, truth_field)
        pool = job.read()
        ids, values = fields.writable(job.dataset).values(["id", path])
        truth = {i: value for i, value in zip(ids, values) if value is not None}
        known = np.array([i in truth for i in pool.ids.tolist()], dtype=bool)
        if not known.any():
            raise InvalidInput(f"No sample of the run '{key}' has a value in '{truth_field}'.", "truth_field")
        zones = np.full(len(pool), "easy", dtype="<U7")
        for zone in ("hard", "coreset"):
            zones[pool.places(zone_view(job.dataset, key, zone, job.run).values("id"))] = zone
        inside = zones == "coreset"
        warnings = _bias(known, inside)
        audited, zones = pool.only(known), zones[known]
        coreset = np.flatnonzero(zones == "coreset")
        if not len(coreset):
            raise InvalidInput(f"No image of the coreset has a value in '{truth_field}'.", "truth_field")
        labels = np.array([truth[i] for i in audited.ids.tolist()])
        found = evaluation.audit(
            audited.vectors,
            audited.labels,
            coreset,
            labels,
            seeds=seeds,
            seed=seed,
            device=device,
            progress=job.progress,
        )
        by_zone = evaluation.audit_zones(zones, audited.labels, labels)
        sentence = _audit_sentence(found)
        result = {
            "truth_field": truth_field,
            **vars(found),
            **{f"{name}_mean": float(getattr(found, name).mean()) for name in ("coreset", "random")},
            **{f"{name}_sd": float(getattr(found, name).std()) for name in ("coreset", "random")},
            "zones": by_zone.to_dict(),
            "without_truth": int((~known).sum()),
            **pool.counts,
            "audited": len(audited),
            "warnings": warnings,
            "sentence": sentence,
        }
        job.save("audit", result, {"truth_field": truth_field, "seeds": seeds, "seed": seed}, of_selection=True)
        return {
            "key": key,
            "stage": "audit",
            **{
                name: result[name]
                for name in ("samples", "audited", "without_truth", "pseudo_label_accuracy", "warnings", "sentence")
            },
        }


class _Job:
    """An analysis under the run's lock: its record, its three stages, and where its result goes."""

    def __init__(self, dataset, run, reporter, operation):
        self.dataset, self.run = dataset, run
        self._reporter, self._operation = reporter, operation
        self._progress = None
        self._start = time.time()

    def read(self):
        self._reporter.stage(READING)
        return read_pool(self.dataset, self.run.key)

    @property
    def progress(self):
        if self._progress is None:
            self._progress = self._reporter.stage(self._operation)
        return self._progress

    def save(self, name, result, settings, of_selection=False):
        self._reporter.stage(WRITING)
        selection = self.run.stages.get("selection") if of_selection else None
        made = {
            "when": time.time(),
            "seconds": round(time.time() - self._start, 3),
            "version": __version__,
            "ranking": ranking_version(self.run),
            "selection": selection and cut_of(selection),
            "settings": settings,
        }
        draft = journal.Draft(results={name: plain({**result, "key": self.run.key, "made": made})})
        journal.publish(self.dataset, self.run, draft, self._reporter.verify)
        self._reporter.done()


@contextlib.contextmanager
def analysis_job(dataset, key, operation, sinks, needs="scores", kind=None):
    """A :class:`_Job` of an analysis, which needs a finished stage of the run."""
    if dataset is None:
        raise InvalidInput("No dataset is open. Open one in the App, or pass one.")
    dataset = own.own_dataset(dataset._dataset)
    record.check_key(dataset, key)
    record.require_record(dataset, key, needs, operation.lower())
    with jobs.job(dataset, key, operation, {READING: 1, operation: 10, WRITING: 1}, sinks, kind) as reporter:
        settle(dataset, key, reporter.verify)
        record.check_there(dataset, key, needs)
        # Another process may have worked on this run between the form and the lock.
        yield _Job(dataset, record.require_record(dataset, key, needs, operation.lower()), reporter, operation)


def read_stability(dataset, key="elfs"):
    """(ids (N,), chosen_by (N,) int) of the last stability measurement, or None."""
    path = record.run_folder(dataset._dataset, key) / "stability.npz"
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
    path = record.run_folder(job.dataset, job.run.key) / "stability.npz"
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


def _whole(value, name):
    """A number of seeds or repeats as an int; how many are possible, the analysis says."""
    found = whole_number(value)
    if found is None or found < 1:
        raise InvalidInput(f"{name} must be a whole number from 1, not {shown(value)}.", name)
    return found


def _check_settings(budget, beta, n):
    resolve_beta(beta, resolve_budget(budget, n), n)


def _bias(known, inside):
    """What is wrong with an audit when truths are known mostly for the coreset itself."""
    outside = known[~inside].mean() if (~inside).any() else 1.0
    if outside >= FEW_WITH_TRUTH * known[inside].mean():
        return []
    return [
        f"True labels are known for {known[inside].mean():.0%} of the coreset and {outside:.0%} of the other images: "
        "Random is drawn, and both are tested, mostly on images of the coreset. The two accuracies say little."
    ]


def _audit_sentence(found):
    def line(values):
        return f"{values.mean():.1%} ± {values.std():.1%}"

    return (
        f"By true labels: {found.pseudo_label_accuracy:.1%} of the pseudo-labels are right. A classifier trained on "
        f"the coreset ({found.budget:,} images) reaches {line(found.coreset)}, "
        f"{verdict(found.coreset - found.random)} one trained on random images of the same number "
        f"({line(found.random)}, {len(found.coreset)} seed(s))."
    )
