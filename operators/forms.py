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
    from ..elfs_plugin.runs.record import check_key

    prop = inputs.str("key", default="elfs", required=False, label="Run key",
                      description="Names the run and the field its results go to")  # fmt: skip
    check(prop, check_key, ctx.dataset, ctx.params.get("key") or "elfs")
    return ctx.params.get("key") or "elfs"


def run_input(ctx, inputs, stage, needed_by):
    """An existing run in which ``stage`` is finished."""
    from ..elfs_plugin import runs
    from ..elfs_plugin.runs.record import require_record

    keys = runs.list_runs(ctx.dataset)
    dropdown = types.DropdownView()
    for key in keys:
        dropdown.add_choice(key, label=key)
    default = "elfs" if "elfs" in keys or not keys else keys[-1]
    prop = inputs.str("key", default=default, required=False, label="Run", view=dropdown)
    key = ctx.params.get("key") or default
    return key, check(prop, require_record, ctx.dataset, key, stage, needed_by)


def encoder_inputs(ctx, inputs):
    view = types.AutocompleteView(allow_user_input=True)
    for value, label in ENCODERS:
        view.add_choice(value, label=value, description=label)
    inputs.str("encoder", default="pixels", required=False, label="Encoder", view=view,
               description="pixels, timm:<model>, open_clip:<model>/<tag> or zoo:<FiftyOne zoo model>")  # fmt: skip
    encoder = ctx.params.get("encoder") or "pixels"
    if encoder.startswith(("timm:", "open_clip:")):
        prop = inputs.str("weights", required=False, label="Local weights file",
                          description="A checkpoint on the machine of the App; empty: from the model hub")  # fmt: skip
        check(prop, check_weights, ctx.params.get("weights"))


def embeddings_output_input(ctx, inputs, key):
    """The vector field to write; one that exists and is not this run's is refused."""
    from ..elfs_plugin import runs
    from ..elfs_plugin.runs.record import check_embeddings_field

    default = f"{key}_embeddings"
    prop = inputs.str("embeddings_field", default=default, required=False, label="Field to write the embeddings to")
    record = runs.load_record(ctx.dataset, key)
    check(prop, check_embeddings_field, ctx.dataset, record, ctx.params.get("embeddings_field") or default)


def check_weights(path):
    import os

    from ..elfs_plugin.errors import MissingModel

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
    prop = inputs.str(name, default=default, required=False, label="Embeddings", view=dropdown,
                      description="A vector field of the dataset")  # fmt: skip

    def exists():
        chosen = ctx.params.get(name) or default
        if chosen is None:
            raise InvalidInput("The dataset has no vector field. Use ELFS: Compute embeddings first.")
        large = record is not None and chosen == record.embeddings_field
        if chosen not in found and not large:
            raise InvalidInput(f"'{chosen}' is not a vector field. Vector fields: {', '.join(found) or 'none'}.")

    check(prop, exists)


def clusters_input(ctx, inputs, collection):
    from ..elfs_plugin.clustering import validate_num_clusters
    from ..elfs_plugin.runs.stages import suggested_clusters

    mode = types.RadioGroup()
    mode.add_choice("manual", label="Set by hand")
    mode.add_choice("auto", label="Estimate from the embeddings")
    inputs.enum("clusters_mode", mode.values(), default="manual", required=False, label="Clusters", view=mode)
    if clusters_of(ctx.params, collection) == "auto":
        note = "Three criteria estimate how many groups the embeddings form. A number of classes you know is better."
        inputs.view("clusters_note", types.Notice(label=note))
    else:
        default = suggested_clusters(collection)
        prop = inputs.int("num_clusters", default=default, required=False, label="Number of clusters",
                          description="The number of classes you expect")  # fmt: skip
        check(prop, validate_num_clusters, ctx.params.get("num_clusters", default), collection.count())
    preset = types.DropdownView()
    preset.add_choice("auto", label="auto: quick")
    preset.add_choice("quick", label="quick: 8 heads started from k-means, 10 epochs")
    preset.add_choice("published", label="published: 50 heads, 200 epochs: use a GPU")
    inputs.enum("preset", preset.values(), default="auto", required=False, label="Clustering effort", view=preset)


def clusters_of(params, collection):
    """The number of clusters of the parameters, or ``"auto"``."""
    from ..elfs_plugin.runs.stages import suggested_clusters

    given = params.get("num_clusters")
    if params.get("clusters_mode") == "auto" or given == "auto":
        return "auto"
    return given or suggested_clusters(collection)


def budget_inputs(ctx, inputs, n):
    """The budget as a percentage or as a number of images of n; returns it resolved, or None when invalid."""
    from ..elfs_plugin.pruning import resolve_budget

    unit = types.RadioGroup()
    unit.add_choice("percent", label="Percent")
    unit.add_choice("images", label="Images")
    inputs.enum("budget_unit", unit.values(), default="percent", required=False, label="Budget in", view=unit)
    prop = inputs.float("budget", default=10, required=False, label="Budget",
                        description=f"How many of the {n:,} images to keep")  # fmt: skip
    return resolve_budget(budget_of(ctx.params), n) if check(prop, lambda: resolve_budget(budget_of(ctx.params), n)) \
        else None  # fmt: skip


def budget_of(params):
    """The budget of the parameters as :func:`resolve_budget` takes it: a float fraction or a whole number.

    Forms send ``budget_unit``; without it (Python) a fraction up to 1 or a count is meant.
    """
    from ..elfs_plugin.errors import InvalidInput

    unit = params.get("budget_unit") or ("percent" if "budget" not in params else None)
    value = params.get("budget", 10)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise InvalidInput(f"The budget must be a number, not {value!r}.", "budget")
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
    from ..elfs_plugin.pruning import resolve_beta

    choices = types.RadioGroup()
    auto = "Use the β of the last search" if searched is not None else "Search β on the pseudo-labels"
    choices.add_choice("auto", label=auto if searched is None else f"{auto} ({searched:.2g})")
    choices.add_choice("manual", label="Set β by hand")
    inputs.enum("beta_mode", choices.values(), default="auto", required=False, label="β", view=choices)
    if beta_mode(ctx.params) == "manual":
        prop = inputs.float("beta", default=0.2, required=False, label="β",
                            description="Fraction of all images dropped as too hard")  # fmt: skip
        if budget is not None:
            check(prop, resolve_beta, ctx.params.get("beta", 0.2), budget, n)


def beta_mode(params):
    """``"auto"`` or ``"manual"``; a number given from Python means manual."""
    return params.get("beta_mode") or ("manual" if isinstance(params.get("beta"), (int, float)) else "auto")


def beta_of(params):
    return params.get("beta", 0.2) if beta_mode(params) == "manual" else "auto"


def proxy_inputs(ctx, inputs):
    from ..elfs_plugin.errors import InvalidInput

    dropdown = types.DropdownView()
    dropdown.add_choice("auto", label="auto: ResNet-18 on a GPU, MLP on a CPU")
    dropdown.add_choice("mlp", label="MLP on the embeddings: seconds")
    dropdown.add_choice("resnet8", label="Small ResNets on the images: minutes, on a CPU too")
    dropdown.add_choice("resnet18", label="ResNet-18 on the images, as in the paper: use a GPU")
    dropdown.add_choice("resnet18_fast", label="ResNet-18 on the images, 30 epochs: use a GPU")
    inputs.enum("proxy", dropdown.values(), default="auto", required=False, label="Proxy", view=dropdown)
    scores = types.DropdownView()
    scores.add_choice("aum", label="AUM")
    scores.add_choice("forgetting", label="forgetting")
    scores.add_choice("el2n", label="EL2N")
    scores.add_choice("dual", label="DUAL (meant for β = 0)")
    inputs.enum("score", scores.values(), default="aum", required=False, label="Rank by", view=scores)
    prop = inputs.int("epochs", required=False, label="Epochs",
                      description="Empty: the proxy's own, 10 for the MLP and the small ResNets")  # fmt: skip

    def positive():
        epochs = ctx.params.get("epochs")
        if epochs is not None and (not isinstance(epochs, int) or epochs < 1):
            raise InvalidInput("Epochs must be a whole number from 1.", "epochs")

    check(prop, positive)


def search_inputs(ctx, inputs, name="proxy"):
    """What a β search trains (the parameter ``name``), and how often."""
    proxies = types.DropdownView()
    proxies.add_choice("auto", label="auto: by what the scores were made from, embeddings or images")
    proxies.add_choice("mlp", label="a model on these embeddings: seconds")
    proxies.add_choice("resnet8", label="a network on the images, from scratch: minutes, on a CPU too")
    proxies.add_choice("resnet18", label="the same, searched with ResNet-18 as in the paper: use a GPU")
    inputs.enum(name, proxies.values(), default="auto", required=False, label="What you will train on the labels",
                view=proxies, description="β is searched for that: a network that learns from the images alone can "
                                          "need a far larger one than a model on embeddings")  # fmt: skip
    repeats_input(ctx, inputs)


def repeats_input(ctx, inputs):
    from ..elfs_plugin.errors import InvalidInput

    prop = inputs.int("repeats", default=3, required=False, label="Repeats of the search",
                      description="Held-out splits per β; more give a steadier curve")  # fmt: skip

    def valid():
        repeats = ctx.params.get("repeats", 3)
        if not isinstance(repeats, int) or not 1 <= repeats <= 50:
            raise InvalidInput("Repeats must be a whole number from 1 to 50.", "repeats")

    check(prop, valid)


def whole_number_input(ctx, inputs, name, default, low, high, label, description):
    """A whole number from ``low`` to ``high``."""
    from ..elfs_plugin.errors import InvalidInput

    prop = inputs.int(name, default=default, required=False, label=label, description=description)

    def valid():
        value = ctx.params.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidInput(f"{label} must be a whole number from {low} to {high}.", name)

    check(prop, valid)


def seed_input(inputs):
    inputs.int("seed", default=0, required=False, label="Seed", description="Same seed, same result")


def output_inputs(ctx, inputs, key, default_tag=None):
    """Tag and saved view for the coreset; names in use by something else are refused."""
    from ..elfs_plugin.errors import NameTaken
    from ..elfs_plugin.runs import load_record
    from ..elfs_plugin.runs.fields import writable

    record = load_record(ctx.dataset, key)

    def tag_free():
        tag = ctx.params.get("tag") or default_tag
        mine = record.tags if record else []
        if tag and tag not in mine and tag in writable(ctx.dataset).distinct("tags"):
            raise NameTaken(f"The tag '{tag}' is already in use on this dataset. Choose another tag.", "tag")

    def view_free():
        name = ctx.params.get("view_name")
        mine = record.saved_views if record else []
        if name and name not in mine and ctx.dataset.has_saved_view(name):
            raise NameTaken(f"A saved view '{name}' already exists. Choose another name.", "view_name")

    prop = inputs.str("tag", default=default_tag, required=False, label="Tag",
                      description="Tag the coreset's samples" + ("" if default_tag else " (optional)"))  # fmt: skip
    check(prop, tag_free)
    check(inputs.str("view_name", required=False, label="Saved view", description="Save the coreset (optional)"),
          view_free)  # fmt: skip


def pick(params, *names):
    """The named parameters that were given (not None, not empty)."""
    return {name: params[name] for name in names if params.get(name) not in (None, "")}
