"""The one package that knows FiftyOne datasets: datasets ⇄ arrays.

Who reads makes a :class:`~.run.Run`: :mod:`.views`, :mod:`.ranking`, :mod:`.graph`, :mod:`.kept_choices`,
:mod:`.beside` and :mod:`.cards` show it, :mod:`.integrity` says whether it still fits its dataset, :mod:`.arrays` gives
it as arrays.

Who writes is a :class:`~.run_job.RunJob`: :mod:`.jobs` locks, reports and cancels, :mod:`.journal` writes what belongs
together as a whole. :mod:`.operations` has one function per operator; its :class:`~.session.Session` joins the
library's pipeline to a dataset, and :mod:`.keeping` turns results into values. :mod:`.choose`, :mod:`.analyses`,
:mod:`.comparing_methods` and :mod:`.auditing` are the other jobs.

What a row is that is no image, :mod:`.companions` knows and :mod:`.kinds`: :mod:`.make_rows` makes a dataset of such
rows, :mod:`.write_back` brings results to where the rows come from.

Below both: :mod:`.samples` reads views, :mod:`.fields` knows the fields, :mod:`.record` what a run did.

Modules are imported when a name of theirs is first used: the panel must not wait for PyTorch.
"""

import lazy_loader

from ..errors import Changed

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "advising": ["advice"],
        "analyses": ["budget_curve", "compare_coresets", "measure_stability", "read_stability"],
        "auditing": ["audit"],
        "beside": ["beside_view", "compare_beside", "group_view", "tags_by_method"],
        "cards": ["card", "cluster_samples"],
        "changes": ["Changes", "count_changes"],
        "choose": ["choose_coreset"],
        "choose_images": ["choose_images"],
        "comparing_methods": ["compare_methods"],
        "coresets": [
            "check_members",
            "difference_ids",
            "difference_view",
            "member_choices",
            "member_ids",
            "member_view",
            "parse_member",
            "parse_members",
        ],
        "deletion": ["check_deletable", "delete_run", "has_traces"],
        "export": ["export_coreset"],
        "companions": ["companion_of", "companions_of", "kind_of", "noun_of", "resolved", "rows_of", "source_of"],
        "fields": ["writable"],
        "integrity": ["check_run", "Finding", "RunHealth"],
        "jobs": ["read_job", "request_cancel"],
        "make_rows": ["make_rows"],
        "operations": [
            "compute_embeddings",
            "compute_pseudo_labels",
            "compute_scores",
            "run_elfs",
            "search_beta",
            "select_coreset",
        ],
        "plots": ["brain_key_of", "check_brain_key", "embeddings_panel_state"],
        "ranking": ["new_ranking", "ranking_version", "read_ranking"],
        "record": ["list_runs", "load_record", "load_results", "RunRecord"],
        "repair": ["repair_run"],
        "rounds.choosing": ["next_batch"],
        "rounds.forgetting": ["forget_rounds"],
        "rounds.learning": ["learn_labels"],
        "rounds.queue": ["ask_again"],
        "rounds.returning": ["take_back"],
        "rounds.sending": ["send_batch"],
        "run": ["Run"],
        "samples": ["check_collection", "check_locked_tag", "check_usable", "check_vector_field", "vector_fields"],
        "saving": ["saved_token"],
        "similarity_index": ["find_index", "similarity_indexes"],
        "staleness": ["stale"],
        "truth": ["truth_fields", "truth_path"],
        "update": ["update_run"],
        "veto": ["preview_veto"],
        "views": ["borderline_view", "rank_view", "zone_view"],
        "visualization": ["visualize"],
        "workspace": ["ensure_workspace"],
        "write_back": ["write_rows_back"],
    },
)
__all__ += ["Changed"]
