"""The form of a selection method, built from its typed parameters."""

import fiftyone.operators.types as types

from .inputs import check, choice_input, suggestions_input
from .parameters import PREFIX

FIELDS = ("labels_field", "locked_tag", "quota")
AUTO = "auto"
RECOMMENDED = "The method that is recommended for the budget; the form says which, and why."
SIMILARITY = 0.95
QUOTAS = {"none": "none", "proportional": "each cluster by its size", "equal": "each cluster the same"}
VETO_MODES = {
    "none": "Near-duplicates may enter",
    "similarity": "At most one of a group that is closer than a similarity",
    "quantile": "At most one of a group, counting the closest share of all images",
}
VETO_OF = {"veto": "similarity", "veto_share": "quantile"}
"""The mode in which a parameter is read."""
SHARE = 5.0
"""Percent of the images."""


def method_input(ctx, inputs):
    """The method; returns its name, ``"auto"``, or None when there is no such method. A form begins with ``"auto"``,
    and sends it; a call from Python that names none means ``"elfs"``, see :func:`method_of`."""
    from ..elfs_plugin import selectors

    purposes = {AUTO: RECOMMENDED, **{name: details["purpose"] for name, details in selectors.available().items()}}
    choice_input(inputs, "method", purposes, AUTO, "Method", view=types.DropdownView, described=True)
    method = ctx.params.get("method") or ("elfs" if {"beta", "beta_mode"} & set(ctx.params) else AUTO)
    details = selectors.available().get(method)
    if details is None:
        return AUTO if method == AUTO else None
    if method != "elfs":
        text = f"{details['purpose']} Keeps {selectors.DIRECTIONS[details['direction']]}."
        inputs.view("about", types.Notice(label=f"{text} {details['paper']}".strip()))
    return method


def method_of(params):
    return params.get("method") or "elfs"


def learner_input(inputs):
    """What is going to learn from the labels: the recommendation depends on it."""
    from ..elfs_plugin.selectors.recommend import LEARNERS

    choice_input(inputs, "learner", LEARNERS, "probe", "The labels are for")


def advice_input(ctx, inputs, key, budget):
    """The recommendation for a budget in words, where the budget is valid."""
    from ..elfs_plugin import runs
    from ..elfs_plugin.errors import ElfsError

    if budget is None:
        return
    try:
        found = runs.advice(
            runs.Run(ctx.dataset, key),
            budget,
            learner=ctx.params.get("learner") or "probe",
            locked_tag=ctx.params.get("locked_tag"),
        )
    except ElfsError:  # what is wrong is said where it was typed
        return
    inputs.view("advice", types.Notice(label=str(found)))


def first_advice_input(ctx, inputs, n, budget):
    """The same before there is a run: whether its pseudo-labels can be trusted is not known yet."""
    from ..elfs_plugin.errors import ElfsError
    from ..elfs_plugin.selectors.recommend import recommend

    if budget is None or not n:
        return
    try:
        found = recommend(n, budget, learner=ctx.params.get("learner") or "probe")
    except ElfsError:
        return
    doubt = " If the pseudo-labels turn out to be doubtful, graph_coverage takes its place." * (found.method == "elfs")
    inputs.view("advice", types.Notice(label=f"{found}{doubt}"))


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

    choice_input(inputs, "quota", QUOTAS, "none", "Quota per cluster", view=types.DropdownView)
    veto_inputs(ctx, inputs, key)
    prop = suggestions_input(
        inputs,
        "labels_field",
        runs.truth_fields(ctx.dataset),
        "Given labels that may be wrong",
        description="For prune4rel, small_loss and grand. Empty: the pseudo-labels. For u_herding, those of the images "
        "that are labelled already",
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

    choice_input(inputs, "veto_mode", VETO_MODES, "none", "Near-duplicates")
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
    if method == AUTO:
        given["learner"] = params.get("learner") or "probe"
    return {**given, "params": {name: value for name, value in values.items() if value is not None}}


def parameter_names(method):
    from ..elfs_plugin import selectors

    if method == AUTO:
        return []
    return [parameter.name for parameter in selectors.available()[method]["parameters"]]
