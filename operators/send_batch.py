from .base import ElfsOperator
from .forms import run_input
from .inputs import check, checked, choice_input, pick, seed_input, suggestions_input, whole_number_input
from .parameters import TOOL
from .round_forms import chosen_round, round_input, texts_input
from .tool_forms import check_options, option_inputs, options_of

ABOUT_PEOPLE = "Names with commas between: the batch is dealt out so that each gets hard and easy images"
ABOUT_SUGGESTIONS = "Shown to annotators, and never taken for labels. Empty: none. Or a field of classifications"


class SendBatch(ElfsOperator):
    operator = "send_batch"
    title = "Send a batch"
    description = "Sends the images of a round to be labelled: in the App, Label Studio, CVAT or as files"
    takes = ("round", "to", TOOL, "options", "annotators", "control", "chunk", "prelabels", "weights", "seed")
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.runs.rounds.backends.registry import backends
        from ..elfs_plugin.runs.rounds.state import Round

        run = run_input(ctx, inputs, "scores", "sending a batch")
        one = run and round_input(ctx, inputs, run, Round.check_unsent)
        if one is None:
            return
        tools, to = backends(), _tool_of(ctx.params, one)
        prop = choice_input(inputs, "to", {name: tool.title for name, tool in tools.items()}, to, "Send to")
        if to not in tools or not check(prop, one.check_unsent, to):
            return
        option_inputs(ctx, inputs, tools[to], one.sent.get("options"), "to")
        if one.sent:  # in part: for whom the rest is, and with which suggestions, is settled
            return
        if tools[to].people:
            self._people(ctx, inputs)
        if tools[to].chunk:
            text = "A part that fails is sent again alone. Fewer, where the server limits what comes at once"
            whole_number_input(ctx, inputs, "chunk", tools[to].chunk, 1, 1_000_000, "Images in one request", text)
        self._suggestions(ctx, inputs)

    def _people(self, ctx, inputs):
        from ..elfs_plugin.runs.rounds.annotators import annotator_list

        prop = texts_input(ctx, inputs, "annotators", "Annotators", ABOUT_PEOPLE)
        found = checked(prop, annotator_list, ctx.params.get("annotators"))
        if len(found or ()) > 1:
            text = "Images that all of them get, to measure their agreement"
            whole_number_input(ctx, inputs, "control", 0, 0, 1_000_000, "Control set", text)
            seed_input(inputs)

    def _suggestions(self, ctx, inputs):
        from ..elfs_plugin.runs.rounds.prelabels import CLIP, SOURCES

        suggestions_input(inputs, "prelabels", SOURCES, "Suggestions", described=True, description=ABOUT_SUGGESTIONS)
        if str(ctx.params.get("prelabels")).startswith(CLIP):
            text = "Path of a local checkpoint. Empty: the weights of that tag are fetched"
            inputs.str("weights", required=False, label="Weights file", description=text)

    def check_together(self, ctx, params):
        from ..elfs_plugin.runs.rounds.annotators import annotator_list, check_people
        from ..elfs_plugin.runs.rounds.backends.registry import backend

        tool = backend(_tool_of(params, _round_of(ctx)))
        check_options(params, tool)
        check_people(tool, annotator_list(params.get("annotators")), params.get("control", 0))

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin.runs.rounds.backends.registry import backend
        from ..elfs_plugin.runs.rounds.sending import send_batch

        one = _round_of(ctx)
        to = _tool_of(ctx.params, one)
        tool = backend(to)
        return send_batch(
            ctx.dataset,
            to=to,
            round=one.number,
            options=options_of(ctx.params, tool),
            **_people_of(ctx.params, tool),
            **pick(ctx.params, "key", "chunk", "prelabels", "weights", "seed"),
            sinks=sinks,
        )


def _round_of(ctx):
    from ..elfs_plugin.runs.rounds.state import Round

    return chosen_round(ctx, Round.check_unsent)


def _people_of(params, tool):
    """Annotators and their control set, where there can be any: a form sends what was typed before another choice."""
    from ..elfs_plugin.runs.rounds.annotators import annotator_list

    people = annotator_list(params.get("annotators")) if tool.people else []
    return {"annotators": people, "control": params.get("control", 0) if len(people) > 1 else 0}


def _tool_of(params, one):
    """The name of the tool: the one that was chosen, else the one that a part of the round has been sent to."""
    from ..elfs_plugin.runs.rounds.backends.registry import backends

    return params.get("to") or one.sent.get("to") or next(iter(backends()))
