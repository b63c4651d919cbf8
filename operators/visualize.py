import fiftyone.operators.types as types

from .base import ElfsOperator
from .forms import check, pick, run_input, seed_input


class Visualize(ElfsOperator):
    operator = "visualize"
    title = "Embedding plot"
    description = "Places the run's images in the plane by UMAP or PCA, for FiftyOne's Embeddings panel"
    takes = ("method", "seed")
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs
        from ..elfs_plugin.encoders.projection import UMAP_LIMIT, check_size

        key, ready = run_input(ctx, inputs, "pseudo_labels", "an embedding plot")
        methods = types.RadioGroup()
        methods.add_choice("auto", label=f"auto: UMAP up to {UMAP_LIMIT:,} images")
        methods.add_choice("umap", label="UMAP: shows groups; minutes for tens of thousands of images")
        methods.add_choice("pca", label="PCA: seconds")
        prop = inputs.enum("method", methods.values(), default="auto", required=False, label="Method", view=methods)
        if ready:
            record = runs.load_record(ctx.dataset, key)
            n = record.stages["pseudo_labels"].get("labelled", 0)
            method = ctx.params.get("method") or "auto"
            if method == "auto":
                method = "umap" if n <= UMAP_LIMIT else "pca"
            if check(prop, check_size, n, method):
                check(prop, runs.check_brain_key, ctx.dataset, record, runs.brain_key_of(key, method))
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        return runs.visualize(ctx.dataset, **pick(ctx.params, "key", "method", "seed"), sinks=sinks)
