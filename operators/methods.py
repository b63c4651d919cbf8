"""The form of a selection method, built from its typed parameters."""

import fiftyone.operators.types as types

from .base import check

FIELDS = ("labels_field", "locked_tag", "quota")
PREFIX = "param_"


def method_input(ctx, inputs):
    """The method; returns its name."""
    from ..elfs_plugin import selectors

    methods = types.DropdownView()
    for name, details in selectors.available().items():
        methods.add_choice(name, label=name, description=details["purpose"])
    inputs.enum("method", methods.values(), default="elfs", required=False, label="Method", view=methods)
    method = ctx.params.get("method") or "elfs"
    details = selectors.available().get(method)
    if method != "elfs" and details:
        text = f"{details['purpose']} Keeps {selectors.DIRECTIONS[details['direction']]}."
        inputs.view("about", types.Notice(label=f"{text} {details['paper']}".strip()))
    return method


def parameter_inputs(ctx, inputs, method):
    """One input for each parameter of the method; what a user leaves empty is its default."""
    from ..elfs_plugin import selectors

    for parameter in selectors.available()[method]["parameters"]:
        name = PREFIX + parameter.name
        options = {"default": parameter.default, "required": False, "label": parameter.name,
                   "description": parameter.text}  # fmt: skip
        if parameter.kind == "choice":
            prop = inputs.enum(name, list(parameter.choices), **options)
        elif parameter.kind == "flag":
            prop = inputs.bool(name, **options)
        else:
            add = inputs.int if parameter.kind == "integer" else inputs.float
            prop = add(name, **options)
        if ctx.params.get(name) is not None:
            check(prop, parameter.check, ctx.params[name])


def shared_inputs(ctx, inputs):
    """What every method but the plain double-end pruning of a run takes."""
    from ..elfs_plugin import runs
    from ..elfs_plugin.errors import InvalidInput

    quotas = types.DropdownView()
    quotas.add_choice("none", label="none")
    quotas.add_choice("proportional", label="each cluster by its size")
    quotas.add_choice("equal", label="each cluster the same")
    inputs.enum("quota", quotas.values(), default="none", required=False, label="Quota per cluster", view=quotas)
    prop = inputs.float("veto", required=False, label="No near-duplicates above a similarity of",
                        description="Cosine similarity, for example 0.95. Empty: no veto")  # fmt: skip

    def valid():
        veto = ctx.params.get("veto")
        if veto is not None and not -1 < veto < 1:
            raise InvalidInput(f"The similarity must be between -1 and 1, not {veto}.", "veto")

    check(prop, valid)
    fields = types.AutocompleteView(allow_user_input=True)
    for name in runs.truth_fields(ctx.dataset):
        fields.add_choice(name, label=name)
    inputs.str("labels_field", required=False, label="Given labels that may be wrong", view=fields,
               description="For prune4rel, small_loss and grand. Empty: the pseudo-labels")  # fmt: skip
    inputs.str("locked_tag", required=False, label="Tag of images that are labelled already",
               description="They are left out, and the budget counts on top of them")  # fmt: skip


def method_options(params):
    """The keyword arguments of :func:`~..elfs_plugin.runs.choose_coreset` in a form's values."""
    given = {name: params[name] for name in (*FIELDS, "veto") if params.get(name) not in (None, "")}
    values = {name.removeprefix(PREFIX): value for name, value in params.items() if name.startswith(PREFIX)}
    return {**given, "params": {name: value for name, value in values.items() if value is not None}}
