"""Stored comparisons as rows of plain numbers, and rows as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from .. import csv_cells
from ..contracts import Array


def coreset_rows(stored: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dict for each coreset of a stored :class:`~.comparison.Comparison` (its ``to_dict``)."""
    rows = []
    for at, name in enumerate(stored["names"]):
        row = {"coreset": name, "images": stored["sizes"][at], "pool": stored["size_of_pool"]}
        for key in ("accuracy", "accuracy_random"):
            row[key], row[f"{key}_sd"] = stored[f"{key}_mean"][at], stored[f"{key}_sd"][at]
        for place, statistic in enumerate(("mean", "p95", "max")):
            row[f"coverage_{statistic}"] = stored["coverage"][at][place]
            row[f"coverage_{statistic}_random"] = stored["coverage_random_mean"][at][place]
        for key in ("imbalance", "near_duplicates"):
            row[key], row[f"{key}_random"] = stored[key][at], stored[f"{key}_random_mean"][at]
        row["shared_by_chance"] = stored["chance"][at]
        row.update(
            {f"shared_with {other}": share for other, share in zip(stored["names"], stored["overlap_share"][at])}
        )
        rows.append(row)
    return rows


def method_rows(stored: Mapping[str, Any], **more: Array) -> list[dict[str, Any]]:
    """One dict for each method and budget of a stored :class:`~.methods.MethodComparison`.

    Args:
        more: name -> (M, B, S) array of another accuracy in the same splits
    """
    rows = []
    for b, budget in enumerate(stored["budgets"]):
        for m, method in enumerate(stored["methods"]):
            row = {"budget": budget, "method": method, "pool": stored["size_of_pool"], "seeds": len(stored["seeds"])}
            row["accuracy"], row["accuracy_sd"] = stored["accuracy_mean"][m][b], stored["accuracy_sd"][m][b]
            row["minus_random"], row["verdict"] = stored["difference_mean"][m][b], stored["verdicts"][m][b]
            for name, values in more.items():
                random = values[stored["methods"].index("random")]
                row[name], row[f"{name}_sd"] = float(values[m][b].mean()), float(values[m][b].std())
                row[f"{name}_minus_random"] = float((values[m] - random)[b].mean())
            for key in ("coverage", "imbalance", "near_duplicates"):
                row[key] = stored[f"{key}_mean"][m][b]
            row["overlap_of_seeds"] = stored["overlap"][m][b]
            row["overlap_by_chance"] = budget / stored["size_of_pool"]
            row["seconds_all_budgets"] = sum(stored["seconds"][m]) / len(stored["seconds"][m])
            rows.append(row)
    return rows


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV text with a header; an empty cell where there is no number, and no cell that is a formula."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with io.StringIO(newline="") as file:
        writer = csv.writer(file)
        writer.writerow(csv_cells.row(names))
        writer.writerows(csv_cells.row(row.get(name, "") for name in names) for row in rows)
        return file.getvalue()
