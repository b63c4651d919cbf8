import fiftyone.operators.types as types

from .base import ElfsOperator
from .inputs import check, choices, pick


class DeleteRun(ElfsOperator):
    operator = "delete_run"
    title = "Delete run"
    description = "Removes everything a run wrote: fields, index, tags, saved views, record, files"
    long = False
    uses_view = False
    risk = "HIGH"

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs

        keys = runs.list_runs(ctx.dataset)
        # The run that is meant everywhere else without a key, and never just any other one.
        default = "elfs" if "elfs" in keys else None
        dropdown = choices(types.DropdownView(), keys)
        prop = inputs.str("key", default=default, required=False, label="Run", view=dropdown)
        key = ctx.params.get("key") or default
        if check(prop, _check_named, key, keys) and check(prop, runs.check_deletable, ctx.dataset, key):
            text = _what_goes(ctx.dataset, runs.load_record(ctx.dataset, key))
            inputs.view("what", types.Warning(label=f"{text} It cannot be undone."))

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        return runs.delete_run(ctx.dataset, **pick(ctx.params, "key"))

    def after(self, ctx, summary):
        ctx.ops.reload_dataset()
        ctx.ops.notify(f"Run {summary['key']} deleted", variant="success")


def _check_named(key, keys):
    from ..elfs_plugin.errors import InvalidInput

    if not keys and not key:
        raise InvalidInput("There are no ELFS runs on this dataset.", "key")
    if not key:
        raise InvalidInput(f"Choose the run to delete (runs: {', '.join(keys)}).", "key")


def _what_goes(dataset, run):
    """What the deletion of a run removes, as a sentence; ``run``: its record, or None."""
    if run is None:
        return "The dataset has no record of this run; what the run has left on it is removed."
    removed = [f"field {run.key}"] if run.owns_field else []
    removed += [f"field {run.embeddings_field}"] if run.owns_embeddings else []
    removed += [f"tag {tag}" for tag in run.own_tags]
    removed += [f"saved view {name}" for name in run.own_views(dataset)]
    removed += ["what was written back to the source of the rows"] if run.written_back else []
    return "This removes: " + ", ".join([*removed, "the record"]) + "."
