import fiftyone.operators.types as types

from .base import ElfsOperator
from .forms import check, pick


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
        dropdown = types.DropdownView()
        for key in keys:
            dropdown.add_choice(key, label=key)
        # The run that is meant everywhere else without a key, and never just any other one.
        default = "elfs" if "elfs" in keys else None
        prop = inputs.str("key", default=default, required=False, label="Run", view=dropdown)
        record = None

        def exists():
            nonlocal record
            from ..elfs_plugin.errors import InvalidInput

            key = ctx.params.get("key") or default
            record = runs.load_record(ctx.dataset, key) if key else None
            if record is not None or (key and runs.has_traces(ctx.dataset, key)):
                return
            have = ", ".join(keys) or "none"
            if key:
                raise InvalidInput(f"There is no ELFS run '{key}' on this dataset (runs: {have}).", "key")
            raise InvalidInput(
                f"Choose the run to delete (runs: {have})." if keys else "There are no ELFS runs on this dataset.",
                "key",
            )

        if check(prop, exists) and record is None:
            text = "The dataset has no record of this run; what the run has left on it is removed. It cannot be undone."
            inputs.view("what", types.Warning(label=text))
        elif record is not None:
            removed = [f"field {record.key}"] if record.owns_field else []
            removed += [f"field {record.embeddings_field}"] if record.owns_embeddings else []
            removed += [f"tag {tag}" for tag in record.own_tags]
            removed += [f"saved view {name}" for name in record.own_views(ctx.dataset)]
            removed += ["the record"]
            inputs.view("what", types.Warning(label="This removes: " + ", ".join(removed) + ". It cannot be undone."))

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        return runs.delete_run(ctx.dataset, **pick(ctx.params, "key"))

    def after(self, ctx, summary):
        ctx.ops.reload_dataset()
        ctx.ops.notify(f"Run {summary['key']} deleted", variant="success")
