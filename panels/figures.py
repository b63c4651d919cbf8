"""The panel's Plotly figures as plain dicts: traces go into the panel's data, layouts into its schema."""

import numpy as np

from ..elfs_plugin.pruning.zones import ZONES

COLORS = {"hard": "#d55e00", "coreset": "#0072b2", "easy": "#8c8c8c", "mark": "#cc79a7"}
"""From the Okabe-Ito palette, told apart by colour-blind users and on light and dark."""

ZONE_NAMES = dict(zip(ZONES, ("too hard", "coreset", "too easy")))


def layout(x, y, *, height=220, y_percent=True, **more):
    """A layout with axis titles, and a legend above the plot."""
    axis = {"title": {"text": y}, **({"tickformat": ".0%"} if y_percent else {})}
    return {
        "height": height,
        "showlegend": True,
        "margin": {"t": 30, "r": 10, "b": 40, "l": 55},
        # Every entry as wide as its text, and the plot gives way where they need a second line.
        "legend": {
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "traceorder": "normal",
            "entrywidth": 0,
            "font": {"size": 11},
        },
        "xaxis": {"title": {"text": x}},
        "yaxis": axis,
        **more,
    }


def histogram_figure(table, hard, budget, many="images"):
    """Traces of the stacked histogram of the score, coloured by zone; bin i holds ranks [ranks[i], ranks[i + 1])."""
    edges, ranks = np.asarray(table["edges"]), np.asarray(table["ranks"])
    centers = ((edges[:-1] + edges[1:]) / 2).round(4).tolist()
    cuts = (0, hard, hard + budget, table["n"])
    traces = []
    for place, zone in enumerate(ZONES):
        inside = np.clip(np.diff(ranks.clip(*cuts[place : place + 2])), 0, None)
        traces.append(
            {
                "type": "bar",
                "name": f"{ZONE_NAMES[zone]} ({inside.sum():,})",
                "x": centers,
                "y": inside.tolist(),
                "marker": {"color": COLORS[zone]},
                "hovertemplate": "%{y} " + many + "<extra>" + ZONE_NAMES[zone] + "</extra>",
            }
        )
    return traces


def histogram_layout(table, many="images"):
    return layout(table["score"], many, height=230, y_percent=False, barmode="stack", bargap=0.05)


def curve_figure(curve, beta):
    """Traces of the β search: every repeat as a point, the mean with its spread, the chosen β, and the current one."""
    betas, accuracies = curve["betas"], np.asarray(curve["accuracies"])
    best = int(np.abs(np.asarray(betas) - curve["chosen"]).argmin())
    smallest = int(np.abs(np.asarray(betas) - curve.get("smallest", curve["chosen"])).argmin())
    points = np.repeat(betas, accuracies.shape[1]).tolist()
    low, high = float(accuracies.min()), float(accuracies.max())
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "each repeat",
            "x": points,
            "y": accuracies.ravel().tolist(),
            "marker": {"color": COLORS["easy"], "size": 5},
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "mean ± sd",
            "x": betas,
            "y": curve["mean"],
            "error_y": {"type": "data", "array": curve["spread"]},
            "line": {"color": COLORS["coreset"]},
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "smallest within 1 sd",
            "x": [betas[smallest]],
            "y": [curve["mean"][smallest]],
            "marker": {"color": COLORS["hard"], "size": 13, "symbol": "circle-open", "line": {"width": 2}},
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "chosen",
            "x": [betas[best]],
            "y": [curve["mean"][best]],
            "marker": {"color": COLORS["hard"], "size": 13, "symbol": "star"},
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "β now",
            "x": [beta, beta],
            "y": [low, high],
            "line": {"color": COLORS["mark"], "dash": "dot"},
            "hoverinfo": "name",
        },
    ]


def curve_layout():
    return layout("β", "accuracy (pseudo-labels)")


def cluster_figure(table, hard, budget):
    """Traces of the clusters' sizes, each split into its zones.

    Args:
        table: of :func:`~..elfs_plugin.pruning.cuts.cut_table`
    """
    rows = table["clusters"][::-1]
    grid = np.asarray(table["grid"], dtype=np.float64)
    below = {row["name"]: np.concatenate([[0], np.cumsum(row["members"])]) for row in rows}
    cuts = (0, hard, hard + budget, table["n"])
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": ZONE_NAMES[zone],
            "y": [row["name"] for row in rows],
            "x": [
                round(float(np.diff(np.interp(cuts[place : place + 2], grid, below[row["name"]]))[0])) for row in rows
            ],
            "marker": {"color": COLORS[zone]},
            "hovertemplate": "%{y}: %{x:,} " + ZONE_NAMES[zone] + "<extra></extra>",
        }
        for place, zone in enumerate(ZONES)
    ]


def cluster_layout(clusters):
    return layout("images", "", height=90 + 20 * max(clusters, 2), y_percent=False, barmode="stack", bargap=0.2)


CRITERIA = {"prediction_strength": "prediction strength", "silhouette": "silhouette", "modularity": "modularity"}


def count_figure(count):
    """Traces of the criteria for the number of clusters, each beside what data without clusters would give."""
    palette = (COLORS["coreset"], COLORS["hard"], "#009e73")
    traces = []
    for color, (name, curve) in zip(palette, count["curves"].items()):
        shown = CRITERIA.get(name, name)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": shown,
                "x": count["candidates"],
                "y": _finite(curve),
                "line": {"color": color},
            }
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{shown}, no clusters",
                "x": count["candidates"],
                "y": _finite(count["reference"].get(name, [])),
                "line": {"color": color, "dash": "dot"},
                "showlegend": False,
            }
        )
    return traces


def count_layout():
    return layout(
        "",
        "criterion",
        height=240,
        y_percent=False,
        xaxis={"type": "log", "title": {"text": "clusters (dotted: data without clusters)"}},
    )


def _finite(values):
    """JSON has no NaN; Plotly leaves a gap at None."""
    return [value if value is not None and np.isfinite(value) else None for value in values]


def mean_spread(mean, spread):
    """A mean share with its standard deviation in percent, or a dash."""
    return "-" if mean is None else f"{100 * mean:.1f} ± {100 * (spread or 0):.1f}"


def overlap_figure(comparison):
    """A heat map of the share of each row's coreset that is also in the column's."""
    names = [name.replace(": ", ":<br>").replace(", ", "<br>") for name in comparison["names"]]
    shares, counts = comparison["overlap_share"], comparison["overlap"]
    text = [[f"{100 * s:.0f}%<br>{c:,}" for s, c in zip(*row)] for row in zip(shares, counts)]
    return [
        {
            "type": "heatmap",
            "x": names,
            "y": names,
            "z": shares,
            "text": text,
            "texttemplate": "%{text}",
            "zmin": 0,
            "zmax": 1,
            "colorscale": "Cividis",
            "showscale": False,
            "hovertemplate": "%{z:.1%} of %{y} is also in %{x}<extra></extra>",
        }
    ]


def overlap_layout(names):
    return layout(
        "",
        "",
        height=110 + 64 * names,
        y_percent=False,
        showlegend=False,
        margin={"t": 30, "r": 10, "b": 60, "l": 110},
        yaxis={"autorange": "reversed"},
        title={"text": "How much of the row is also in the column", "font": {"size": 13}},
    )


BUDGET_COLORS = ("#56b4e9", "#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7")


def method_figure(found):
    """Traces of what each method teaches more than Random, a row for each, best first at the largest budget."""
    differences = np.array(found["difference_mean"], dtype=np.float64)
    order = np.argsort(np.nan_to_num(differences[:, -1], nan=-np.inf), kind="stable")
    names = [found["methods"][m] for m in order]
    traces = []
    for b, budget in enumerate(found["budgets"]):
        points = 100 * differences[order, b]
        spread = [found["difference_sd"][m][b] for m in order]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{budget:,} images",
                "y": names,
                "x": _finite(points.round(2).tolist()),
                "marker": {
                    "color": BUDGET_COLORS[b % len(BUDGET_COLORS)],
                    "size": 9,
                    "symbol": ("circle", "square", "diamond", "cross", "x", "star")[b % 6],
                },
                "error_x": {"type": "data", "array": [100 * (sd or 0) for sd in spread], "thickness": 1},
                "hovertemplate": "%{y}: %{x:+.1f} points<extra></extra>",
            }
        )
    return traces


def method_layout(methods):
    return layout(
        "accuracy minus Random, points (pseudo-labels)",
        "",
        height=110 + 22 * methods,
        y_percent=False,
        margin={"t": 30, "r": 10, "b": 40, "l": 105},
        yaxis={"type": "category"},
    )


def budget_figure(curve):
    """Traces of the accuracy against the budget, coreset and Random, every repeat as a point, and what is enough."""
    budgets = curve["budgets"]
    traces = []
    for name, color in (("coreset", COLORS["coreset"]), ("random", COLORS["easy"])):
        values = np.asarray(curve[name], dtype=np.float64)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{name}, each repeat",
                "showlegend": False,
                "x": np.repeat(budgets, values.shape[1]).tolist(),
                "y": values.ravel().tolist(),
                "marker": {"color": color, "size": 4, "opacity": 0.5},
                "hoverinfo": "skip",
            }
        )
        line = {"color": color, "dash": "solid" if name == "coreset" else "dot"}
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name.capitalize(),
                "x": budgets,
                "y": curve[f"{name}_mean"],
                "line": line,
                "error_y": {"type": "data", "array": curve[f"{name}_sd"]},
            }
        )
    at = budgets.index(curve["enough"])
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"enough: {curve['enough']:,}",
            "x": [budgets[at]],
            "y": [curve["coreset_mean"][at]],
            "marker": {"color": COLORS["hard"], "size": 14, "symbol": "star"},
        }
    )
    return traces


def budget_layout():
    return layout(
        "images labelled",
        "accuracy (pseudo-labels)",
        height=300,
        xaxis={"type": "log", "title": {"text": "images labelled"}},
    )


def golden_figure(measured):
    """Traces of the accuracy on the golden set after each round with its standard error, and of Random's, where known.

    Args:
        measured: of :func:`~..elfs_plugin.runs.rounds.timeline.measurements`
    """
    labels = [one.labels for one in measured]
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "golden set ± standard error",
            "x": labels,
            "y": [one.accuracy for one in measured],
            "error_y": {"type": "data", "array": [one.standard_error or 0 for one in measured]},
            "text": [f"round {one.number}, {one.n:,} images of the golden set" for one in measured],
            "line": {"color": COLORS["coreset"]},
            "hovertemplate": "%{y:.1%}, %{x:,} labels<br>%{text}<extra></extra>",
        }
    ]
    by_chance = [one for one in measured if one.random is not None]
    if by_chance:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": "Random",
                "x": [one.labels for one in by_chance],
                "y": [one.random for one in by_chance],
                "line": {"color": COLORS["easy"], "dash": "dot"},
            }
        )
    return traces


def golden_layout():
    return layout("labels", "accuracy", height=240)


def truth_figure(zones):
    """Traces of the images of each true class, split into zones."""
    return [
        {
            "type": "bar",
            "orientation": "h",
            "name": ZONE_NAMES[zone],
            "y": zones["classes"],
            "x": counts,
            "marker": {"color": COLORS[zone]},
            "hovertemplate": "%{y}: %{x:,} " + ZONE_NAMES[zone] + "<extra></extra>",
        }
        for zone, counts in zip(zones["zones"], zones["counts"])
    ]


def truth_layout(classes):
    return layout(
        "images",
        "",
        height=90 + 20 * max(classes, 2),
        y_percent=False,
        barmode="stack",
        bargap=0.2,
        yaxis={"type": "category"},
    )
