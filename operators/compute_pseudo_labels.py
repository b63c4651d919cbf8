from .base import ElfsOperator
from .forms import clusters_input, clusters_of, key_input, pick, seed_input, vector_field_input


class ComputePseudoLabels(ElfsOperator):
    operator = "compute_pseudo_labels"
    title = "Compute pseudo-labels"
    description = "Clusters embeddings by TEMI deep clustering into pseudo-labels"

    def form(self, ctx, inputs, collection):
        key = key_input(ctx, inputs)
        vector_field_input(ctx, inputs, collection, key=key)
        clusters_input(ctx, inputs, collection)
        inputs.int("neighbors", required=False, label="Neighbours", description="Empty: 50, fewer for small clusters")
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "embeddings_field", "neighbors", "preset", "seed", "device")
        clusters = clusters_of(ctx.params, collection)
        return runs.compute_pseudo_labels(collection, num_clusters=clusters, **options, sinks=sinks)
