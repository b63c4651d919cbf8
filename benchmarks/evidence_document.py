"""docs/evidence.md and its figures, from the results of the evidence."""

import io
from dataclasses import replace

from elfs_plugin.selectors.recommend import RARE, recommend

from . import results
from .results import Column, Table

DOCUMENT = results.ROOT / "docs" / "evidence.md"
FIGURES = results.ROOT / "docs" / "evidence"
PREFIX, NETWORKS = "evidence-", "evidence_network-"
RANDOM, AUTO, AUTO_RARE = "`random`", "`auto`", "`auto`, rare classes"
SHOWN = ("graph_coverage", "k_medoids", "max_herding", "typiclust", "elfs", "zcore", "random")
"""Lines of the figures; the tables hold every method."""

HEAD = """\
# Evidence

Which choice is worth its labels? A method chooses images without any label (clusterings are told how many classes there
are); somebody labels them (here the true labels do); a logistic regression on their embeddings is tested on held-out
images, the same for all. The accuracy is the mean over the classes. Every number stands beside Random's in the same
recipe. After ± is the standard deviation over seeds; each seed has a clustering, a proxy and a choice of its own, and a
method that draws nothing has one. `auto` is what the plugin recommends for that budget and a model on embeddings, once
as it is and once for somebody who says that some classes are rare. Rows are sorted by the mean over all budgets, losing
methods included; where they were measured with fewer seeds, the second column says so. `cut_coverage` is graph coverage
by images that ELFS does not drop as too hard.

This page and its figures are written by `make evidence` from [benchmarks/results](../benchmarks/results). How the data
are made: [benchmarks/evidence_sets.py](../benchmarks/evidence_sets.py).
"""


def write(check=False):
    """Writes document and figures; with ``check`` only says what differs. Returns the exit code."""
    kept = results.read_all()
    found = of_sets(kept)
    if not found:
        raise SystemExit(
            "There is no result to write of: measure first (python -m benchmarks.evidence measure --help)."
        )
    networks = {name: result for name, result in kept.items() if name.startswith(NETWORKS)}
    wanted = {DOCUMENT: text(found, networks).encode()}
    wanted.update({FIGURES / f"{name}.svg": figure(result) for name, result in found.items()})
    stale = [path for path, content in wanted.items() if not path.is_file() or path.read_bytes() != content]
    if check:
        # The lines of a figure depend on the version of Matplotlib; the document does not.
        differs = DOCUMENT in stale or any(not path.is_file() for path in stale)
        print(
            "docs/evidence.md differs from the results: run make evidence."
            if differs
            else "The evidence is up to date."
        )
        return int(differs)
    FIGURES.mkdir(parents=True, exist_ok=True)
    for path, content in wanted.items():
        path.write_bytes(content)
        print(f"wrote {path.relative_to(results.ROOT)}")
    return 0


def of_sets(kept):
    """{name of a set: Result}: what was measured of a set in several runs, ``evidence-<set>--<part>``, together; a row
    that two parts have is that of the later name."""
    found = {}
    for name, result in kept.items():
        if not name.startswith(PREFIX):
            continue
        whole = name.partition("--")[0]
        if whole not in found:
            found[whole] = replace(
                result, tables={key: replace(t, rows=list(t.rows)) for key, t in result.tables.items()}
            )
            continue
        known = found[whole]
        if result.tables["accuracy"].columns != known.tables["accuracy"].columns:
            raise ValueError(f"{name} was measured at other budgets than the rest of {whole}.")
        for key in ("accuracy", "worst", "rarest"):
            again = {row[0] for row in result.tables[key].rows}
            older = [row for row in known.tables[key].rows if row[0] not in again]
            known.tables[key].rows[:] = older + result.tables[key].rows
        if known.tables["pool"].rows[0][3] is None:
            known.tables["pool"] = result.tables["pool"]
        commits = dict.fromkeys(part for part in (known.commit, result.commit) if part)
        found[whole] = replace(known, command=known.command + result.command, commit=", ".join(commits) or None)
    return found


def text(found, networks):
    parts = [HEAD, summary(found)]
    for name, result in found.items():
        parts.append(section(name, result))
    for name, result in networks.items():
        parts.append(network_section(name, result))
    return "\n".join(parts)


def budgets_of(table):
    return [int(column.title.removesuffix(", %").replace(",", "")) for column in table.columns[2:]]


def with_auto(result):
    """The accuracies with rows for the methods that are recommended at each budget, best rows first."""
    table = result.tables["accuracy"]
    rows = {row[0]: row for row in table.rows}
    pool = result.tables["pool"].rows[0]
    both = [[AUTO, None], [AUTO_RARE, None]]
    for auto, learner in zip(both, ("probe", RARE)):
        for at, budget in enumerate(budgets_of(table)):
            chosen = recommend(pool[0], budget, clusters=pool[1], learner=learner).method
            auto.append(rows[f"`{chosen}`"][2 + at] if f"`{chosen}`" in rows else None)
    ranked = sorted([*table.rows, *both], key=lambda row: -sum(cell["mean"] for cell in row[2:] if cell))
    return Table(table.columns, ranked)


def differences(result):
    """{budget: (auto - Random, Random's spread, best method, best - the better of auto and the second, best - auto)}"""
    table = with_auto(result)
    rows = {row[0]: row for row in table.rows}
    pool = result.tables["pool"].rows[0]
    found = {}
    for at, budget in enumerate(budgets_of(table), start=2):
        auto, random = rows[AUTO][at], rows[RANDOM][at]
        best = max(
            (row for row in table.rows if row[0] not in (AUTO, AUTO_RARE) and row[at]), key=lambda row: row[at]["mean"]
        )
        second = rows.get(f"`{recommend(pool[0], budget, clusters=pool[1]).second}`")
        if auto and random:
            better = max(row["mean"] for row in (auto, second and second[at]) if row)
            found[budget] = (
                auto["mean"] - random["mean"],
                random.get("sd", 0.0),
                best[0],
                best[at]["mean"] - better,
                best[at]["mean"] - auto["mean"],
            )
    return found


def rare_gains(result):
    """{budget: auto for rare classes - Random}."""
    table = with_auto(result)
    rows = {row[0]: row for row in table.rows}
    both = zip(budgets_of(table), rows[AUTO_RARE][2:], rows[RANDOM][2:])
    return {budget: auto["mean"] - random["mean"] for budget, auto, random in both if auto and random}


def summary(found):
    """One row for each set: what is recommended against Random, and against the best method of each budget."""
    table = Table(
        [
            "data",
            Column("auto - Random at 50", signed=True),
            Column("at 100", signed=True),
            Column("least over all budgets", signed=True),
            "budgets where auto is within one point of the best method",
            "where it or the second is",
            Column("auto for rare classes - Random at 50", signed=True),
            Column("at 100", signed=True),
        ]
    )
    for name, result in found.items():
        of = differences(result)
        gains = {budget: gain for budget, (gain, *_rest) in of.items()}
        near, either = (sum(numbers[at] <= 1.0 for numbers in of.values()) for at in (-1, -2))
        if of:
            near, either = (f"{count} of {len(of)}" for count in (near, either))
            rare = rare_gains(result)
            table.add(
                title(name),
                gains.get(50),
                gains.get(100),
                min(gains.values()),
                near,
                either,
                rare.get(50),
                rare.get(100),
            )
    return f"## In short\n\nPoints of accuracy.\n\n{table.markdown()}\n"


def title(name):
    return name.removeprefix(PREFIX)


def section(name, result):
    pool = result.tables["pool"]
    lines = [f"## {title(name)}\n", f"![Accuracy against budget](evidence/{name}.svg)\n", pool.markdown() + "\n"]
    lines.append(f"Accuracy on held-out images, against the number of labels:\n\n{with_auto(result).markdown()}\n")
    if "long" in name:
        for view, words in (("worst", "the worst class"), ("rarest", "the rarest class")):
            lines.append(f"Accuracy on {words}:\n\n{result.tables[view].markdown()}\n")
    lines.append(f"{source(result)}\n")
    return "\n".join(lines)


def network_section(name, result):
    return (
        f"## Networks trained from the images alone: {name.removeprefix(NETWORKS)}\n\n"
        "A small ResNet from scratch on the true labels of what was chosen, tested on the test images.\n\n"
        f"{result.tables['accuracy'].markdown()}\n\n{source(result)}\n"
    )


def source(result):
    ran = "; ".join(f"`{command}`" for command in result.command)
    return f"<sub>{ran}, commit {result.commit}, {result.date}, {result.machine.partition(';')[0]}.</sub>"


def figure(result):
    """An SVG: accuracy of some methods against the budget, Random with its spread."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = with_auto(result)
    rows = {row[0].strip("`"): row for row in table.rows}
    budgets = budgets_of(table)
    with pyplot.rc_context({"svg.hashsalt": "elfs", "svg.fonttype": "none", "font.size": 9}):
        plot, axes = pyplot.subplots(figsize=(6.4, 3.6))
        for name in SHOWN:
            if name not in rows:
                continue
            points = [(budget, cell) for budget, cell in zip(budgets, rows[name][2:]) if cell]
            x, mean = [p[0] for p in points], [p[1]["mean"] for p in points]
            style = {"color": "black", "linestyle": "--"} if name == "random" else {}
            (line,) = axes.plot(x, mean, label=name, linewidth=1.4, **style)
            if name == "random":
                spread = [p[1].get("sd", 0.0) for p in points]
                low, high = ([m + sign * s for m, s in zip(mean, spread)] for sign in (-1, 1))
                axes.fill_between(x, low, high, color="black", alpha=0.12, linewidth=0)
        axes.set_xscale("log")
        axes.set_xlabel("labels")
        axes.set_ylabel("accuracy on held-out images, %")
        axes.legend(fontsize=8, frameon=False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        plot.tight_layout()
        buffer = io.BytesIO()
        plot.savefig(buffer, format="svg", metadata={"Date": None})
        pyplot.close(plot)
    return buffer.getvalue()
