"""The one package that knows FiftyOne datasets: datasets ⇄ arrays.

:mod:`.samples` reads views, :mod:`.fields` writes results, :mod:`.record` keeps what a run did, :mod:`.jobs` locks,
reports and cancels, :mod:`.stages` joins them to the pipeline, one function per operator.
"""

from .jobs import read_job, request_cancel
from .record import RunRecord, list_runs, load_record, load_results
from .samples import check_collection, vector_fields
from .stages import (
    compute_embeddings,
    compute_pseudo_labels,
    compute_scores,
    delete_run,
    export_coreset,
    run_elfs,
    search_beta,
    select_coreset,
    zone_view,
)

__all__ = [
    "RunRecord",
    "check_collection",
    "compute_embeddings",
    "compute_pseudo_labels",
    "compute_scores",
    "delete_run",
    "export_coreset",
    "list_runs",
    "load_record",
    "load_results",
    "read_job",
    "request_cancel",
    "run_elfs",
    "search_beta",
    "select_coreset",
    "vector_fields",
    "zone_view",
]
