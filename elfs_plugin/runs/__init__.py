"""The one package that knows FiftyOne datasets: datasets ⇄ arrays.

:mod:`.samples` reads views, :mod:`.fields` writes results, :mod:`.record` keeps what a run did, :mod:`.jobs` locks,
reports and cancels. :mod:`.stages` has one function per operator, which a :class:`~.session.Session` joins to the
pipeline. :mod:`.views`, :mod:`.ranking`, :mod:`.graph` and :mod:`.cards` read a finished run for the panel;
:mod:`.integrity` says whether it still fits its dataset. :mod:`.analyses` compares coresets, of :mod:`.coresets`.

Modules are imported when a name of theirs is first used: the panel must not wait for PyTorch.
"""

import importlib

from ..errors import Changed

_MODULES = {
    "analyses": (
        "budget_curve",
        "compare_coresets",
        "measure_stability",
        "read_stability",
    ),
    "audit": ("audit",),
    "cards": ("card", "cluster_samples"),
    "changes": ("Changes", "count_changes"),
    "deletion": ("delete_run", "has_traces"),
    "export": ("export_coreset",),
    "fields": ("writable",),
    "integrity": ("check_run", "Finding", "RunHealth"),
    "jobs": ("read_job", "request_cancel"),
    "coresets": (
        "check_members",
        "difference_ids",
        "difference_view",
        "member_choices",
        "member_ids",
        "member_view",
        "parse_member",
        "parse_members",
    ),
    "compare_methods": ("compare_methods",),
    "choose": ("choose_coreset", "preview_veto"),
    "ranking": ("new_ranking", "ranking_version", "read_ranking"),
    "record": ("list_runs", "load_record", "load_results", "RunRecord"),
    "repair": ("repair_run",),
    "run": ("Run",),
    "samples": ("check_collection", "check_locked_tag", "check_usable", "check_vector_field", "vector_fields"),
    "saving": ("saved_token",),
    "operations": (
        "compute_embeddings",
        "compute_pseudo_labels",
        "compute_scores",
        "run_elfs",
        "search_beta",
        "select_coreset",
    ),
    "staleness": ("stale",),
    "truth": ("truth_fields", "truth_path"),
    "update": ("update_run",),
    "views": ("borderline_view", "rank_view", "zone_view"),
    "visualization": ("brain_key_of", "check_brain_key", "embeddings_panel_state", "visualize"),
    "workspace": ("ensure_workspace",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["Changed", *_MODULE_OF]


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = found
    return found


def __dir__():
    return sorted(__all__)
