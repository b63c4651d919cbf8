"""What a hundred million images would need, on paper, from what was measured.

    python -m benchmarks.projection [--images 100000000] [--nodes 32] [--gigabits 10]

Each term is a number of benchmarks/results, made larger by the exponent that was measured, divided by the machines that
share the work. Communication is the bytes that move over a network of so many Gbit/s, which is an assumption. A term
whose number has not been measured is left out: a GPU is not in it.
"""

import argparse

from .results import Column, Table, read_all, started

NETWORK, DIMENSIONS = "vit_small_patch16_224", 384
LEFT = 1_000_000
STAGES = ("neighbours", "clustering", "proxy", "β search")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000_000)
    parser.add_argument("--nodes", type=int, default=32, help="of two cores each, as those on which it was measured")
    parser.add_argument("--gigabits", type=float, default=10.0)
    options, recording = started("projection", parser, arguments)
    found = read_all()
    recording.finish({"cut": with_cut(found, options), "whole": without_cut(found, options)})


def with_cut(found, options):
    """The terms where a pre-cut leaves a million images to one machine."""
    n = options.images
    table = Table(["term", "where", "measured", Column("hours", 1)])
    rate = cell(found["embedding"].tables["speed"], NETWORK, "images/s")
    table.add("embedding", f"{options.nodes} nodes", f"{rate:g} images/s a node", n / rate / options.nodes / 3600)
    size = 4 * n * DIMENSIONS
    moved = size * 8 / options.gigabits / 1e9
    table.add("vectors to one machine", "network", f"{size / 1e9:,.0f} GB at {options.gigabits:g} Gbit/s", moved / 3600)
    cost = found["precut-cost"].tables["cost"]
    rows, dimensions, seconds = cell(cost, -1, "rows"), cell(cost, -1, "dimensions"), cell(cost, -1, "CPU s")
    table.add(
        "pre-cut to a million",
        "one machine",
        f"{seconds:,.0f} CPU s of {rows:,} x {dimensions}",
        seconds * (n / rows) * (DIMENSIONS / dimensions) / 3600,
    )
    growth = found["growth"].tables["stages_512"]
    for stage in STAGES:
        took = cell(growth, stage, f"{LEFT:,}: s")
        table.add(f"{stage}, of a million", "one machine", f"{took:,.0f} s", took / 3600)
    return table


def without_cut(found, options):
    """The stages of all images on one machine, by their exponents."""
    growth = found["growth"].tables["stages_512"]
    table = Table(["stage", f"{LEFT:,}: s", Column("exponent", 2), Column(f"hours of {options.images:,}", 0)])
    for stage in STAGES:
        took = cell(growth, stage, f"{LEFT:,}: s")
        power = cell(growth, stage, f"exponent 100,000 to {LEFT:,}")
        table.add(stage, took, power, took * (options.images / LEFT) ** max(power, 1.0) / 3600)
    return table


def cell(table, row, title):
    """The cell of a table; ``row`` is its place, or the text of its first cell."""
    column = [column.title for column in table.columns].index(title)
    found = table.rows[row] if isinstance(row, int) else next(one for one in table.rows if one[0] == row)
    return found[column]


if __name__ == "__main__":
    main()
