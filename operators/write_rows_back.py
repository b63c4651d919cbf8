from .base import ElfsOperator
from .forms import run_input
from .inputs import check, pick, suggestions_input
from .parameters import ROW
from .row_forms import row_inputs, row_values


class WriteRowsBack(ElfsOperator):
    operator = "write_rows_back"
    title = "Write results back to where the rows come from"
    description = "Fields, tags and views on the dataset that the frames, groups or objects of this one were taken from"
    takes = ("tag", ROW)
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.runs import written_back

        run = run_input(ctx, inputs, "scores", "writing back")
        known = list(run.record.saved) if run else []
        text = "A coreset of the run: its rows are the chosen ones. Empty: the one that was saved last"
        prop = suggestions_input(inputs, "tag", known, "Tag", description=text)
        if not check(prop, written_back.source_to_write, ctx.dataset):
            return
        before = written_back.restored(run.record) if run and run.record else None
        last_time = before.options if before else None
        row_inputs(ctx, inputs, written_back.kind_of(ctx.dataset).options, last_time)
        if run:
            check(prop, written_back.saved_tag, run.record, ctx.params.get("tag"))

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs
        from ..elfs_plugin.runs import written_back

        options = row_values(ctx.params, written_back.kind_of(ctx.dataset).options) or None
        return runs.write_rows_back(ctx.dataset, **pick(ctx.params, "key", "tag"), options=options, sinks=sinks)
