from .base import ElfsOperator
from .encoder_forms import vectors_input
from .forms import check_settings, clusters_input, clusters_of, key_input, neighbors_input
from .inputs import pick, seed_input


class ComputePseudoLabels(ElfsOperator):
    operator = "compute_pseudo_labels"
    title = "Compute pseudo-labels"
    description = "Clusters embeddings by TEMI deep clustering into pseudo-labels"
    distributes = True
    takes = (
        "embeddings_field",
        "similarity_index",
        "clusters_mode",
        "num_clusters",
        "preset",
        "neighbors",
        "seed",
        "device",
    )
    minimum = 2

    def form(self, ctx, inputs, collection):
        key = key_input(ctx, inputs)
        vectors_input(ctx, inputs, collection, key=key)
        clusters_input(ctx, inputs, collection)
        neighbors_input(inputs)
        seed_input(inputs)

    def check_together(self, ctx, params):
        check_settings(params)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(
            ctx.params, "key", "embeddings_field", "similarity_index", "neighbors", "preset", "seed", "device"
        )
        clusters = clusters_of(ctx.params, collection)
        return runs.compute_pseudo_labels(collection, num_clusters=clusters, **options, sinks=sinks)
