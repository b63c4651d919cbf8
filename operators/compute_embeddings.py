from .base import ElfsOperator
from .forms import encoder_inputs, key_input, pick, seed_input


class ComputeEmbeddings(ElfsOperator):
    operator = "compute_embeddings"
    title = "Compute embeddings"
    description = "Embeds images with a foundation model (or as thumbnails) into a vector field"

    def form(self, ctx, inputs, collection):
        key = key_input(ctx, inputs)
        encoder_inputs(ctx, inputs)
        inputs.str("embeddings_field", default=f"{key}_embeddings", required=False, label="Field to write")
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "encoder", "weights", "embeddings_field", "seed", "device")
        return runs.compute_embeddings(collection, **options, sinks=sinks)
