"""The settings of a kind of rows as inputs, built from its typed parameters."""

from .inputs import check, suggestions_input
from .parameters import ROW

LABELS = {
    "fps": "Frames in a second",
    "longest_side": "Longest side of the images",
    "field": "Field of the objects",
    "crop_side": "Longest side of the pictures of objects",
    "margin": "Margin around the boxes",
    "images": "Tag the images as well",
    "clips": "Clips around the chosen frames",
    "slice": "Slice",
    "vectors": "Vectors",
    "embeddings_field": "Field of vectors",
}

SPREAD = ("gap", "per_parent", "sequence")
"""The rules about parents and times."""


def row_inputs(ctx, inputs, parameters, known=None, suggested=None):
    """One input for each parameter; what a user leaves empty is its default. ``known``: name -> value of a dataset of
    rows that is there already; ``suggested``: name -> values that a text may have."""
    known, suggested = known or {}, suggested or {}
    for parameter in parameters:
        name = ROW + parameter.name
        options = {
            "default": known.get(parameter.name, parameter.default),
            "label": LABELS.get(parameter.name, parameter.name.replace("_", " ").capitalize()),
            "description": parameter.text,
        }
        if parameter.kind == "choice":
            prop = inputs.enum(name, list(parameter.choices), required=False, **options)
        elif parameter.kind == "flag":
            prop = inputs.bool(name, required=False, **options)
        elif parameter.kind == "text":
            prop = suggestions_input(inputs, name, suggested.get(parameter.name, ()), options.pop("label"), **options)
        else:
            prop = (inputs.int if parameter.kind == "integer" else inputs.float)(name, required=False, **options)
        if name in ctx.params:
            check(prop, parameter.check, ctx.params[name])


def row_values(params, parameters):
    """The values that were given, by the names of the parameters."""
    return {p.name: params[ROW + p.name] for p in parameters if params.get(ROW + p.name) is not None}


def kind_parameters(params, without):
    """Refuses parameters of another kind of rows; ``without`` is that of :mod:`.parameters`."""
    from ..elfs_plugin.nouns import KINDS
    from ..elfs_plugin.runs import kinds

    kind = params.get("kind")
    if kind in KINDS:
        own = [ROW + parameter.name for parameter in kinds.kind(kind).parameters]
        foreign = [name for name in params if name.startswith(ROW) and name not in own]
        without(params, foreign, f"'{kind}' has no such setting (it has: {', '.join(own)}).")


def write_back_input(ctx, inputs):
    """Whether results go to the source as well, on a dataset of rows alone."""
    from ..elfs_plugin.runs import source_of, written_back

    source = source_of(ctx.dataset)
    if source is None and not ctx.params.get("write_back"):
        return
    name = "the source" if source is None else f"'{source.name}'"
    prop = inputs.bool("write_back", default=False, required=False, label=f"Write the results back to {name}")
    if ctx.params.get("write_back"):
        check(prop, written_back.source_to_write, ctx.dataset)


def spread_inputs(ctx, inputs):
    """Rules about parents and times, where the samples have them."""
    from ..elfs_plugin.nouns import KINDS
    from ..elfs_plugin.runs import rows_of
    from ..elfs_plugin.selectors.sequences import check_sequence
    from ..elfs_plugin.selectors.spread import PER_PARENT, Spread

    rows = rows_of(ctx.dataset)
    if rows is None:
        return
    words = KINDS[rows.kind]
    prop = suggestions_input(
        inputs,
        "per_parent",
        list(PER_PARENT),
        f"From each {words.parent.one}",
        description="A number: at most that many. proportional: by its size. one: at least one. Empty: any number",
    )
    if "per_parent" in ctx.params:
        check(prop, Spread, _per_parent(ctx.params))
    if not ctx.dataset.has_sample_field("time"):
        return
    prop = inputs.float("gap", required=False, label="Smallest gap, seconds", description="Between two chosen ones")
    if "gap" in ctx.params:
        check(prop, Spread, None, ctx.params["gap"])
    text = f"So many {words.noun.many} one after the other are chosen together. Empty: single ones"
    prop = inputs.int("sequence", required=False, label="Length of a sequence", description=text)
    if "sequence" in ctx.params:
        check(prop, check_sequence, ctx.params["sequence"])


def spread_options(params):
    """The rules of a form's values, as :func:`~..elfs_plugin.runs.choose_coreset` takes them."""
    spread = {"per_parent": _per_parent(params), "gap": params.get("gap")}
    spread = {name: value for name, value in spread.items() if value is not None}
    return {**({"spread": spread} if spread else {}), **{n: params[n] for n in ("sequence",) if params.get(n)}}


def _per_parent(params):
    given = params.get("per_parent")
    return int(given) if isinstance(given, str) and given.strip().isdecimal() else given
