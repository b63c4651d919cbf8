from .base import ElfsOperator
from .forms import run_input
from .inputs import pick
from .parameters import TOOL
from .round_forms import chosen_round, round_input
from .tool_forms import check_options, option_inputs, options_of


class TakeBack(ElfsOperator):
    operator = "take_back"
    title = "Take labels back"
    description = "Takes the finished labels of a round from the labelling tool, and says what they tell"
    takes = ("round", TOOL, "options", "close")
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.runs.rounds.backends.registry import backends
        from ..elfs_plugin.runs.rounds.state import Round

        run = run_input(ctx, inputs, "scores", "taking labels back")
        one = run and round_input(ctx, inputs, run, Round.check_sent)
        if one is None:
            return
        tool = backends().get(one.sent["to"])
        if tool is not None:
            option_inputs(ctx, inputs, tool, one.sent.get("options"), "round")
        inputs.bool(
            "close",
            default=False,
            required=False,
            label="End the round",
            description="What is not labelled goes back to the pool, and can be chosen again",
        )

    def check_together(self, ctx, params):
        check_options(params, _tool_of(ctx))

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin.runs.rounds.returning import take_back

        return take_back(
            ctx.dataset,
            options=options_of(ctx.params, _tool_of(ctx)),
            **pick(ctx.params, "key", "round", "close"),
            sinks=sinks,
        )


def _tool_of(ctx):
    """The tool that the round was sent to; the form has looked whether it was."""
    from ..elfs_plugin.runs.rounds.backends.registry import backend
    from ..elfs_plugin.runs.rounds.state import Round

    return backend(chosen_round(ctx, Round.check_sent).sent["to"])
