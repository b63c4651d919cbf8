"""Runs the campaign: python -m faults [--seed 0] [--trials 40] [--only calm,kill,mongod,disk,together] [--keep].

One line for each trial, then a table; ends with 1 when a trial failed. Everything happens in a temporary folder with a
database of its own. ``build/faults.json`` holds the result.
"""

import argparse
import signal
import sys

from . import trials_calm, trials_disk, trials_kill, trials_mongod, trials_together
from .campaign import Campaign
from .nursery import Nursery
from .report import Report
from .scenes import OPERATORS
from .world import REPOSITORY, World

KINDS = {
    "calm": trials_calm,
    "kill": trials_kill,
    "mongod": trials_mongod,
    "disk": trials_disk,
    "together": trials_together,
}


def main():
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="draws the moments, sizes and delays")
    parser.add_argument("--trials", type=int, default=40, help="moments of the first run_elfs; the others follow")
    parser.add_argument("--only", help=f"kinds, separated by commas: {', '.join(KINDS)}")
    parser.add_argument("--operator", help=f"only what disturbs these, separated by commas: {', '.join(OPERATORS)}")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    options = parser.parse_args()
    kinds = options.only.split(",") if options.only else list(KINDS)
    for kind in kinds:
        if kind not in KINDS:
            parser.error(f"There is no kind {kind!r}. Use: {', '.join(KINDS)}.")
    for name in (options.operator or "").split(","):
        if options.operator and name not in OPERATORS:
            parser.error(f"There is no operator {name!r}. Use: {', '.join(OPERATORS)}.")
    if options.trials < 1:
        parser.error("--trials must be at least 1.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the folder and the database go then as well
    report = Report(options.seed)
    try:
        with World(options.keep) as world, Nursery(world) as nursery:
            campaign = Campaign(world, nursery, options.seed, options.trials, options.operator)
            for kind in kinds:
                campaign.play(kind, KINDS[kind].trials(campaign), report)
    finally:  # also what was done before it was interrupted
        report.write(REPOSITORY / "build" / "faults.json")
        print(f"\n{report.summary()}")
    raise SystemExit(1 if report.failed or not report.trials else 0)


if __name__ == "__main__":
    main()
