from .base import ElfsOperator
from .encoder_forms import embeddings_output_input, encoder_inputs
from .forms import key_input
from .inputs import pick, seed_input


class ComputeEmbeddings(ElfsOperator):
    operator = "compute_embeddings"
    title = "Compute embeddings"
    description = "Embeds images with a foundation model (or as thumbnails) into a vector field"
    distributes = True
    takes = ("encoder", "weights", "embeddings_field", "seed", "device")

    def form(self, ctx, inputs, collection):
        key = key_input(ctx, inputs)
        encoder_inputs(ctx, inputs, collection)
        embeddings_output_input(ctx, inputs, key)
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "encoder", "weights", "embeddings_field", "seed", "device")
        return runs.compute_embeddings(collection, **options, sinks=sinks)
