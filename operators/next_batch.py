import fiftyone.operators.types as types

from .base import ElfsOperator
from .budget_forms import budget_of
from .forms import run_input
from .inputs import check, choice_input, pick, seed_input, suggestions_input
from .parameters import NAME

BATCH = 100
"""Images of a batch that nobody has said otherwise of."""


class NextBatch(ElfsOperator):
    operator = "next_batch"
    title = "Choose the next batch"
    description = "The images to label in the next round: coverage at first, then also what a model is unsure of"
    takes = (
        "budget",
        "budget_unit",
        "labels_field",
        "classes",
        "golden",
        "share",
        "target",
        "class_budgets",
        "failures_tag",
        "names",
        NAME,
        "other_names",
        "seed",
        "device",
    )
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.runs.rounds import state

        run = run_input(ctx, inputs, "scores", "choosing a batch")
        if run is None:
            return
        labelling = state.labelling_of(run.record)
        inputs.int("budget", default=BATCH, required=False, label="Images to label", description="Of this batch")
        check(inputs.properties["budget"], budget_of, {"budget_unit": "images", "budget": BATCH, **ctx.params})
        if labelling is None:
            self._set_up(ctx, inputs, run)
        else:
            self._mix(ctx, inputs, labelling, len(state.rounds_of(run.record)))
        seed_input(inputs)

    def _set_up(self, ctx, inputs, run):
        from ..elfs_plugin.runs.rounds import setting_up

        n = run.stages["scores"]["scored"]
        inputs.str(
            "labels_field",
            default=setting_up.DEFAULT_FIELD,
            required=False,
            label="Field of the labels",
            description="A field of classifications: labels that it has already are read. Or the name of a new one",
        )
        inputs.str(
            "classes",
            required=False,
            label="Classes",
            description="What annotators choose from, with commas between. Empty: the classes in the field",
        )
        inputs.int(
            "golden",
            default=setting_up.resolve_golden(None, n),
            required=False,
            label="Golden set",
            description="Images drawn at random once, labelled with the first batch, never chosen: they measure",
        )
        inputs.bool("other_names", default=False, required=False, label="Other names for tags and views")
        if ctx.params.get("other_names"):
            _name_inputs(inputs)
        problem = _problem(lambda: setting_up.check(ctx.dataset, run.record, *_asked(ctx.params)))
        if problem is not None:
            from .inputs import refuse

            refuse(inputs.properties.get(problem.field, inputs.properties["classes"]), str(problem))

    def _mix(self, ctx, inputs, labelling, number):
        from ..elfs_plugin.rounds.targets import TARGETS
        from ..elfs_plugin.runs.rounds.choosing import COVERAGE_SHARE

        text = (
            f"Round {number}. Labels come to '{labelling.labels_field}'; classes: {', '.join(labelling.classes[:12])}."
        )
        inputs.view("what", types.Notice(label=text))
        inputs.float(
            "share",
            default=COVERAGE_SHARE,
            required=False,
            label="Share that covers",
            description="From 0 to 1, of the batch: images that stand for others. The rest is targeted",
        )
        choice_input(inputs, "target", TARGETS, next(iter(TARGETS)), "Targets")
        if ctx.params.get("target") == "failures":
            tags = ctx.dataset.distinct("tags")[:100]
            suggestions_input(
                inputs,
                "failures_tag",
                tags,
                "Tag of failures",
                description="Images that your own model got wrong. Empty: those of a model of the labels so far",
            )

    def check_together(self, ctx, params):
        from ..elfs_plugin.errors import InvalidInput

        if params.get("names") and any(name.startswith(NAME) for name in params):
            raise InvalidInput("Give other names by names={…} or one by one, not both.", "names")

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin.runs.rounds.choosing import next_batch

        params = {"budget": BATCH, **({} if "budget" in ctx.params else {"budget_unit": "images"}), **ctx.params}
        if (
            ctx.params.get("budget_unit") is None
            and isinstance(params["budget"], (int, float))
            and params["budget"] > 1
        ):
            params["budget_unit"] = "images"
        return next_batch(
            ctx.dataset,
            budget=budget_of(params),
            names=_names(ctx.params),
            **pick(ctx.params, "key", "labels_field", "classes", "golden", "share", "target", "class_budgets"),
            **pick(ctx.params, "failures_tag", "seed", "device"),
            sinks=sinks,
        )


def _names(params):
    own = {name.removeprefix(NAME): value for name, value in params.items() if name.startswith(NAME)}
    return params.get("names") or own or None


def _asked(params):
    return params.get("labels_field"), params.get("classes"), params.get("golden"), _names(params)


def _name_inputs(inputs):
    from ..elfs_plugin.runs.rounds.names import NAMES, RoundNames

    usual = RoundNames()
    for name in NAMES:
        label = name.replace("_", " ").capitalize()
        inputs.str(f"{NAME}{name}", default=getattr(usual, name), required=False, label=label)


def _problem(function):
    """The error that a function raises on purpose, or None."""
    from ..elfs_plugin.errors import ElfsError

    try:
        function()
    except ElfsError as error:
        return error
    return None
