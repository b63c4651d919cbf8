"""The tab *Compare*: coresets side by side, what only one of them has, and whether another seed chooses the same."""

import hashlib
import re

import fiftyone.operators.types as types

from ..elfs_plugin.pruning.zones import count_hard
from .base import choice, download, guarded, needs_run, plot, set_new, wrapping
from .compare_methods import CompareMethods
from .figures import mean_spread, overlap_figure, overlap_layout
from .part import Tab

NOW = "cuts now"
"""The cuts of the tab *Tune*, saved or not."""

LISTED = 24
"""Coresets with a box to tick; of more, those that hold the text that is typed above them."""

MOST = 10
"""Coresets in one comparison."""

COLUMNS = {
    "name": "coreset",
    "size": "images",
    "probe": "accuracy, %",
    "nearest": "nearest chosen",
    "imbalance": "imbalance",
    "near": "near-duplicates",
}
KINDS = {"run": "{}: the saved cuts", "tag": "tag {}", "view": "view {}"}
LEGEND = (
    "*accuracy* of a small network trained on the coreset, on held-out pseudo-labels; *nearest chosen*: mean cosine "
    "distance from any image to the coreset; *imbalance*: how far its clusters' shares are from those of all images; "
    "*near-duplicates*: pairs inside it."
)


class Compare(CompareMethods):
    @guarded
    def on_find_member(self, ctx):
        set_new(ctx.panel.state, find_member=ctx.params.get("value"))

    @needs_run
    def on_compare(self, ctx):
        from ..elfs_plugin import runs
        from ..elfs_plugin.errors import InvalidInput

        state, model = ctx.panel.state, self.model(ctx)
        chosen = [self._spec(state, name) for name in self._members(state, model, self._choices(model))]
        if not 2 <= len(chosen) <= MOST:
            raise InvalidInput(f"Tick two to {MOST} coresets to compare; {len(chosen)} are ticked.", "members")
        runs.check_members(ctx.dataset, chosen)  # here it is a sentence; the App would only say that it failed
        self.start(ctx, "compare_coresets", members=chosen)

    @needs_run
    def on_choose_coreset(self, ctx):
        """The form of the other selectors; what they choose is a tag, to be compared with."""
        self.prompt(ctx, "select_coreset", method="random", budget=ctx.panel.state.budget, budget_unit="images")

    @needs_run
    def on_stability(self, ctx):
        state = ctx.panel.state
        self.start(ctx, "measure_stability", budget=state.budget, budget_unit="images", beta=state.hard / state.n)

    @needs_run
    def on_comparison_csv(self, ctx):
        from ..elfs_plugin.evaluation.tables import coreset_rows, to_csv

        found = self._comparison(ctx)
        download(ctx, f"{ctx.panel.state.key}_comparison.csv", to_csv(coreset_rows(found)))

    @needs_run
    def on_only(self, ctx):
        """Shows what one coreset has and another has not."""
        from ..elfs_plugin import runs

        state = ctx.panel.state
        specs = [member["spec"] for member in self._comparison(ctx)["members"]]
        one, other = self._pair(state, specs)
        ctx.panel.state.shown = None
        ctx.ops.set_view(view=runs.difference_view(ctx.dataset, one, other))

    @guarded
    def on_one(self, ctx):
        set_new(ctx.panel.state, one=ctx.params.get("value"))

    @guarded
    def on_other(self, ctx):
        set_new(ctx.panel.state, other=ctx.params.get("value"))

    def _comparison(self, ctx):
        from ..elfs_plugin.errors import InvalidInput

        found = self.model(ctx).results.get("comparison")
        if not found:
            raise InvalidInput("The comparison is gone: the run has been written anew. Compare again.")
        return found

    def _pair(self, state, specs):
        """The two coresets whose difference is shown; the first two until others are chosen."""
        one = state.one if state.one in specs else specs[0]
        return one, state.other if state.other in specs else specs[1]

    def _spec(self, state, name):
        """The member as text that the operator understands."""
        if name != NOW:
            return name
        return f"{state.key}@beta={_shortest(state.hard, state.budget, state.n)!r},budget={state.budget}"

    def _choices(self, model):
        from ..elfs_plugin import runs

        return [NOW, *runs.member_choices(model.dataset)]

    def _members(self, state, model, choices):
        """The ticked ones of the coresets that there are; before any was touched, the cuts as they are and the newest
        of those that have been saved."""
        saved = [f"tag:{tag}" for tag in model.record.tags][1 - MOST :]
        first = {NOW, *saved} if saved else set(choices[:2])
        touched = state.compared if isinstance(state.compared, dict) else {}
        return [name for name in choices if touched.get(_box(name), name in first)]

    def load_compare(self, ctx, model):
        found = model.results.get("comparison")
        if found:
            ctx.panel.set_data(_table_name(found), self._rows(found))
        self.load_compared_methods(ctx, model)

    def _rows(self, found):
        def beside(at, name, form):
            return f"{form(found[name][at])} / {form(found[f'{name}_random_mean'][at])}"

        rows = []
        for at, name in enumerate(_labels(found)):
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
        self._render_choices(panel, ctx.panel.state, model)
        row = wrapping(panel, "compare_buttons")
        row.btn(
            "compare",
            label="Compare",
            icon="compare_arrows",
            variant="contained",
            disabled=model.running,
            on_click=self.on_compare,
        )
        row.btn(
            "choose_coreset",
            label="Coreset by another method …",
            icon="add",
            variant="outlined",
            on_click=self.on_choose_coreset,
        )
        row.btn(
            "stability",
            label="Same cuts, other seeds",
            icon="casino",
            variant="outlined",
            disabled=model.running,
            on_click=self.on_stability,
        )
        self._render_comparison(panel, ctx.panel.state, model)
        self._render_stability(panel, model)
        self.render_compared_methods(panel, ctx.panel.state, model)

    def _render_choices(self, panel, state, model):
        """A box for each coreset. Not one list of many: the App makes such a list anew whenever it draws the panel,
        which closes it under the user's hands and loses what was typed."""
        choices = self._choices(model)
        ticked = set(self._members(state, model, choices))
        panel.md(f"**Coresets** to compare, 2 to {MOST}", name="choices_title")
        if len(choices) > LISTED:
            panel.str("find_member", label="Find a coreset by its name", on_change=self.on_find_member)
        words = (state.find_member or "").lower().split()
        found = [name for name in choices if name in ticked or all(word in label_of(name).lower() for word in words)]
        boxes = wrapping(panel, "compared")
        for name in found[:LISTED]:
            boxes.bool(_box(name), default=name in ticked, label=label_of(name), view=types.CheckboxView())
        if len(found) > LISTED:
            panel.md(f"and {len(found) - LISTED:,} more: type a part of a name above", name="more_choices")

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
                text = f"{label_of(member['name'])}: {lost}"
                panel.view(f"outside_{member['name']}", types.AlertView(severity="info", label=text))
        named = {**found, "names": _labels(found)}
        plot(panel, "overlap", overlap_figure(named), overlap_layout(len(found["names"])))
        self._render_differences(panel, state, found)

    def _render_chance(self, panel, model, found):
        """What a method said of its own choice when it was saved."""
        for member in found["members"]:
            tag = member["spec"].removeprefix("tag:")
            saved = model.record.saved.get(tag, {}) if tag != member["spec"] else {}
            for name, severity in (("warnings", "warning"), ("notes", "info")):
                for at, text in enumerate(saved.get(name) or []):
                    label = f"{label_of(member['name'])}: {text}"
                    panel.view(f"saved_{name}_{tag}_{at}", types.AlertView(severity=severity, label=label))

    def _render_differences(self, panel, state, found):
        specs = [member["spec"] for member in found["members"]]
        names = dict(zip(specs, _labels(found)))
        one, other = self._pair(state, specs)
        row = wrapping(panel, "only")
        sides = {"one": ("In", one, self.on_one), "other": ("and not in", other, self.on_other)}
        for side, (label, chosen, handler) in sides.items():
            choice(row, side, names, default=chosen, label=label, on_change=handler)
        row.btn("show_only", label="Show in the grid", variant="outlined", on_click=self.on_only)

    def _render_stability(self, panel, model):
        found = model.results.get("stability")
        if not found:
            return
        panel.md(f"**Stability.** {found['sentence']}", name="stability_text")
        self.render_stale(panel, model, "stability")

    tab = Tab("compare", "Compare", render_compare, load_compare)


def label_of(name):
    """A member of a comparison in words, where its name is its text."""
    kind, colon, value = name.partition(":")
    if colon and kind in KINDS:
        return KINDS[kind].format(value)
    settings = re.fullmatch(r"(\w+)@beta=([^,]+),budget=(.+)", name)
    if not settings:
        return name
    run, beta, budget = settings.groups()
    images = f"{int(budget):,} images" if budget.isdecimal() else f"budget {100 * float(budget):.6g}%"
    return f"{run}: β {100 * float(beta):.6g}%, {images}"


def _labels(found):
    return [label_of(name) for name in found["names"]]


def _box(name):
    """The name of a coreset's box: its own may hold points, which are a path to the browser."""
    return f"box_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:12]}"


def _shortest(hard, budget, n):
    """β with the fewest digits that drops exactly ``hard`` of n beside a budget."""
    for digits in range(1, 17):
        beta = round(hard / n, digits)
        if count_hard(beta, n) == hard and beta <= 1 - budget / n:
            return beta
    return hard / n


def _table_name(found):
    """The browser lays new rows over the old ones of the same name; a shorter table would keep some of those."""
    return f"compared_{len(found['names'])}"
