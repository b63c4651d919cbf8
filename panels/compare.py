"""The tab *Compare*: coresets side by side, what only one of them has, and whether another seed chooses the same."""

import fiftyone.operators.types as types

from .base import download, guarded, plot, set_new, wrapping
from .figures import mean_spread, overlap_figure, overlap_layout
from .methods import Methods

NOW = "cuts now"
"""The cuts of the tab *Tune*, saved or not."""

COLUMNS = {"name": "coreset", "size": "images", "probe": "accuracy, %", "nearest": "nearest chosen",
           "imbalance": "imbalance", "near": "near-duplicates"}  # fmt: skip
LEGEND = (
    "*accuracy* of a small network trained on the coreset, on held-out pseudo-labels; *nearest chosen*: mean cosine "
    "distance from any image to the coreset; *imbalance*: how far its clusters' shares are from those of all images; "
    "*near-duplicates*: pairs inside it."
)


class Compare(Methods):
    @guarded
    def on_compare_members(self, ctx):
        """The coresets of the list; kept here because a list is drawn again with every answer."""
        set_new(ctx.panel.state, members=list(ctx.params.get("value") or []))

    @guarded
    def on_compare(self, ctx):
        from ..elfs_plugin.errors import InvalidInput

        state = ctx.panel.state
        chosen = [self._spec(state, name) for name in self._members(ctx, self.model(ctx))]
        if len(chosen) < 2:
            raise InvalidInput("Choose at least two coresets to compare.", "members")
        self.start(ctx, "compare_coresets", members=chosen)

    @guarded
    def on_method(self, ctx):
        """The form of the other methods; what they choose is a tag, to be compared with."""
        self.prompt(ctx, "select_coreset", method="random", budget=ctx.panel.state.budget, budget_unit="images")

    @guarded
    def on_stability(self, ctx):
        state = ctx.panel.state
        self.start(ctx, "measure_stability", budget=state.budget, budget_unit="images", beta=state.hard / state.n)

    @guarded
    def on_comparison_csv(self, ctx):
        from ..elfs_plugin.comparison_table import coreset_rows, to_csv

        found = self.model(ctx).results["comparison"]
        download(ctx, f"{ctx.panel.state.key}_comparison.csv", to_csv(coreset_rows(found)))

    @guarded
    def on_only(self, ctx):
        """Shows what one coreset has and another has not."""
        from ..elfs_plugin import runs

        state = ctx.panel.state
        specs = [member["spec"] for member in self.model(ctx).results["comparison"]["members"]]
        one, other = self._pair(state, specs)
        ctx.panel.state.shown = None
        ctx.ops.set_view(view=runs.difference_view(ctx.dataset, one, other))

    @guarded
    def on_one(self, ctx):
        set_new(ctx.panel.state, one=ctx.params.get("value"))

    @guarded
    def on_other(self, ctx):
        set_new(ctx.panel.state, other=ctx.params.get("value"))

    def _pair(self, state, specs):
        """The two coresets whose difference is shown; the first two until others are chosen."""
        one = state.one if state.one in specs else specs[0]
        return one, state.other if state.other in specs else specs[1]

    def _spec(self, state, name):
        """The member as the operator understands it."""
        if name != NOW:
            return name
        percent = f"β {100 * state.hard / state.n:.3g}%, {state.budget:,} images"
        return {"run": state.key, "beta": state.hard / state.n, "budget": state.budget, "name": percent}

    def _choices(self, model):
        from ..elfs_plugin import runs

        return [NOW, *runs.member_choices(model.dataset)]

    def _members(self, ctx, model):
        """The chosen coresets that still exist; at first the cuts as they are and whatever has been saved."""
        choices = self._choices(model)
        chosen = ctx.panel.state.members
        if chosen is None:
            saved = [f"tag:{tag}" for tag in model.record.tags]
            chosen = [NOW, *saved] if saved else choices[:2]
        return [name for name in chosen if name in choices]

    def load_compare(self, ctx, model):
        found = model.results.get("comparison")
        if found:
            ctx.panel.set_data(_table_name(found), self._rows(found))
        self.load_methods(ctx, model)

    def _rows(self, found):
        def beside(at, name, form):
            return f"{form(found[name][at])} / {form(found[f'{name}_random_mean'][at])}"

        rows = []
        for at, name in enumerate(found["names"]):
            probe = (found[f"accuracy{who}_{what}"][at] for who in ("", "_random") for what in ("mean", "sd"))
            mean, spread, random_mean, random_spread = probe
            nearest, nearest_random = found["coverage"][at][0], found["coverage_random_mean"][at][0]
            rows.append(
                {
                    "name": name,
                    "size": f"{found['sizes'][at]:,}",
                    "probe": f"{mean_spread(mean, spread)} / {mean_spread(random_mean, random_spread)}",
                    "nearest": f"{nearest:.3f} / {nearest_random:.3f}",
                    "imbalance": beside(at, "imbalance", lambda share: f"{share:.0%}"),
                    "near": beside(at, "near_duplicates", lambda pairs: f"{pairs:,.0f}"),
                }
            )
        return rows

    def render_compare(self, panel, ctx, model):
        choices = types.DropdownView(multiple=True)
        for name in self._choices(model):
            choices.add_choice(name, label=name)
        panel.list("members", types.String(), default=self._members(ctx, model), label="Coresets (2 to 10)",
                   view=choices, on_change=self.on_compare_members)  # fmt: skip
        row = wrapping(panel, "compare_buttons")
        row.btn("compare", label="Compare", icon="compare_arrows", variant="contained", disabled=model.running,
                on_click=self.on_compare)  # fmt: skip
        row.btn("method", label="Coreset by another method …", icon="add", variant="outlined", on_click=self.on_method)
        row.btn("stability", label="Same cuts, other seeds", icon="casino", variant="outlined", disabled=model.running,
                on_click=self.on_stability)  # fmt: skip
        self._render_comparison(panel, ctx.panel.state, model)
        self._render_stability(panel, model)
        self.render_methods(panel, ctx.panel.state, model)

    def _render_comparison(self, panel, state, model):
        found = model.results.get("comparison")
        if not found:
            text = (
                "Nothing compared yet. A comparison tells overlap, coverage of the embedding space, cluster balance, "
                "near-duplicates, and how well a small network trained on each coreset predicts held-out "
                "pseudo-labels, each beside Random of the same size."
            )
            panel.md(text, name="no_comparison")
            return
        self.render_stale(panel, model, "comparison")
        # The App's tables are 650 pixels wide at least, unless told otherwise.
        table = types.TableView(componentsProps={"table": {"sx": {"minWidth": 0}}})
        for key, label in COLUMNS.items():
            table.add_column(key, label=label)
        panel.list(
            _table_name(found), types.Object(), label="Side by side, each: coreset / Random of its size", view=table
        )
        panel.md(LEGEND, name="compared_legend")
        panel.btn("comparison_csv", label="CSV", icon="download", variant="outlined", on_click=self.on_comparison_csv)
        self._render_chance(panel, model, found)
        for member in found["members"]:
            if member["outside"] or member["missing"]:
                lost = f"{member['outside']:,} images are not in this run, {member['missing']:,} are gone."
                text = f"{member['name']}: {lost}"
                panel.view(f"outside_{member['name']}", types.AlertView(severity="info", label=text))
        plot(panel, "overlap", overlap_figure(found), overlap_layout(len(found["names"])))
        self._render_differences(panel, state, found)

    def _render_chance(self, panel, model, found):
        """What a method said of its own choice when it was saved."""
        for member in found["members"]:
            tag = member["spec"].removeprefix("tag:")
            saved = model.record.saved.get(tag, {}) if tag != member["spec"] else {}
            for name, severity in (("warnings", "warning"), ("notes", "info")):
                for at, text in enumerate(saved.get(name) or []):
                    label = f"{member['name']}: {text}"
                    panel.view(f"saved_{name}_{tag}_{at}", types.AlertView(severity=severity, label=label))

    def _render_differences(self, panel, state, found):
        specs = [member["spec"] for member in found["members"]]
        names = dict(zip(specs, found["names"]))
        one, other = self._pair(state, specs)
        row = wrapping(panel, "only")
        sides = {"one": ("In", one, self.on_one), "other": ("and not in", other, self.on_other)}
        for side, (label, chosen, handler) in sides.items():
            choices = types.DropdownView()
            for spec in specs:
                choices.add_choice(spec, label=names[spec])
            row.enum(side, choices.values(), default=chosen, label=label, view=choices, on_change=handler)
        row.btn("show_only", label="Show in the grid", variant="outlined", on_click=self.on_only)

    def _render_stability(self, panel, model):
        found = model.results.get("stability")
        if not found:
            return
        panel.md(f"**Stability.** {found['sentence']}", name="stability_text")
        self.render_stale(panel, model, "stability")

    def render_stale(self, panel, model, name):
        """A line that says that an analysis is older than the run."""
        from ..elfs_plugin import runs

        text = runs.stale(model.results, model.record).get(name)
        if text:
            panel.view(f"stale_{name}", types.AlertView(severity="warning", label=text))


def _table_name(found):
    """The browser lays new rows over the old ones of the same name; a shorter table would keep some of those."""
    return f"compared_{len(found['names'])}"
