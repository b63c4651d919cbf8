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
        row = wrapping(panel, "rows")
        if model.companion is not None:
            label = f"Open the {many} of this dataset"
            row.btn("open_rows", label=label, icon="open_in_new", variant="contained", on_click=self.on_open_rows)
        make = f"Look for new {many} …" if model.companion else f"Make a dataset of its {many} …"
        variant = "outlined" if model.companion else "contained"
        row.btn("make_rows", label=make, icon="burst_mode", variant=variant, on_click=self.on_make_rows)
