from .base import ElfsOperator
from .budget_forms import beta_inputs, beta_of, budget_inputs, budget_of
from .forms import check_settings, output_inputs, run_input
from .inputs import pick, seed_input
from .parameters import PREFIX, without
from .selector_forms import (
    VETO_OF,
    method_input,
    method_options,
    parameter_inputs,
    parameter_names,
    shared_inputs,
    veto_mode,
)


class SelectCoreset(ElfsOperator):
    operator = "select_coreset"
    title = "Select coreset"
    description = "A coreset by double-end pruning of a run, or by another selection method; tags and saves it"
    takes = (
        "method",
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
    )
    uses_view = False

    def form(self, ctx, inputs, collection):
        run = run_input(ctx, inputs, "scores", "selecting a coreset")
        if run is None:
            return
        key, n = run.key, run.stages["scores"]["scored"]
        method = method_input(ctx, inputs)
        budget = budget_inputs(ctx, inputs, n)
        if method is None:
            return
        if method == "elfs":
            beta_inputs(ctx, inputs, budget, n, run.stages.get("beta", {}).get("chosen"))
            output_inputs(ctx, inputs, key)
            return
        parameter_inputs(ctx, inputs, method)
        shared_inputs(ctx, inputs, key)
        seed_input(inputs)
        output_inputs(ctx, inputs, key, f"{key}_{method}")

    def check_together(self, ctx, params):
        check_settings(params)
        method = params.get("method") or "elfs"
        others = [name for name in params if name.startswith(PREFIX)]
        if method == "elfs":
            shared = ("quota", "veto", "veto_mode", "veto_share", "labels_field", "locked_tag")
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

        options = pick(ctx.params, "key", "tag", "view_name")
        method, budget = ctx.params.get("method") or "elfs", budget_of(ctx.params)
        if method == "elfs":
            return runs.select_coreset(ctx.dataset, budget=budget, beta=beta_of(ctx.params), **options, sinks=sinks)
        options.setdefault("tag", f"{options.get('key', 'elfs')}_{method}")
        return runs.choose_coreset(
            ctx.dataset,
            method=method,
            budget=budget,
            **options,
            **pick(ctx.params, "seed", "device"),
            **method_options(ctx.params, method),
            sinks=sinks,
        )
