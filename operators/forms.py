"""The inputs of runs that several forms share: which run, its clusters, and the names of what is saved."""

import fiftyone.operators.types as types

from .inputs import check, checked, choice_input, choices

CLUSTERS_MODES = {"manual": "Set by hand", "auto": "Estimate from the embeddings"}
PRESETS = {
    "auto": "auto: quick",
    "quick": "quick: 8 heads started from k-means, 10 epochs",
    "published": "published: 50 heads, 200 epochs: use a GPU",
}


def key_input(ctx, inputs):
    """A run key to create or to run again."""
    from ..elfs_plugin.runs.names import check_key_text
    from ..elfs_plugin.runs.record import check_key

    prop = inputs.str(
        "key",
        default="elfs",
        required=False,
        label="Run key",
        description="Names the run and the field its results go to",
    )
    key = ctx.params.get("key") or "elfs"
    # A run that exists may have a name that a new one may not.
    if ctx.dataset.has_run(key) or check(prop, check_key_text, key):
        check(prop, check_key, ctx.dataset, key)
    return key


def run_input(ctx, inputs, stage, needed_by):
    """An existing run in which ``stage`` is finished: its record, or None when the input is refused."""
    from ..elfs_plugin import runs

    keys = runs.list_runs(ctx.dataset)
    default = "elfs" if "elfs" in keys or not keys else keys[-1]
    dropdown = choices(types.DropdownView(), keys)
    prop = inputs.str("key", default=default, required=False, label="Run", view=dropdown)
    return checked(prop, runs.Run(ctx.dataset, ctx.params.get("key") or default).require, stage, needed_by)


def neighbors_input(inputs):
    inputs.int("neighbors", required=False, label="Neighbours", description="Empty: 50, fewer for small clusters")


def clusters_input(ctx, inputs, collection):
    from ..elfs_plugin.clustering.limits import suggested_clusters, validate_num_clusters

    choice_input(inputs, "clusters_mode", CLUSTERS_MODES, "manual", "Clusters")
    if clusters_of(ctx.params, collection) == "auto":
        note = "Three criteria estimate how many groups the embeddings form. A number of classes you know is better."
        inputs.view("clusters_note", types.Notice(label=note))
    else:
        n = collection.count()
        default = suggested_clusters(n)
        prop = inputs.int(
            "num_clusters",
            default=default,
            required=False,
            label="Number of clusters",
            description="The number of classes you expect",
        )
        check(prop, validate_num_clusters, ctx.params.get("num_clusters", default), n)
    choice_input(inputs, "preset", PRESETS, "auto", "Clustering effort", view=types.DropdownView)


def clusters_of(params, collection):
    """The number of clusters of the parameters, or ``"auto"``."""
    from ..elfs_plugin.clustering.limits import suggested_clusters

    given = params.get("num_clusters")
    if params.get("clusters_mode") == "auto" or given == "auto":
        return "auto"
    return given or suggested_clusters(collection.count())


def check_settings(params):
    """Refuses what a call from Python contradicts itself in. A form sends what was typed before its mode changed."""
    from ..elfs_plugin.errors import InvalidInput

    if "beta" in params and params.get("beta_mode", "manual") != "manual":
        mode = params["beta_mode"]
        raise InvalidInput(f"beta={params['beta']} contradicts beta_mode='{mode}'. Leave one out.", "beta")
    clusters = params.get("num_clusters", "auto")
    if clusters != "auto" and params.get("clusters_mode") == "auto":
        raise InvalidInput(f"num_clusters={clusters} contradicts clusters_mode='auto'. Leave one out.", "num_clusters")


def output_inputs(ctx, inputs, key, default_tag=None):
    """Tag and saved view for the coreset; names in use by something else are refused."""
    from ..elfs_plugin.runs.record import RunRecord, load_record
    from ..elfs_plugin.runs.saving import check_names

    run = load_record(ctx.dataset, key) or RunRecord(key)
    prop = inputs.str(
        "tag",
        default=default_tag,
        required=False,
        label="Tag",
        description="Tag the coreset's samples" + ("" if default_tag else " (optional)"),
    )
    check(prop, check_names, ctx.dataset, run, ctx.params.get("tag") or default_tag, None)
    prop = inputs.str("view_name", required=False, label="Saved view", description="Save the coreset (optional)")
    check(prop, check_names, ctx.dataset, run, None, ctx.params.get("view_name"))
