"""The audit of a run by true labels, as a job; results: ``audit``."""

import numpy as np

from ..errors import InvalidInput
from ..evaluation import audit as evaluation
from ..evaluation.comparison import verdict
from ..validation import validate_seed
from . import truth
from .analyses import whole_count
from .analysis import Analysis
from .views import zone_view

FEW_WITH_TRUTH = 0.9
"""Below this share of known truths outside the coreset, relative to inside, Random is drawn from a biased rest."""


def audit(dataset, key="elfs", *, truth_field, seeds=5, seed=0, device="auto", sinks=()):
    """Compares the applied coreset with Random, and counts classes per zone, by true labels; results: ``audit``.

    The only function that reads true labels. Samples without one are left out and counted.

    Args:
        truth_field: a Classification field, or a field (also nested) of strings, whole numbers or booleans
    """
    seeds, seed = whole_count(seeds, "seeds"), validate_seed(seed)
    with Analysis(dataset, key, "Auditing", sinks, needs="selection") as job:
        true_labels = truth.read(job.dataset, truth_field)
        pool = job.read()
        known = np.array([i in true_labels for i in pool.ids.tolist()], dtype=bool)
        if not known.any():
            raise InvalidInput(f"No sample of the run '{key}' has a value in '{truth_field}'.", "truth_field")
        zones = np.full(len(pool), "easy", dtype="<U7")
        for zone in ("hard", "coreset"):
            zones[pool.places(zone_view(job.run, zone).values("id"))] = zone
        inside = zones == "coreset"
        warnings = _bias(known, inside)
        audited, zones = pool.only(known), zones[known]
        coreset = np.flatnonzero(zones == "coreset")
        if not len(coreset):
            raise InvalidInput(f"No image of the coreset has a value in '{truth_field}'.", "truth_field")
        labels = np.array([true_labels[i] for i in audited.ids.tolist()])
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
