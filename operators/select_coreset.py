from .base import ElfsOperator
from .budget_forms import beta_inputs, beta_of, budget_inputs, budget_of
from .forms import check_settings, output_inputs, run_input
from .inputs import pick, seed_input
from .parameters import PREFIX, without
from .row_forms import SPREAD, spread_inputs, spread_options, write_back_input
from .selector_forms import (
    AUTO,
    VETO_OF,
    advice_input,
    learner_input,
    method_input,
    method_of,
    method_options,
    parameter_inputs,
    parameter_names,
    shared_inputs,
    veto_mode,
)


class SelectCoreset(ElfsOperator):
    operator = "select_coreset"
    title = "Select coreset"
    description = "A coreset by the recommended method, by double-end pruning or any other; tags and saves it"
    takes = (
        "method",
        "learner",
        "budget_unit",
        "budget",
        "beta_mode",
        "beta",
        "quota",
        "veto_mode",
        "veto",
        "veto_share",
        "labels_field",
        "locked_tag",
        PREFIX,
        "tag",
        "view_name",
        "seed",
        "device",
        "write_back",
        "gap",
        "per_parent",
        "sequence",
    )
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.runs.names import choice_tag

        run = run_input(ctx, inputs, "scores", "selecting a coreset")
        if run is None:
            return
        key, n = run.key, run.stages["scores"]["scored"]
        method = method_input(ctx, inputs)
        budget = budget_inputs(ctx, inputs, n, run.record.cut_away)
        if method is None:
            return
        if method == "elfs":
            beta_inputs(ctx, inputs, budget, n, run.stages.get("beta", {}).get("chosen"))
            output_inputs(ctx, inputs, key)
            write_back_input(ctx, inputs)
            return
        if method == AUTO:
            learner_input(inputs)
            advice_input(ctx, inputs, key, None if budget is None else budget_of(ctx.params))
        else:
            parameter_inputs(ctx, inputs, method)
        shared_inputs(ctx, inputs, key)
        spread_inputs(ctx, inputs)
        seed_input(inputs)
        output_inputs(ctx, inputs, key, choice_tag(key, method))
        write_back_input(ctx, inputs)

    def check_together(self, ctx, params):
        check_settings(params)
        method = method_of(params)
        if method != AUTO:
            without(params, ("learner",), "it is what the method 'auto' looks at.")
        others = [name for name in params if name.startswith(PREFIX)]
        if method == "elfs":
            shared = ("quota", "veto", "veto_mode", "veto_share", "labels_field", "locked_tag", *SPREAD)
            without(params, (*shared, *others), "it is for the other methods; name one as method.")
            return
        mode = veto_mode(params)
        without(
            params,
            [name for name in ("veto", "veto_share") if VETO_OF[name] != mode],
            f"veto goes with veto_mode='similarity', veto_share with 'quantile', not with '{mode}'.",
        )
        without(params, ("beta", "beta_mode"), f"β is for the method 'elfs', not for '{method}'.")
        own = parameter_names(method)
        has = ", ".join(f"{PREFIX}{name}" for name in own) or "none"
        foreign = [name for name in others if name.removeprefix(PREFIX) not in own]
        without(params, foreign, f"'{method}' has no such parameter (it has: {has}).")

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs
        from ..elfs_plugin.runs.names import choice_tag

        options = pick(ctx.params, "key", "tag", "view_name", "write_back")
        method, budget = method_of(ctx.params), budget_of(ctx.params)
        if method == "elfs":
            return runs.select_coreset(ctx.dataset, budget=budget, beta=beta_of(ctx.params), **options, sinks=sinks)
        options.setdefault("tag", choice_tag(options.get("key", "elfs"), method))
        return runs.choose_coreset(
            ctx.dataset,
            method=method,
            budget=budget,
            **options,
            **pick(ctx.params, "seed", "device"),
            **method_options(ctx.params, method),
            **spread_options(ctx.params),
            sinks=sinks,
        )
