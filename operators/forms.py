"""The inputs that several forms share, and how they are read back."""

import fiftyone.operators.types as types

from .base import check

ENCODERS = (
    ("pixels", "Thumbnails (no model, no download)"),
    ("timm:vit_base_patch16_224.dino", "DINO ViT-B/16 (the paper's encoder)"),
    ("timm:vit_small_patch14_dinov2.lvd142m", "DINOv2 ViT-S/14"),
    ("open_clip:ViT-B-32/openai", "CLIP ViT-B/32"),
    ("open_clip:ViT-L-14/openai", "CLIP ViT-L/14"),
    ("zoo:clip-vit-base32-torch", "FiftyOne zoo: CLIP"),
    ("zoo:dinov2-vits14-torch", "FiftyOne zoo: DINOv2"),
)


def key_input(ctx, inputs):
    """A run key to create or to run again."""
    from ..elfs_plugin.runs.names import check_key_text
    from ..elfs_plugin.runs.record import check_key

    prop = inputs.str(
        "key",
        default="elfs",
        required=False,
        label="Run key",
        description="Names the run and the field its results go to",
    )
    key = ctx.params.get("key") or "elfs"
    # A run that exists may have a name that a new one may not.
    if ctx.dataset.has_run(key) or check(prop, check_key_text, key):
        check(prop, check_key, ctx.dataset, key)
    return key


def run_input(ctx, inputs, stage, needed_by):
    """An existing run in which ``stage`` is finished."""
    from ..elfs_plugin import runs

    keys = runs.list_runs(ctx.dataset)
    dropdown = types.DropdownView()
    for key in keys:
        dropdown.add_choice(key, label=key)
    default = "elfs" if "elfs" in keys or not keys else keys[-1]
    prop = inputs.str("key", default=default, required=False, label="Run", view=dropdown)
    key = ctx.params.get("key") or default
    return key, check(prop, runs.Run(ctx.dataset, key).require, stage, needed_by)


def encoder_inputs(ctx, inputs):
    view = types.AutocompleteView(allow_user_input=True)
    for value, label in ENCODERS:
        view.add_choice(value, label=value, description=label)
    prop = inputs.str(
        "encoder",
        default="pixels",
        required=False,
        label="Encoder",
        view=view,
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
        hint = did_you_mean(encoder, [name for name, _ in ENCODERS])
        raise MissingModel(
            f"Unknown encoder '{encoder[:60]}'. Use pixels, timm:<model>, open_clip:<model>/<tag> or "
            f"zoo:<FiftyOne zoo model>.{hint}"
        )


def check_weights(path, encoder):
    import os

    from ..elfs_plugin.errors import InvalidInput, MissingModel

    if path and not takes_weights(encoder):
        raise InvalidInput(
            f"A weights file goes with an encoder timm:<model> or open_clip:<model>/<tag>; {encoder} takes none. Name "
            "the encoder, or leave the weights out.",
            "weights",
        )
    if path and not os.path.isfile(os.path.expanduser(path)):
        raise MissingModel(f"There is no file {path}.")


def vector_field_input(ctx, inputs, collection, name="embeddings_field", key=None):
    """One of the dataset's vector fields."""
    from ..elfs_plugin import runs
    from ..elfs_plugin.errors import InvalidInput

    found = runs.vector_fields(collection)
    record = runs.load_record(ctx.dataset, key) if key else None
    default = record.embeddings_field if record and record.embeddings_field else (found[0] if found else None)
    dropdown = types.DropdownView()
    for field in found:
        dropdown.add_choice(field, label=field)
    prop = inputs.str(
        name,
        default=default,
        required=False,
        label="Embeddings",
        view=dropdown,
        description="A vector field of the dataset",
    )

    def exists():
        chosen = ctx.params.get(name) or default
        if chosen is None:
            raise InvalidInput("The dataset has no vector field. Use ELFS: Compute embeddings first.")
        large = record is not None and chosen == record.embeddings_field
        if chosen not in found and not large:
            runs.check_vector_field(collection, chosen)

    check(prop, exists)


def neighbors_input(inputs):
    inputs.int("neighbors", required=False, label="Neighbours", description="Empty: 50, fewer for small clusters")


def clusters_input(ctx, inputs, collection):
    from ..elfs_plugin.clustering.pseudo_labels import validate_num_clusters
    from ..elfs_plugin.runs.operations import suggested_clusters

    mode = types.RadioGroup()
    mode.add_choice("manual", label="Set by hand")
    mode.add_choice("auto", label="Estimate from the embeddings")
    inputs.enum("clusters_mode", mode.values(), default="manual", required=False, label="Clusters", view=mode)
    if clusters_of(ctx.params, collection) == "auto":
        note = "Three criteria estimate how many groups the embeddings form. A number of classes you know is better."
        inputs.view("clusters_note", types.Notice(label=note))
    else:
        default = suggested_clusters(collection)
        prop = inputs.int(
            "num_clusters",
            default=default,
            required=False,
            label="Number of clusters",
            description="The number of classes you expect",
        )
        check(prop, validate_num_clusters, ctx.params.get("num_clusters", default), collection.count())
    preset = types.DropdownView()
    preset.add_choice("auto", label="auto: quick")
    preset.add_choice("quick", label="quick: 8 heads started from k-means, 10 epochs")
    preset.add_choice("published", label="published: 50 heads, 200 epochs: use a GPU")
    inputs.enum("preset", preset.values(), default="auto", required=False, label="Clustering effort", view=preset)


def clusters_of(params, collection):
    """The number of clusters of the parameters, or ``"auto"``."""
    from ..elfs_plugin.runs.operations import suggested_clusters

    given = params.get("num_clusters")
    if params.get("clusters_mode") == "auto" or given == "auto":
        return "auto"
    return given or suggested_clusters(collection)


def budget_inputs(ctx, inputs, n):
    """The budget as a percentage or as a number of images of n; returns it resolved, or None when invalid."""
    from ..elfs_plugin.pruning.zones import resolve_budget

    unit = types.RadioGroup()
    unit.add_choice("percent", label="Percent")
    unit.add_choice("images", label="Images")
    inputs.enum("budget_unit", unit.values(), default="percent", required=False, label="Budget in", view=unit)
    prop = inputs.float(
        "budget", default=10, required=False, label="Budget", description=f"How many of the {n:,} images to keep"
    )
    return (
        resolve_budget(budget_of(ctx.params), n)
        if check(prop, lambda: resolve_budget(budget_of(ctx.params), n))
        else None
    )


def budget_of(params):
    """The budget of the parameters as :func:`resolve_budget` takes it: a float fraction or a whole number.

    Forms send ``budget_unit``; without it (Python) a fraction up to 1 or a count is meant.
    """
    from ..elfs_plugin.errors import InvalidInput
    from ..elfs_plugin.pruning.zones import as_budget

    unit = params.get("budget_unit") or ("percent" if "budget" not in params else None)
    given = params.get("budget", 10)
    value = as_budget(given)
    if isinstance(given, str) and isinstance(value, float):
        unit = None  # a percent sign, or a fraction, says it all
    if value != value:
        raise InvalidInput("The budget must be a number, not nan.", "budget")
    if unit == "percent":
        if not 0 < value <= 100:
            raise InvalidInput(f"The budget must be above 0% and at most 100%; it is {value}%.", "budget")
        return float(value) / 100
    if unit == "images":
        if not float(value).is_integer():
            raise InvalidInput(f"The number of images must be a whole number; it is {value}.", "budget")
        return int(value)
    return value


def beta_inputs(ctx, inputs, budget, n, searched=None):
    """β: found by the search or set by hand; validated against the budget."""
    from ..elfs_plugin.pruning.zones import resolve_beta

    choices = types.RadioGroup()
    auto = "Use the β of the last search" if searched is not None else "Search β on the pseudo-labels"
    choices.add_choice("auto", label=auto if searched is None else f"{auto} ({searched:.2g})")
    choices.add_choice("manual", label="Set β by hand")
    inputs.enum("beta_mode", choices.values(), default="auto", required=False, label="β", view=choices)
    if beta_mode(ctx.params) == "manual":
        prop = inputs.float(
            "beta", default=0.2, required=False, label="β", description="Fraction of all images dropped as too hard"
        )
        if budget is not None:
            check(prop, resolve_beta, ctx.params.get("beta", 0.2), budget, n)


def beta_mode(params):
    """``"auto"`` or ``"manual"``; a β given from Python means manual."""
    return params.get("beta_mode") or ("auto" if params.get("beta") in (None, "auto") else "manual")


def beta_of(params):
    return params.get("beta", 0.2) if beta_mode(params) == "manual" else "auto"


def check_settings(params):
    """Refuses what a call from Python contradicts itself in. A form sends what was typed before its mode changed."""
    from ..elfs_plugin.errors import InvalidInput

    if "beta" in params and params.get("beta_mode", "manual") != "manual":
        mode = params["beta_mode"]
        raise InvalidInput(f"beta={params['beta']} contradicts beta_mode='{mode}'. Leave one out.", "beta")
    clusters = params.get("num_clusters", "auto")
    if clusters != "auto" and params.get("clusters_mode") == "auto":
        raise InvalidInput(f"num_clusters={clusters} contradicts clusters_mode='auto'. Leave one out.", "num_clusters")


def proxy_inputs(ctx, inputs):
    dropdown = types.DropdownView()
    dropdown.add_choice("auto", label="auto: ResNet-18 on a GPU, MLP on a CPU")
    dropdown.add_choice("mlp", label="MLP on the embeddings: seconds")
    dropdown.add_choice("resnet8", label="Small ResNets on the images: minutes, on a CPU too")
    dropdown.add_choice("resnet18", label="ResNet-18 on the images, as in the paper: use a GPU")
    dropdown.add_choice("resnet18_fast", label="ResNet-18 on the images, 30 epochs: use a GPU")
    prop = inputs.enum(
        "proxy",
        _with_timm(dropdown.values(), ctx.params.get("proxy")),
        default="auto",
        required=False,
        label="Proxy",
        view=dropdown,
    )
    _check_timm(prop, ctx.params.get("proxy"))
    scores = types.DropdownView()
    scores.add_choice("aum", label="AUM")
    scores.add_choice("forgetting", label="forgetting")
    scores.add_choice("el2n", label="EL2N")
    scores.add_choice("dual", label="DUAL (meant for β = 0)")
    inputs.enum("score", scores.values(), default="aum", required=False, label="Rank by", view=scores)
    inputs.int(
        "epochs",
        required=False,
        label="Epochs",
        description="Empty: the proxy's own, 10 for the MLP and the small ResNets",
    )


def search_inputs(ctx, inputs, name="proxy"):
    """What a β search trains (the parameter ``name``), and how often."""
    proxies = types.DropdownView()
    proxies.add_choice("auto", label="auto: by what the scores were made from, embeddings or images")
    proxies.add_choice("mlp", label="a model on these embeddings: seconds")
    proxies.add_choice("resnet8", label="a network on the images, from scratch: minutes, on a CPU too")
    proxies.add_choice("resnet18", label="the same, searched with ResNet-18 as in the paper: use a GPU")
    prop = inputs.enum(
        name,
        _with_timm(proxies.values(), ctx.params.get(name)),
        default="auto",
        required=False,
        label="What you will train on the labels",
        view=proxies,
        description="β is searched for that: a network that learns from the images alone can need a far "
        "larger one than a model on embeddings",
    )
    _check_timm(prop, ctx.params.get(name))
    repeats_input(ctx, inputs)


def _with_timm(choices, given):
    """The choices of a proxy, and any timm model that was named from Python."""
    return [*choices, given] if str(given).startswith("timm:") else choices


def _check_timm(prop, given):
    if str(given).startswith("timm:"):
        from ..elfs_plugin.proxy.kinds import resolve_proxy

        check(prop, resolve_proxy, given)


def repeats_input(ctx, inputs):
    whole_number_input(
        ctx, inputs, "repeats", 3, 1, 50, "Repeats of the search", "Held-out splits per β; more give a steadier curve"
    )


def whole_number_input(ctx, inputs, name, default, low, high, label, description):
    """A whole number from ``low`` to ``high``."""
    from ..elfs_plugin.errors import InvalidInput

    prop = inputs.int(name, default=default, required=False, label=label, description=description)

    def valid():
        if not low <= ctx.params.get(name, default) <= high:
            raise InvalidInput(f"{label} must be a whole number from {low} to {high}.", name)

    check(prop, valid)


def seed_input(inputs):
    inputs.int("seed", default=0, required=False, label="Seed", description="Same seed, same result")


def output_inputs(ctx, inputs, key, default_tag=None):
    """Tag and saved view for the coreset; names in use by something else are refused."""
    from ..elfs_plugin.runs import load_record
    from ..elfs_plugin.runs.names import check_tag, check_view_name

    record = load_record(ctx.dataset, key)
    tag, view_name = ctx.params.get("tag") or default_tag, ctx.params.get("view_name")
    prop = inputs.str(
        "tag",
        default=default_tag,
        required=False,
        label="Tag",
        description="Tag the coreset's samples" + ("" if default_tag else " (optional)"),
    )
    if tag:
        check(prop, check_tag, ctx.dataset, tag, record.own_tags if record else ())
    prop = inputs.str("view_name", required=False, label="Saved view", description="Save the coreset (optional)")
    if view_name:
        check(prop, check_view_name, ctx.dataset, view_name, record.own_views(ctx.dataset) if record else ())


def pick(params, *names):
    """The named parameters that were given (not None, not empty)."""
    return {name: params[name] for name in names if params.get(name) not in (None, "")}
