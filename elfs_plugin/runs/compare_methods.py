"""The comparison of selection methods on a finished run, as a job; results: ``methods``."""

from ..evaluation import audit as evaluation
from ..evaluation import methods as method_comparison
from ..evaluation.tables import method_rows
from ..progress import part
from ..proxy.train import ProxyConfig
from . import truth
from .analysis import Analysis
from .choose import as_pool

ONE_TRAINING = (
    "The scores come from the run's one training of its image proxy, the same for all seeds: how far methods that use "
    "them depend on its seed is not measured here."
)


def compare_methods(
    dataset,
    key="elfs",
    *,
    budgets=(0.01, 0.1, 0.3),
    methods=None,
    seeds=3,
    seed=0,
    device="auto",
    truth_field=None,
    sinks=(),
):
    """Compares the family of selectors on the embeddings and pseudo-labels of a run.

    The fast proxy is trained with every seed. With an image proxy, which could take days, the run's own scores stand
    for all seeds.

    Args:
        budgets, methods, seeds: as for :func:`~..evaluation.methods.compare_methods`
        truth_field: also measures accuracies on these true labels; they are returned, never kept

    Returns:
        a summary; its ``rows`` are the table
    """
    with Analysis(dataset, key, "Comparing methods", sinks) as job:
        found = job.read()
        true_labels = truth.read_all(job.dataset, truth_field, found.ids.tolist()) if truth_field else None
        pool = as_pool(job.run, found)
        on_images = ProxyConfig.from_dict(job.run.stages["scores"].get("proxy")).on_images
        options = {"seed": seed, "ids": found.ids, "device": device}
        compared = method_comparison.compare_methods(
            found.vectors,
            found.labels,
            budgets,
            methods=methods,
            seeds=seeds,
            neighbors=pool.neighbors,
            confidence=pool.confidence,
            dynamics=pool.dynamics if on_images else None,
            progress=part(job.progress, 0.0, 1.0 if true_labels is None else 0.9),
            **options,
        )
        result = compared.to_dict()
        if on_images:
            result["warnings"].append(ONE_TRAINING)
        audited, told = {}, []
        if true_labels is not None:
            right = evaluation.audit_methods(
                compared, found.vectors, true_labels, progress=part(job.progress, 0.9, 1.0), **options
            )
            audited, told = {"true_accuracy": right}, method_comparison.sentences(compared, right, "true labels")
        job.save("methods", result, {"seeds": seeds, "seed": seed})
        kept = {name: result[name] for name in ("budgets", "sentences", "warnings", "left_out")}
        return {
            "key": key,
            "stage": "methods",
            **found.counts,
            **kept,
            "true_sentences": told,
            "rows": method_rows(result, **audited),
        }
