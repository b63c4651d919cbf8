"""Which embeddings: an encoder to run, or vectors that are there."""

import os

import fiftyone.operators.types as types

from ..elfs_plugin.encoders.known import AUTO, DINOV2, ENCODERS, LITE0, PIXELS
from .inputs import check, choices, suggestions_input
from .parameters import INDEX

WITH_HUB = "Recommended for photographs where a model hub can be reached, as here. Without class labels."
WITHOUT_HUB = (
    "No model hub can be reached from here, so this one, which is installed. It has seen ImageNet's class labels."
)
FOR_TINY = "These images are tiny and grey, as digits are. For photographs take another one."


def encoder_inputs(ctx, inputs, collection):
    recommended = recommended_encoder(collection)
    notes = {PIXELS: FOR_TINY, LITE0: WITHOUT_HUB, DINOV2: WITH_HUB}
    prop = suggestions_input(
        inputs,
        "encoder",
        ENCODERS,
        "Encoder",
        default=recommended,
        described=True,
        description=f"pixels, lite0, timm:<model>, open_clip:<model>/<tag> or zoo:<zoo model>. {notes[recommended]}",
    )
    encoder = ctx.params.get("encoder") or recommended
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


def recommended_encoder(collection):
    """What is taken for the images of a dataset or view where no encoder is named."""
    from ..elfs_plugin.encoders.default import LOOKED_AT, default_encoder

    return default_encoder(collection.sort_by("id").limit(LOOKED_AT).values("filepath"))


def takes_weights(encoder):
    """Whether a local checkpoint can go with the encoder."""
    return encoder.startswith(("timm:", "open_clip:"))


def check_encoder(encoder):
    """Refuses what names no encoder of any family; whether there is such a model, its family knows."""
    from ..elfs_plugin.encoders import lite0
    from ..elfs_plugin.errors import MissingModel
    from ..elfs_plugin.suggestions import did_you_mean

    family, _, model = encoder.partition(":")
    if encoder == LITE0:
        lite0.checkpoint()
    elif encoder not in (PIXELS, AUTO) and not (family in ("timm", "open_clip", "zoo") and model):
        raise MissingModel(
            f"Unknown encoder '{encoder[:60]}'. Use pixels, lite0, timm:<model>, open_clip:<model>/<tag> or "
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


def vectors_input(ctx, inputs, collection, key=None):
    """One of the dataset's vector fields or similarity indexes."""
    from ..elfs_plugin import runs
    from ..elfs_plugin.errors import InvalidInput

    found = runs.vector_fields(collection)
    record = runs.load_record(ctx.dataset, key) if key else None
    offered = {name: name for name in found}
    for name, index in image_indexes(ctx.dataset).items():
        offered[f"{INDEX}{name}"] = f"{name} (similarity index, {index.method})"
    default = _vectors_of(record) or next(iter(offered), None)
    prop = inputs.str(
        "embeddings_field",
        default=default,
        required=False,
        label="Vectors",
        view=choices(types.DropdownView(), offered),
        description="A vector field of the dataset, or a similarity index of FiftyOne's",
    )

    def exists():
        chosen = _vectors_given(ctx.params) or default
        if chosen is None:
            raise InvalidInput("The dataset has no vector field. Use ELFS: Compute embeddings first.")
        if chosen.startswith(INDEX):
            runs.find_index(ctx.dataset, chosen.removeprefix(INDEX))
            return
        large = record is not None and chosen == record.embeddings_field
        if chosen not in found and not large:
            runs.check_vector_field(collection, chosen)

    check(prop, exists)


def image_indexes(dataset):
    """{brain key: index} of the similarity indexes of whole images."""
    from ..elfs_plugin import runs

    return {key: index for key, index in runs.similarity_indexes(dataset).items() if not index.patches_field}


def _vectors_of(record):
    """The choice that names the vectors of a run (its record, or None)."""
    if record is None:
        return None
    return f"{INDEX}{record.similarity_index}" if record.similarity_index else record.embeddings_field


def _vectors_given(params):
    index = params.get("similarity_index")
    return f"{INDEX}{index}" if index else params.get("embeddings_field")


def uses_vectors(params):
    """Whether a run takes vectors that are there in place of an encoder."""
    return params.get("source", "field" if "similarity_index" in params else "encoder") == "field"
