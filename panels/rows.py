"""What the panel shows on a dataset that holds videos or the like: the way to the dataset of its rows."""

import fiftyone.operators.types as types

from .base import guarded, wrapping
from .part import Part


class RowsOf(Part):
    @guarded
    def on_open_rows(self, ctx):
        companion = self.model(ctx).companion
        if companion is not None:
            ctx.ops.open_dataset(companion)

    @guarded
    def on_make_rows(self, ctx):
        self.prompt(ctx, "make_rows")

    @guarded
    def on_write_back(self, ctx):
        self.prompt(ctx, "write_rows_back")

    def render_refused(self, panel, model):
        from ..elfs_plugin.nouns import KINDS

        if model.rows is None:
            alert = types.AlertView(severity="warning", label="ELFS cannot work on this", description=model.message)
            panel.view("refused", alert)
            return
        many = KINDS[model.rows].noun.many
        alert = types.AlertView(severity="info", label=f"ELFS works on the {many}", description=model.message)
        panel.view("refused", alert)
        if model.running:
            self.render_job(panel)
        elif text := _to_tell(model):
            panel.view("message", types.AlertView(severity="warning", **text))
        row = wrapping(panel, "rows")
        if model.companion is not None:
            label = f"Open the {many} of this dataset"
            row.btn("open_rows", label=label, icon="open_in_new", variant="contained", on_click=self.on_open_rows)
        make = f"Look for new {many} …" if model.companion else f"Make a dataset of its {many} …"
        variant = "outlined" if model.companion else "contained"
        options = {"icon": "burst_mode", "variant": variant, "disabled": model.running}
        row.btn("make_rows", label=make, on_click=self.on_make_rows, **options)

    def rows_changed(self, model, drawn):
        """Whether the page of a dataset that holds no images must be drawn anew."""
        started = model.job["started"] if model.job else None
        now = [model.message, model.running, started]
        return now != [drawn["refused"], drawn.get("running"), drawn.get("job")]

    def tell_rows_ended(self, ctx):
        """Tells once how a job that made rows of the images has ended: their page has no place where it could stay."""
        from ..elfs_plugin import runs
        from ..elfs_plugin.runs.companions import offered_kind
        from ..elfs_plugin.runs.jobs import forget_ended, rows_key

        job = runs.read_job(ctx.dataset, rows_key(offered_kind(ctx.dataset)))
        if job is None or job["state"] == "running":
            return
        is_done = job["state"] == "completed"
        text = f"{job['operation']}{': done.' if is_done else ':'} {job['message']}"
        ctx.ops.notify(text, variant="warning" if is_done or job["state"] == "cancelled" else "error")
        forget_ended(job)


def _to_tell(model):
    """What has to be known of the rows as they were made last, as parts of an alert, or None."""
    job = model.job
    if job and job["state"] != "completed":
        return {"label": "The last job did not finish", "description": job["message"]}
    if model.left_out:
        parts = [f"{count:,}: {reason}" for reason, count in model.left_out.items()]
        return {"label": "Not all of it gave rows", "description": "; ".join(parts)}
    return {"label": job["operation"], "description": job["message"]} if job and job["message"] else None
