"""The tab *Compare*: coresets side by side, what only one of them has, and whether another seed chooses the same."""

import fiftyone.operators.types as types

from .base import Part, guarded
from .figures import mean_spread, overlap_figure, overlap_layout

NOW = "cuts now"
"""The cuts of the tab *Tune*, saved or not."""


class Compare(Part):
    @guarded
    def on_compare_members(self, ctx):
        """The coresets of the list; kept here because a list is drawn again with every answer."""
        ctx.panel.state.members = list(ctx.params.get("value") or [])

    @guarded
    def on_compare(self, ctx):
        from ..elfs_plugin.errors import InvalidInput

        state = ctx.panel.state
        chosen = [self._spec(state, name) for name in self._members(ctx, self.model(ctx))]
        if len(chosen) < 2:
            raise InvalidInput("Choose at least two coresets to compare.", "members")
        self.start(ctx, "compare_coresets", members=chosen)

    @guarded
    def on_stability(self, ctx):
        state = ctx.panel.state
        self.start(ctx, "measure_stability", budget=state.budget, budget_unit="images", beta=state.hard / state.n)

    @guarded
    def on_only(self, ctx):
        """Shows what one coreset has and another has not."""
        from ..elfs_plugin import runs

        view = runs.difference_view(ctx.dataset, ctx.params["one"], ctx.params["other"])
        ctx.panel.state.shown = None
        ctx.ops.set_view(view=view)

    def _spec(self, state, name):
        """The member as the operator understands it."""
        return f"{state.key}@beta={state.hard / state.n!r},budget={state.budget}" if name == NOW else name

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
            ctx.panel.set_data("overlap", overlap_figure(found))
            ctx.panel.set_data("compared", self._rows(found))

    def _rows(self, found):
        rows = []
        for at, name in enumerate(found["names"]):
            twins = f"{found['near_duplicates'][at]:,} (Random {found['near_duplicates_random_mean'][at]:,.0f})"
            rows.append(
                {
                    "name": name,
                    "size": f"{found['sizes'][at]:,}",
                    "probe": mean_spread(found["accuracy_mean"][at], found["accuracy_sd"][at]),
                    "random": mean_spread(found["accuracy_random_mean"][at], found["accuracy_random_sd"][at]),
                    "coverage": f"{found['coverage'][at][0]:.3f} (Random {found['coverage_random_mean'][at][0]:.3f})",
                    "balance": f"{found['imbalance'][at]:.1%} (Random {found['imbalance_random_mean'][at]:.1%})",
                    "twins": twins,
                }
            )
        return rows

    def render_compare(self, panel, ctx, model):
        choices = types.DropdownView(multiple=True)
        for name in self._choices(model):
            choices.add_choice(name, label=name)
        panel.list("members", types.String(), default=self._members(ctx, model), label="Coresets (2 to 10)",
                   view=choices, on_change=self.on_compare_members)  # fmt: skip
        row = panel.h_stack("compare_buttons", gap=1, align_x="left")
        row.btn("compare", label="Compare", icon="compare_arrows", variant="contained", disabled=model.running,
                on_click=self.on_compare)  # fmt: skip
        row.btn("stability", label="Same cuts, other seeds", icon="casino", variant="outlined", disabled=model.running,
                on_click=self.on_stability)  # fmt: skip
        self._render_comparison(panel, model)
        self._render_stability(panel, model)

    def _render_comparison(self, panel, model):
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
        table = types.TableView()
        columns = {"name": "coreset", "size": "images", "probe": "accuracy on pseudo-labels, %", "random": "Random, %",
                   "coverage": "distance to nearest chosen", "balance": "cluster imbalance",
                   "twins": "near-duplicate pairs"}  # fmt: skip
        for key, label in columns.items():
            table.add_column(key, label=label)
        panel.list("compared", types.Object(), label="Side by side", view=table)
        for index, sentence in enumerate(found["sentences"]):
            panel.md(sentence, name=f"compared_{index}")
        for member in found["members"]:
            if member["outside"] or member["missing"]:
                lost = f"{member['outside']:,} images are not in this run, {member['missing']:,} are gone."
                text = f"{member['name']}: {lost}"
                panel.view(f"outside_{member['name']}", types.AlertView(severity="info", label=text))
        layout = overlap_layout(len(found["names"]))
        panel.plot("overlap", layout=layout, config={"displayModeBar": False}, height=f"{layout['height']}px")
        self._render_differences(panel, found)

    def _render_differences(self, panel, found):
        specs = [member["spec"] for member in found["members"]]
        names = found["names"]
        panel.md("In one and not in the other, in the grid:", name="only_title")
        row = panel.h_stack("only", gap=1, align_x="left")
        for i, one in enumerate(specs):
            for j, other in enumerate(specs):
                left = found["sizes"][i] - found["overlap"][i][j]
                if i != j and len(specs) <= 4:
                    row.btn(f"only_{i}_{j}", label=f"{names[i]} without {names[j]} ({left:,})", variant="outlined",
                            on_click=self.on_only, params={"one": one, "other": other})  # fmt: skip

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
