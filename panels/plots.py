"""The panel's Plotly figures as plain dicts."""

import numpy as np

COLORS = {"hard": "#d55e00", "coreset": "#0072b2", "easy": "#8c8c8c"}
"""From the Okabe-Ito palette, told apart by colour-blind users and on light and dark."""

NAMES = {"hard": "too hard", "coreset": "coreset", "easy": "too easy"}
SCORE_NAMES = {"aum": "AUM", "forgetting": "forgetting events", "el2n": "EL2N", "dual": "DUAL"}


def zone_counts(histogram, hard_count, budget):
    """Samples of each zone in each bin: dict of zone -> list. Ranks follow the score, so each bin is a rank interval
    and the counts are exact."""
    counts = np.asarray(histogram["counts"], dtype=np.int64)
    if histogram["hard"] == "high":
        counts = counts[::-1]
    stop = counts.cumsum()
    start = stop - counts
    cuts = {"hard": (0, hard_count), "coreset": (hard_count, hard_count + budget),
            "easy": (hard_count + budget, int(stop[-1]))}  # fmt: skip
    split = {zone: np.clip(np.minimum(stop, b) - np.maximum(start, a), 0, None) for zone, (a, b) in cuts.items()}
    return {zone: (part[::-1] if histogram["hard"] == "high" else part).tolist() for zone, part in split.items()}


def histogram_figure(histogram, hard_count, budget):
    """(data, layout) of the stacked histogram of the score, coloured by zone."""
    edges = np.asarray(histogram["edges"])
    centers = ((edges[:-1] + edges[1:]) / 2).round(4).tolist()
    parts = zone_counts(histogram, hard_count, budget)
    data = [
        {"type": "bar", "name": f"{NAMES[zone]} ({sum(parts[zone]):,})", "x": centers, "y": parts[zone],
         "marker": {"color": COLORS[zone]}, "hovertemplate": "%{y} images<extra>" + NAMES[zone] + "</extra>"}
        for zone in ("hard", "coreset", "easy")
    ]  # fmt: skip
    return data, {
        "barmode": "stack",
        "showlegend": True,
        "bargap": 0.05,
        "height": 230,
        "margin": {"t": 30, "r": 10, "b": 40, "l": 45},
        "legend": {"orientation": "h", "y": 1.15, "x": 0},
        "xaxis": {"title": {"text": SCORE_NAMES[histogram["score"]]}},
        "yaxis": {"title": {"text": "images"}},
    }


def curve_figure(curve):
    """(data, layout) of the β search: every repeat as a point, the mean with its spread, the chosen β marked."""
    betas, accuracies = curve["betas"], np.asarray(curve["accuracies"])
    points_x = np.repeat(betas, accuracies.shape[1]).tolist()
    best = betas.index(min(betas, key=lambda b: abs(b - curve["chosen"])))
    data = [
        {"type": "scatter", "mode": "markers", "name": "each repeat", "x": points_x, "y": accuracies.ravel().tolist(),
         "marker": {"color": COLORS["easy"], "size": 5}},
        {"type": "scatter", "mode": "lines+markers", "name": "mean ± sd", "x": betas, "y": curve["mean"],
         "error_y": {"type": "data", "array": curve["spread"]}, "line": {"color": COLORS["coreset"]}},
        {"type": "scatter", "mode": "markers", "name": "chosen", "x": [betas[best]], "y": [curve["mean"][best]],
         "marker": {"color": COLORS["hard"], "size": 13, "symbol": "star"}},
    ]  # fmt: skip
    return data, {
        "height": 220,
        "showlegend": True,
        "margin": {"t": 30, "r": 10, "b": 40, "l": 50},
        "legend": {"orientation": "h", "y": 1.15, "x": 0},
        "xaxis": {"title": {"text": "β"}},
        "yaxis": {"title": {"text": "accuracy (pseudo-labels)"}, "tickformat": ".0%"},
    }
