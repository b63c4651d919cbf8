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
        default = keys[-1] if keys else None
        prop = inputs.str("key", default=default, required=False, label="Run", view=dropdown)
        record = None

        def exists():
            nonlocal record
            from ..elfs_plugin.errors import InvalidInput

            key = ctx.params.get("key") or default
            record = runs.load_record(ctx.dataset, key) if key else None
            if record is None:
                raise InvalidInput(
                    f"There is no ELFS run '{key}' on this dataset." if key else "There are no ELFS runs."
                )

        if check(prop, exists):
            removed = [f"field {record.key}"]
            removed += [f"field {record.embeddings_field}"] if record.owns_embeddings else []
            removed += [f"tag {tag}" for tag in record.tags] + [f"saved view {name}" for name in record.saved_views]
            inputs.view("what", types.Warning(label="This removes: " + ", ".join(removed) + ". It cannot be undone."))

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        key = pick(ctx.params, "key").get("key") or (runs.list_runs(ctx.dataset) or ["elfs"])[-1]
        return runs.delete_run(ctx.dataset, key)

    def after(self, ctx, summary):
        ctx.ops.reload_dataset()
        ctx.ops.notify(f"Run {summary['key']} deleted", variant="success")
