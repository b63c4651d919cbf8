from .base import ElfsOperator
from .forms import run_input
from .inputs import pick
from .parameters import TOOL
from .round_forms import round_input
from .tool_forms import option_inputs, options_of


class TakeBack(ElfsOperator):
    operator = "take_back"
    title = "Take labels back"
    description = "Takes the finished labels of a round from the labelling tool, and says what they tell"
    takes = ("round", TOOL, "options", "close")
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.runs.rounds.backends.registry import backends

        run = run_input(ctx, inputs, "scores", "taking labels back")
        one = run and round_input(ctx, inputs, run, lambda one: bool(one.sent))
        if one is None or not one.sent:
            return
        tool = backends().get(one.sent["to"])
        if tool is not None:
            option_inputs(inputs, tool, one.sent.get("options"))
        inputs.bool(
            "close",
            default=False,
            required=False,
            label="End the round",
            description="What is not labelled goes back to the pool, and can be chosen again",
        )

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin.runs import Run
        from ..elfs_plugin.runs.rounds import returning, state
        from ..elfs_plugin.runs.rounds.backends.registry import backends

        record = Run(ctx.dataset, ctx.params.get("key", "elfs")).record
        sent = [one for one in state.rounds_of(record) if one.sent and ctx.params.get("round") in (None, one.number)]
        tool = backends().get(sent[-1].sent["to"]) if sent else None
        return returning.take_back(
            ctx.dataset,
            options=options_of(ctx.params, tool) if tool else None,
            **pick(ctx.params, "key", "round", "close"),
            sinks=sinks,
        )
