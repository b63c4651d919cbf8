"""The one package that knows FiftyOne datasets: datasets ⇄ arrays.

:mod:`.samples` reads views, :mod:`.fields` writes results, :mod:`.record` keeps what a run did, :mod:`.jobs` locks,
reports and cancels. :mod:`.stages` has one function per operator, which a :class:`~.session.Session` joins to the
pipeline. :mod:`.views`, :mod:`.ranking`, :mod:`.graph` and :mod:`.cards` read a finished run for the panel;
:mod:`.integrity` says whether it still fits its dataset. :mod:`.analysis` compares coresets, of :mod:`.members`.
"""

from ..errors import Changed
from .analysis import audit, budget_curve, compare_coresets, measure_stability, read_stability, stale
from .cards import card
from .changes import Changes, count_changes
from .cluster_samples import cluster_samples
from .deletion import delete_run
from .export import export_coreset
from .fields import writable
from .integrity import Finding, RunHealth, check_run
from .jobs import read_job, request_cancel
from .members import (
    check_members,
    difference_ids,
    difference_view,
    member_choices,
    member_ids,
    member_view,
    parse_member,
    parse_members,
)
from .ranking import new_ranking, ranking_version, read_ranking
from .record import RunRecord, list_runs, load_record, load_results
from .samples import check_collection, vector_fields
from .selection import saved_token
from .stages import (
    compute_embeddings,
    compute_pseudo_labels,
    compute_scores,
    run_elfs,
    search_beta,
    select_coreset,
)
from .truth import truth_fields, truth_path
from .update import update_run
from .views import borderline_view, rank_view, zone_view
from .visualization import brain_key_of, check_brain_key, embeddings_panel_state, visualize
from .workspace import ensure_workspace

__all__ = [
    "Changed",
    "Changes",
    "Finding",
    "RunHealth",
    "RunRecord",
    "audit",
    "borderline_view",
    "budget_curve",
    "card",
    "brain_key_of",
    "check_brain_key",
    "check_collection",
    "check_members",
    "check_run",
    "cluster_samples",
    "compare_coresets",
    "compute_embeddings",
    "compute_pseudo_labels",
    "compute_scores",
    "count_changes",
    "delete_run",
    "difference_ids",
    "difference_view",
    "embeddings_panel_state",
    "ensure_workspace",
    "export_coreset",
    "list_runs",
    "load_record",
    "load_results",
    "measure_stability",
    "member_choices",
    "member_ids",
    "member_view",
    "new_ranking",
    "parse_member",
    "parse_members",
    "rank_view",
    "ranking_version",
    "read_job",
    "read_ranking",
    "read_stability",
    "request_cancel",
    "run_elfs",
    "saved_token",
    "search_beta",
    "select_coreset",
    "stale",
    "truth_fields",
    "truth_path",
    "update_run",
    "vector_fields",
    "visualize",
    "writable",
    "zone_view",
]
