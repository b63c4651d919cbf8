from .base import ElfsOperator
from .forms import run_input
from .inputs import check, choice_input, pick, suggestions_input
from .parameters import without

CHECK_MEDIA_BELOW = 50_000
"""Up to that many samples the form itself compares the path with the paths of all images; the export always does."""


class ExportCoreset(ElfsOperator):
    operator = "export_coreset"
    title = "Export coreset"
    description = "Writes the coreset (or what was pruned) as a list, a folder of images or a FiftyOne dataset"
    takes = ("format", "zone", "tag", "path", "overwrite")
    long = False
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.pruning.zones import ZONES
        from ..elfs_plugin.runs.export import EXPORT_FORMATS, check_saved

        tag = ctx.params.get("tag")
        run = run_input(ctx, inputs, "scores" if tag else "selection", "an export")
        choice_input(inputs, "format", EXPORT_FORMATS, "csv", "Format")
        if not tag:
            inputs.enum("zone", list(ZONES), default="coreset", required=False, label="What")
        if tag or (run and run.record.saved):
            text = "A coreset of this run by its tag. Empty: a zone of the cuts that were saved last"
            known = list(run.record.saved) if run else []
            prop = suggestions_input(inputs, "tag", known, "Tag", description=text)
            if tag and run:
                check(prop, check_saved, run, tag)
        path = inputs.str(
            "path",
            required=False,
            label="Path",
            description="Absolute path where the App runs: a file for CSV, else a folder",
        )
        check(path, _check_path, ctx)
        inputs.bool(
            "overwrite",
            default=False,
            required=False,
            label="Replace an earlier export",
            description="Only what ELFS exported and nobody changed since is ever replaced",
        )

    def check_together(self, ctx, params):
        if params.get("tag"):
            without(params, ("zone",), "the tag says what is exported.")

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        return runs.export_coreset(ctx.dataset, **pick(ctx.params, "key", "format", "zone", "tag", "path", "overwrite"))

    def after(self, ctx, summary):
        from ..elfs_plugin.runs.export import describe

        whole = not (summary["missing"] or summary["deleted"] or summary["kept"])
        ctx.ops.notify(describe(summary), variant="success" if whole else "warning")


def _check_path(ctx):
    from ..elfs_plugin.runs.export_target import check_media, check_target

    params = ctx.params
    format = params.get("format") or "csv"
    # A large export that would be replaced is looked through once, by the export itself.
    target = check_target(params.get("path"), format, overwrite=bool(params.get("overwrite")), thorough=False)
    if ctx.dataset.count() < CHECK_MEDIA_BELOW:
        check_media(ctx.dataset, target, format)
