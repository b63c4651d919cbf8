"""Which embeddings: an encoder to run, or vectors that are there."""

import os

import fiftyone.operators.types as types

from .inputs import check, choices, suggestions_input

ENCODERS = {
    "pixels": "Thumbnails (no model, no download)",
    "timm:vit_base_patch16_224.dino": "DINO ViT-B/16 (the paper's encoder)",
    "timm:vit_small_patch14_dinov2.lvd142m": "DINOv2 ViT-S/14",
    "open_clip:ViT-B-32/openai": "CLIP ViT-B/32",
    "open_clip:ViT-L-14/openai": "CLIP ViT-L/14",
    "zoo:clip-vit-base32-torch": "FiftyOne zoo: CLIP",
    "zoo:dinov2-vits14-torch": "FiftyOne zoo: DINOv2",
}


def encoder_inputs(ctx, inputs):
    prop = suggestions_input(
        inputs,
        "encoder",
        ENCODERS,
        "Encoder",
        default="pixels",
        described=True,
        description="pixels, timm:<model>, open_clip:<model>/<tag> or zoo:<zoo model>",
    )
    encoder = ctx.params.get("encoder") or "pixels"
    check(prop, check_encoder, encoder)
    if takes_weights(encoder) or "weights" in ctx.params:
        prop = inputs.str(
            "weights",
            required=False,
            label="Local weights file",
            description="A checkpoint on the machine of the App; empty: from the model hub",
        )
        check(prop, check_weights, ctx.params.get("weights"), encoder)


def embeddings_output_input(ctx, inputs, key):
    """The vector field to write; one that exists and is not this run's is refused."""
    from ..elfs_plugin import runs
    from ..elfs_plugin.runs.names import check_field_name
    from ..elfs_plugin.runs.record import check_embeddings_field

    default = f"{key}_embeddings"
    prop = inputs.str("embeddings_field", default=default, required=False, label="Field to write the embeddings to")
    record = runs.load_record(ctx.dataset, key)
    field = ctx.params.get("embeddings_field") or default
    mine = record is not None and record.owns_embeddings and record.embeddings_field == field
    if mine or check(prop, check_field_name, field, key):
        check(prop, check_embeddings_field, ctx.dataset, record, field)


def takes_weights(encoder):
    """Whether a local checkpoint can go with the encoder."""
    return encoder.startswith(("timm:", "open_clip:"))


def check_encoder(encoder):
    """Refuses what names no encoder of any family; whether there is such a model, its family knows."""
    from ..elfs_plugin.errors import MissingModel
    from ..elfs_plugin.suggestions import did_you_mean

    family, _, model = encoder.partition(":")
    if encoder != "pixels" and not (family in ("timm", "open_clip", "zoo") and model):
        raise MissingModel(
            f"Unknown encoder '{encoder[:60]}'. Use pixels, timm:<model>, open_clip:<model>/<tag> or "
            f"zoo:<FiftyOne zoo model>.{did_you_mean(encoder, ENCODERS)}"
        )


def check_weights(path, encoder):
    from ..elfs_plugin.errors import InvalidInput, MissingModel

    if path and not takes_weights(encoder):
        raise InvalidInput(
            f"A weights file goes with an encoder timm:<model> or open_clip:<model>/<tag>; {encoder} takes none. Name "
            "the encoder, or leave the weights out.",
            "weights",
        )
    if path and not os.path.isfile(os.path.expanduser(path)):
        raise MissingModel(f"There is no file {path}.")


def vector_field_input(ctx, inputs, collection, key=None):
    """One of the dataset's vector fields."""
    from ..elfs_plugin import runs
    from ..elfs_plugin.errors import InvalidInput

    found = runs.vector_fields(collection)
    record = runs.load_record(ctx.dataset, key) if key else None
    default = record.embeddings_field if record and record.embeddings_field else (found[0] if found else None)
    prop = inputs.str(
        "embeddings_field",
        default=default,
        required=False,
        label="Embeddings",
        view=choices(types.DropdownView(), found),
        description="A vector field of the dataset",
    )

    def exists():
        chosen = ctx.params.get("embeddings_field") or default
        if chosen is None:
            raise InvalidInput("The dataset has no vector field. Use ELFS: Compute embeddings first.")
        large = record is not None and chosen == record.embeddings_field
        if chosen not in found and not large:
            runs.check_vector_field(collection, chosen)

    check(prop, exists)
