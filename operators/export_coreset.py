import fiftyone.operators.types as types

from .base import ElfsOperator
from .forms import pick, run_input


class ExportCoreset(ElfsOperator):
    operator = "export_coreset"
    title = "Export coreset"
    description = "Writes the coreset (or what was pruned) as a list, a folder of images or a FiftyOne dataset"
    takes = ("format", "zone", "path", "overwrite")
    long = False
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.runs.export import EXPORT_FORMATS
        from ..elfs_plugin.runs.views import ZONES

        run_input(ctx, inputs, "selection", "an export")
        formats = types.RadioGroup()
        for name, label in EXPORT_FORMATS.items():
            formats.add_choice(name, label=label)
        inputs.enum("format", formats.values(), default="csv", required=False, label="Format", view=formats)
        inputs.enum("zone", list(ZONES), default="coreset", required=False, label="What")
        path = inputs.str("path", required=False, label="Path",
                          description="Absolute path where the App runs: a file for CSV, else a folder")  # fmt: skip
        if not ctx.params.get("path"):
            path.invalid = True
            path.error_message = "Give an absolute path to write to."
        inputs.bool("overwrite", default=False, required=False, label="Overwrite what is there")

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        return runs.export_coreset(ctx.dataset, **pick(ctx.params, "key", "format", "zone", "path", "overwrite"))

    def after(self, ctx, summary):
        ctx.ops.notify(f"{summary['exported']:,} images exported to {summary['path']}", variant="success")
