from .base import ElfsOperator
from .forms import run_input
from .inputs import check, choice_input, pick, seed_input


class Visualize(ElfsOperator):
    operator = "visualize"
    title = "Embedding plot"
    description = "Places the run's images in the plane by UMAP or PCA, for FiftyOne's Embeddings panel"
    takes = ("method", "seed")
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs
        from ..elfs_plugin.encoders.projection import UMAP_LIMIT, check_size

        run = run_input(ctx, inputs, "pseudo_labels", "an embedding plot")
        methods = {
            "auto": f"auto: UMAP up to {UMAP_LIMIT:,} images",
            "umap": "UMAP: shows groups; minutes for tens of thousands of images",
            "pca": "PCA: seconds",
        }
        prop = choice_input(inputs, "method", methods, "auto", "Method")
        if run is not None:
            n = run.stages["pseudo_labels"].get("labelled", 0)
            method = ctx.params.get("method") or "auto"
            if method == "auto":
                method = "umap" if n <= UMAP_LIMIT else "pca"
            if check(prop, check_size, n, method):
                check(prop, runs.check_brain_key, ctx.dataset, run.record, runs.brain_key_of(run.key, method))
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        return runs.visualize(ctx.dataset, **pick(ctx.params, "key", "method", "seed"), sinks=sinks)
