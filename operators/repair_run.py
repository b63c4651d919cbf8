from .base import ElfsOperator
from .forms import run_input
from .inputs import pick


class RepairRun(ElfsOperator):
    operator = "repair_run"
    title = "Finish writing"
    description = "Finishes what an interrupted job had begun to write: scores, zones, tags and views of one state"
    long = False
    uses_view = False

    def form(self, ctx, inputs, collection):
        run_input(ctx, inputs, None, "a repair")

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        return runs.repair_run(ctx.dataset, **pick(ctx.params, "key"), sinks=sinks)

    def after(self, ctx, summary):
        ctx.ops.reload_dataset()
        if summary["deleted"]:
            text = f"The deletion of the run {summary['key']} is complete."
        elif summary["finished"]:
            text = f"The run {summary['key']} is whole again."
        else:
            text = f"Nothing of the run {summary['key']} was left open."
        ctx.ops.notify(text, variant="success")
