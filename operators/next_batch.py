from functools import partial

import fiftyone.operators.types as types

from .base import ElfsOperator
from .budget_forms import UNITS, budget_of
from .forms import run_input
from .inputs import check, choice_input, pick, seed_input, suggestions_input
from .lately import lately
from .parameters import NAME, without
from .round_forms import problem_of, refuse_beside, texts_input

BATCH = 100
"""Images of a batch that nobody has said otherwise of, where so many are left."""

TARGETS = {
    "uncertainty": "What a model of the labels so far is unsure of",
    "failures": "What is near its failures, or those of your own model",
    "rare": "Classes with the fewest labels",
}
FAILURES = "failures"


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
        labelling, number = state.labelling_of(run.record), len(state.rounds_of(run.record))
        self._budget(ctx, inputs, run, _shown_free(ctx))
        if labelling is None:
            self._first(ctx, inputs, run)
        else:
            self._later(ctx, inputs, labelling, number)
        problem = problem_of(_check, ctx, run.record, number)
        refuse_beside(inputs, problem, "key" if labelling else "other_names")
        seed_input(inputs)

    def _budget(self, ctx, inputs, run, free):
        from ..elfs_plugin.runs.rounds import free_images

        choice_input(inputs, "budget_unit", UNITS, "images", "Budget in")
        default = 10 if ctx.params.get("budget_unit") == "percent" else min(BATCH, free)
        text = f"Of the {free:,} that are neither labelled nor in a batch"
        prop = inputs.float("budget", default=default, required=False, label="Images to label", description=text)
        check(prop, lambda: free_images.resolve(_budget_of(ctx.params, free), free))

    def _first(self, ctx, inputs, run):
        from ..elfs_plugin.runs.rounds import setting_up

        inputs.str(
            "labels_field",
            default=setting_up.DEFAULT_FIELD,
            required=False,
            label="Field of the labels",
            description="A field of classifications: labels that it has already are read. Or the name of a new one",
        )
        text = "What annotators choose from, with commas between. Empty: the classes in the field"
        texts_input(ctx, inputs, "classes", "Classes", text)
        inputs.int(
            "golden",
            default=setting_up.resolve_golden(None, run.stages["scores"]["scored"]),
            required=False,
            label="Golden set",
            description="Images drawn at random once, labelled with the first batch, never chosen: they measure",
        )
        self._mix(ctx, inputs, ctx.params.get("labels_field") or setting_up.DEFAULT_FIELD)
        inputs.bool("other_names", default=False, required=False, label="Other names for tags and views")
        if ctx.params.get("other_names"):
            _name_inputs(inputs)

    def _later(self, ctx, inputs, labelling, number):
        classes = ", ".join(labelling.classes[:12]) + (" …" if len(labelling.classes) > 12 else "")
        text = f"Round {number}. Labels come to '{labelling.labels_field}'; classes: {classes}."
        found = _known(ctx, labelling.labels_field)
        inputs.view("what", types.Notice(label=text if len(found) > 1 else f"{text} {_without_labels(found)}"))
        self._targets(ctx, inputs)
        texts_input(ctx, inputs, "classes", "More classes", "To be added, with commas between")

    def _mix(self, ctx, inputs, field):
        """Of the first batch: where there are labels already, it need not be coverage alone."""
        found = _known(ctx, field)
        if len(found) < 2:
            inputs.view("what", types.Notice(label=_without_labels(found)))
            return
        text = f"{sum(found.values()):,} images have a label in '{field}' already, of {len(found):,} classes."
        inputs.view("what", types.Notice(label=f"{text} What they teach can decide on this batch."))
        self._targets(ctx, inputs)

    def _targets(self, ctx, inputs):
        from ..elfs_plugin.runs.rounds.setting_up import COVERAGE_SHARE

        inputs.float(
            "share",
            default=COVERAGE_SHARE,
            min=0,
            max=1,
            required=False,
            label="Share that covers",
            description="From 0 to 1, of the batch: images that stand for others. The rest is targeted",
        )
        choice_input(inputs, "target", TARGETS, next(iter(TARGETS)), "Targets")
        if ctx.params.get("target") == FAILURES:
            self._failures(ctx, inputs)
        if not isinstance(ctx.params.get("class_budgets"), dict):  # of a call from Python
            text = "Of single classes, as far as a model can tell: cat=20, dog=10. Empty: as it comes"
            prop = inputs.str("class_budgets", required=False, label="Budgets of classes", description=text)
            check(prop, _check_class_budgets, ctx)

    def _failures(self, ctx, inputs):
        tags = ctx.dataset.distinct("tags")
        text = "Images that your own model got wrong. Empty: those of a model of the labels so far"
        prop = suggestions_input(inputs, "failures_tag", tags[:100], "Tag of failures", description=text)
        check(prop, _check_tag, ctx.params.get("failures_tag"), tags)

    def check_together(self, ctx, params):
        from ..elfs_plugin.errors import InvalidInput

        if params.get("names") and _single_names(params):
            raise InvalidInput("Give other names by names={…} or one by one, not both.", "names")
        if params.get("target") != FAILURES:
            without(params, ["failures_tag"], f"it is for target='{FAILURES}'.")

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin.runs.rounds.choosing import next_batch

        failures = ("failures_tag",) if ctx.params.get("target") == FAILURES else ()
        return next_batch(
            ctx.dataset,
            budget=_budget_of(ctx.params, _free(ctx)),
            names=_names(ctx.params),
            **pick(ctx.params, "key", "labels_field", "classes", "golden", "share", "target", "class_budgets"),
            **pick(ctx.params, *failures, "seed", "device"),
            sinks=sinks,
        )


def _free(ctx):
    """How many images can be chosen."""
    from ..elfs_plugin.runs.rounds import free_images

    return free_images.count(ctx.dataset, ctx.params.get("key", "elfs"), _labels_field(ctx))


def _shown_free(ctx):
    return lately((*_of_run(ctx), "free", _labels_field(ctx)), lambda: _free(ctx))


def _labels_field(ctx):
    from ..elfs_plugin.runs import Run
    from ..elfs_plugin.runs.rounds import setting_up, state

    labelling = state.labelling_of(Run(ctx.dataset, ctx.params.get("key", "elfs")).record)
    return labelling.labels_field if labelling else ctx.params.get("labels_field") or setting_up.DEFAULT_FIELD


def _of_run(ctx):
    """What tells a run as it is now from what it was: FiftyOne notes when a sample was changed, and has an index."""
    collection = ctx.dataset._sample_collection
    newest = collection.find_one({}, {"last_modified_at": 1}, sort=[("last_modified_at", -1)]) or {}
    now = collection.estimated_document_count(), newest.get("last_modified_at")
    return str(ctx.dataset._doc.id), ctx.params.get("key", "elfs"), *now


def _budget_of(params, free):
    """The budget of the parameters; where there is none :data:`BATCH`."""
    if "budget" in params or params.get("budget_unit") == "percent":
        return budget_of(params)
    return min(BATCH, free)


def _check(ctx, record, number):
    """Refuses what the rounds of a run cannot have."""
    from ..elfs_plugin.runs.rounds import setting_up

    asked = (ctx.params.get(name) for name in ("labels_field", "classes", "golden"))
    labelling = setting_up.check(ctx.dataset, record, *asked, _names(ctx.params))
    setting_up.check_names(ctx.dataset, record, labelling.called, number)


def _known(ctx, field):
    """{class: images} that this batch can learn from, for the form."""
    from ..elfs_plugin.runs.rounds import known_labels

    count = partial(known_labels.by_class, ctx.dataset, ctx.params.get("key", "elfs"), field)
    return lately((*_of_run(ctx), "known", field), count)


def _without_labels(found):
    """Why all of a batch is coverage."""
    have = f"All labels so far are of the class '{next(iter(found))}'" if found else "No image is labelled yet"
    return f"{have}, so all of this batch covers the images. Labels of two classes are needed for targets."


def _check_class_budgets(ctx):
    from ..elfs_plugin.errors import ElfsError
    from ..elfs_plugin.pruning.zones import resolve_budget
    from ..elfs_plugin.rounds import class_budgets

    wanted = class_budgets.as_mapping(ctx.params.get("class_budgets"))
    if not wanted:
        return
    free = _shown_free(ctx)
    try:
        budget = resolve_budget(_budget_of(ctx.params, free), free)
    except ElfsError:  # told beside the budget
        return
    class_budgets.checked(wanted, budget)


def _check_tag(tag, tags):
    from ..elfs_plugin.errors import InvalidInput

    if tag and tag not in tags:
        raise InvalidInput(f"No image has the tag '{tag}'.", "failures_tag")


def _names(params):
    """Names of tags and views that are not the usual ones, or None."""
    if params.get("other_names") is False:  # a form sends what was typed before its box was cleared
        return params.get("names") or None
    return params.get("names") or _single_names(params) or None


def _single_names(params):
    return {name.removeprefix(NAME): value for name, value in params.items() if name.startswith(NAME)}


def _name_inputs(inputs):
    from ..elfs_plugin.runs.rounds.names import NAMES, RoundNames

    usual = RoundNames()
    for name in NAMES:
        label = name.replace("_", " ").capitalize()
        inputs.str(f"{NAME}{name}", default=getattr(usual, name), required=False, label=label)
