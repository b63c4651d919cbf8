"""The form of a selection method, built from its typed parameters."""

import fiftyone.operators.types as types

from .base import check
from .parameters import PREFIX

FIELDS = ("labels_field", "locked_tag", "quota")
SIMILARITY = 0.95
VETO_OF = {"veto": "similarity", "veto_share": "quantile"}
"""The mode in which a parameter is read."""
SHARE = 5.0
"""Percent of the images."""


def method_input(ctx, inputs):
    """The method; returns its name, or None when there is no such method."""
    from ..elfs_plugin import selectors

    methods = types.DropdownView()
    for name, details in selectors.available().items():
        methods.add_choice(name, label=name, description=details["purpose"])
    inputs.enum("method", methods.values(), default="elfs", required=False, label="Method", view=methods)
    method = ctx.params.get("method") or "elfs"
    details = selectors.available().get(method)
    if details is None:
        return None
    if method != "elfs" and details:
        text = f"{details['purpose']} Keeps {selectors.DIRECTIONS[details['direction']]}."
        inputs.view("about", types.Notice(label=f"{text} {details['paper']}".strip()))
    return method


def parameter_inputs(ctx, inputs, method):
    """One input for each parameter of the method; what a user leaves empty is its default."""
    from ..elfs_plugin import selectors

    for parameter in selectors.available()[method]["parameters"]:
        name = PREFIX + parameter.name
        options = {
            "default": parameter.default,
            "required": False,
            "label": parameter.name,
            "description": parameter.text,
        }
        if parameter.kind == "choice":
            prop = inputs.enum(name, list(parameter.choices), **options)
        elif parameter.kind == "flag":
            prop = inputs.bool(name, **options)
        else:
            add = inputs.int if parameter.kind == "integer" else inputs.float
            prop = add(name, **options)
        if name in ctx.params and check(prop, parameter.check, ctx.params[name]):
            ctx.params[name] = parameter.check(ctx.params[name])


def shared_inputs(ctx, inputs, key):
    """What every method but the plain double-end pruning of a run takes."""
    from ..elfs_plugin import runs

    quotas = types.DropdownView()
    quotas.add_choice("none", label="none")
    quotas.add_choice("proportional", label="each cluster by its size")
    quotas.add_choice("equal", label="each cluster the same")
    inputs.enum("quota", quotas.values(), default="none", required=False, label="Quota per cluster", view=quotas)
    veto_inputs(ctx, inputs, key)
    fields = types.AutocompleteView(allow_user_input=True)
    for name in runs.truth_fields(ctx.dataset):
        fields.add_choice(name, label=name)
    prop = inputs.str(
        "labels_field",
        required=False,
        label="Given labels that may be wrong",
        view=fields,
        description="For prune4rel, small_loss and grand. Empty: the pseudo-labels",
    )
    if "labels_field" in ctx.params:
        check(prop, runs.truth_path, ctx.dataset, ctx.params["labels_field"])
    prop = inputs.str(
        "locked_tag",
        required=False,
        label="Tag of images that are labelled already",
        description="They are left out, and the budget counts on top of them",
    )
    if "locked_tag" in ctx.params:
        check(prop, runs.check_locked_tag, ctx.dataset, ctx.params["locked_tag"])


def veto_inputs(ctx, inputs, key):
    """The veto against near-duplicates, with what it would leave."""
    from ..elfs_plugin import runs
    from ..elfs_plugin.neighbors.near_duplicates import check_veto

    modes = types.RadioGroup()
    modes.add_choice("none", label="Near-duplicates may enter")
    modes.add_choice("similarity", label="At most one of a group that is closer than a similarity")
    modes.add_choice("quantile", label="At most one of a group, counting the closest share of all images")
    inputs.enum("veto_mode", modes.values(), default="none", required=False, label="Near-duplicates", view=modes)
    mode = veto_mode(ctx.params)
    if mode not in ("similarity", "quantile"):
        return
    if mode == "similarity":
        prop = inputs.float("veto", default=SIMILARITY, required=False, label="Cosine similarity")
    else:
        prop = inputs.float(
            "veto_share",
            default=SHARE,
            required=False,
            label="Closest share, %",
            description="Of the images, by similarity to their nearest neighbour",
        )
    if check(prop, check_veto, veto_of(ctx.params)):
        preview = runs.preview_veto(runs.Run(ctx.dataset, key), veto_of(ctx.params))
        if preview is not None:
            inputs.view("veto_preview", types.Notice(label=preview.sentence))


def veto_mode(params):
    """The form's choice; a call from Python gives ``veto`` alone."""
    return params.get("veto_mode") or ("none" if params.get("veto") is None else "similarity")


def veto_of(params):
    """The veto of a form's values, as :func:`~..elfs_plugin.selectors.select` takes it."""
    mode = veto_mode(params)
    if mode == "quantile":
        share = params.get("veto_share")
        return {"quantile": 1 - (SHARE if share is None else share) / 100}
    veto = params.get("veto")
    return {"none": None, "similarity": SIMILARITY if veto is None else veto}[mode]


def method_options(params, method):
    """The keyword arguments of :func:`~..elfs_plugin.runs.choose_coreset` in a form's values.

    What was typed for another method before this one was chosen is left out.
    """
    given = {name: params[name] for name in FIELDS if params.get(name) not in (None, "")}
    if (veto := veto_of(params)) is not None:
        given["veto"] = veto
    values = {name: params.get(f"{PREFIX}{name}") for name in parameter_names(method)}
    return {**given, "params": {name: value for name, value in values.items() if value is not None}}


def parameter_names(method):
    from ..elfs_plugin import selectors

    return [parameter.name for parameter in selectors.available()[method]["parameters"]]
