from .base import ElfsOperator
from .budget_forms import UNITS, budget_of
from .forms import output_inputs, run_input
from .inputs import check, checked, choice_input, pick, suggestions_input


class ChooseImages(ElfsOperator):
    operator = "choose_images"
    title = "Choose images by their objects"
    description = "Images whose objects stand for most of all objects, within a budget; on a dataset of objects"
    takes = ("budget_unit", "budget", "cost", "neighbors", "locked_tag", "tag", "view_name", "write_back")
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.runs.names import choice_tag
        from ..elfs_plugin.runs.object_costs import COSTS, METHOD, check_cost, check_objects

        run = run_input(ctx, inputs, "scores", "choosing images")
        text = f"{', '.join(f'{name}: {what}' for name, what in COSTS.items())}; or a field of numbers of the images"
        prop = suggestions_input(inputs, "cost", list(COSTS), "Cost", description=text)
        if not check(prop, check_objects, ctx.dataset):
            return
        check(prop, check_cost, ctx.dataset, ctx.params.get("cost") or "image")
        choice_input(inputs, "budget_unit", {**UNITS, "images": "Cost"}, "percent", "Budget in")
        prop = inputs.float(
            "budget", default=10, required=False, label="Budget", description="What the images may cost together"
        )
        checked(prop, lambda: budget_of(ctx.params))
        inputs.int("neighbors", default=30, required=False, label="Neighbours", description="of an object, that count")
        inputs.str(
            "locked_tag", required=False, label="Tag of labelled objects", description="Their images count as chosen"
        )
        if run is not None:
            output_inputs(ctx, inputs, run.key, choice_tag(run.key, METHOD))
        text = "Tags and a view of the images, and the results of all objects"
        inputs.bool("write_back", default=True, required=False, label="Write the results back", description=text)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        chosen = pick(ctx.params, "key", "cost", "neighbors", "locked_tag", "tag", "view_name", "write_back")
        return runs.choose_images(ctx.dataset, **chosen, budget=budget_of(ctx.params), sinks=sinks)
