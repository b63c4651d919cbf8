from .base import ElfsOperator
from .forms import run_input
from .inputs import check, choice_input, pick, suggestions_input, whole_number_input
from .parameters import TOOL
from .round_forms import round_input
from .tool_forms import option_inputs, options_of


class SendBatch(ElfsOperator):
    operator = "send_batch"
    title = "Send a batch"
    description = "Sends the images of a round to be labelled: in the App, Label Studio, CVAT or as files"
    takes = ("round", "to", TOOL, "options", "annotators", "control", "chunk", "prelabels", "weights", "seed")
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.runs.rounds.backends.registry import backends

        run = run_input(ctx, inputs, "scores", "sending a batch")
        one = run and round_input(ctx, inputs, run, lambda one: _is_waiting(one))
        if one is None:
            return
        titles = {name: tool.title for name, tool in backends().items()}
        begun = one.sent.get("to")
        choice_input(inputs, "to", titles, begun or next(iter(titles)), "Send to")
        tool = backends().get(ctx.params.get("to") or begun or next(iter(titles)))
        if tool is None:
            return
        option_inputs(inputs, tool, one.sent.get("options"))
        if tool.people:
            self._people(ctx, inputs)
        self._suggestions(ctx, inputs)

    def _people(self, ctx, inputs):
        from ..elfs_plugin.runs.rounds.sending import annotator_list

        prop = inputs.str(
            "annotators",
            required=False,
            label="Annotators",
            description="Names with commas between: the batch is dealt out so that each gets hard and easy images",
        )
        check(prop, annotator_list, ctx.params.get("annotators"))
        if len(ctx.params.get("annotators") or ()) > 1:
            text = "Images that all of them get, to measure their agreement"
            whole_number_input(ctx, inputs, "control", 0, 0, 1_000_000, "Control set", text)

    def _suggestions(self, ctx, inputs):
        from ..elfs_plugin.runs.rounds.prelabels import CLIP, SOURCES

        suggestions_input(
            inputs,
            "prelabels",
            SOURCES,
            "Suggestions",
            described=True,
            description="Shown to annotators, and never taken for labels. Empty: none. Or a field of classifications",
        )
        if str(ctx.params.get("prelabels")).startswith(CLIP):
            inputs.str(
                "weights",
                required=False,
                label="Weights file",
                description="Path of a local checkpoint. Empty: the weights of that tag are fetched",
            )

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin.runs.rounds.backends.registry import backend
        from ..elfs_plugin.runs.rounds.sending import send_batch

        to = ctx.params.get("to") or "in_app"
        return send_batch(
            ctx.dataset,
            to=to,
            options=options_of(ctx.params, backend(to)),
            **pick(ctx.params, "key", "round", "annotators", "control", "chunk", "prelabels", "weights", "seed"),
            sinks=sinks,
        )


def _is_waiting(one):
    """Whether a round, or a part of it, has not been sent."""
    return not one.sent or any(part.state == "planned" for part in one.parts)
