"""The table of ``benchmarks.gpu``: a GPU beside two threads, and how far both agree."""

import numpy as np
from scipy.stats import spearmanr

from elfs_plugin.evaluation.audit import pseudo_label_accuracy

from .results import Column, Table

ROWS = {
    "neighbors": ("neighbours, exact", "seconds", 20),
    "k_means": ("k-means, four heads", "seconds", None),
    "quick_clustering": ("clustering, `quick`", "seconds", 6),
    "published_clustering": ("clustering, published: all steps", "seconds", None),
    "resnet8": ("`resnet8` x 4: an epoch", "seconds", 20),
    "beta_search": ("β search on images, 27 trainings", "seconds", 15),
    "resnet18": ("ResNet-18: an epoch", "seconds", None),
    "decoding": ("decoding 100,000 JPEG files", "seconds", None),
    "embedding": ("embedding: 100,000 JPEG files", "seconds", None),
}
"""Part -> its name in the table, what is compared, and how many times as fast the GPU is to be."""

LEAST = {
    "neighbors": 0.999,
    "k_means": 0.999,
    "quick_clustering": 0.9,
    "published_clustering": 0.98,
    "resnet8": 0.9,
    "resnet18": 0.8,
    "beta_search": 0.9,
    "decoding": 0.999,
    "embedding": 0.999,
}
"""Agreement that is to be expected: of rounding alone where nothing is learnt, of like results where networks are."""


def agreement(part, cpu, gpu):
    """(a share from 0 to 1, how it was measured) of what both devices found, or None where one found nothing."""
    try:
        return _AGREEMENTS[part](cpu, gpu)
    except KeyError:
        return None


def _neighbors(cpu, gpu):
    return float(np.mean(cpu["indices"] == gpu["indices"])), "neighbours in the same place"


def _labels(cpu, gpu):
    return float(np.mean(cpu["labels"] == gpu["labels"])), "equal labels"


def _clusters(cpu, gpu):
    return pseudo_label_accuracy(gpu["labels"], cpu["labels"]), "labels equal after matching"


def _losses(cpu, gpu):
    one, other = cpu["losses"], gpu["losses"]
    return 1 - float(np.abs(one - other).max() / np.abs(one).max()), "losses of the first steps"


def _learnt(cpu, gpu):
    first = float(np.corrcoef(cpu["logits"], gpu["logits"])[0, 1])
    aum = float(spearmanr(cpu["aum"], gpu["aum"]).statistic)
    return min(first, aum), f"first logits {first:.4f}, ranks of AUM {aum:.3f}"


def _accuracies(cpu, gpu):
    return 1 - float(np.abs(cpu["accuracies"].mean(axis=1) - gpu["accuracies"].mean(axis=1)).max()), "accuracies"


def _cosines(cpu, gpu):
    one, other = cpu["vectors"], gpu["vectors"]
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / np.maximum(lengths, 1e-12)).min()), "lowest cosine"


_AGREEMENTS = {
    "neighbors": _neighbors,
    "k_means": _labels,
    "quick_clustering": _clusters,
    "published_clustering": _losses,
    "resnet8": _learnt,
    "resnet18": _learnt,
    "beta_search": _accuracies,
    "decoding": _cosines,
    "embedding": _cosines,
}


def compared(found, arrays):
    """{part: what is known of it} from {side: {part: numbers}} and {side: {part: arrays}}, the sides cpu and device."""
    rows = {}
    for part, (_, measure, goal) in ROWS.items():
        numbers = {side: found[side].get(part) for side in ("cpu", "device")}
        row = {**{side: value for side, value in numbers.items() if value}, "goal": goal}
        if all(value and measure in value for value in numbers.values()):
            row["times"] = numbers["cpu"][measure] / numbers["device"][measure]
            known = agreement(part, arrays["cpu"].get(part, {}), arrays["device"].get(part, {}))
            if known is not None:
                row |= {"agreement": known[0], "measured_as": known[1], "agrees": known[0] >= LEAST[part]}
        rows[part] = row
    return rows


def table(rows):
    columns = ["work", Column("CPU, two threads, s", 3), Column("device, s", 3), Column("times as fast", 1)]
    found = Table([*columns, "goal", Column("agreement", 4), "measured as", "on the device"])
    for part, (name, measure, goal) in ROWS.items():
        row = rows[part]
        seconds = [row[side].get(measure) if side in row else None for side in ("cpu", "device")]
        found.add(
            name,
            *seconds,
            row.get("times"),
            None if goal is None else f"{goal} times",
            row.get("agreement"),
            row.get("measured_as"),
            _more(row.get("device", {})),
        )
    return found


def _more(numbers):
    """Rates, and errors, in words."""
    if "error" in numbers:
        return numbers["error"]
    rates = {name: value for name, value in numbers.items() if "per_second" in name}
    words = [f"{name.replace('_', ' ')} {value:,.0f}" for name, value in rates.items()]
    words += ["as a CUDA graph"] * numbers.get("captured", False)
    words += [numbers["inference"]] if "inference" in numbers else []
    return ", ".join(words) or None


def markdown(results):
    lines = [
        "# A GPU beside two threads of the same machine",
        "",
        results["machine"],
        "",
        f"Device: {results['device']}. {results['data']}. Where a part was not done whole, its seconds are projected.",
        "",
        table(results["parts"]).markdown(),
    ]
    wrong = [ROWS[part][0] for part, row in results["parts"].items() if row.get("agrees") is False]
    if wrong:
        lines += ["", f"**The devices do not agree as expected**: {', '.join(wrong)}."]
    if results["missing"]:
        lines += ["", f"Not measured: {', '.join(results['missing'])}."]
    return "\n".join(lines) + "\n"
