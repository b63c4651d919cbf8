"""``python -m elfs_plugin rows`` and ``write-back``: frames, groups or objects as a dataset of their own, and back."""

import argparse
import json
from typing import Any

from ..errors import InvalidInput
from ..nouns import KINDS
from ..text import is_text, printable
from .app import say

LISTED = 20
"""Videos without frames that are named."""


def add_arguments(make: argparse.ArgumentParser, back: argparse.ArgumentParser) -> None:
    """Adds the arguments of both commands."""
    make.add_argument("source", metavar="SOURCE", help="the name of a FiftyOne dataset of videos")
    make.add_argument("--kind", choices=list(KINDS), help="what a row is (by what the dataset holds)")
    make.add_argument("--name", help="the dataset to make or to bring up to date (SOURCE-elfs-KIND)")
    make.add_argument("--fps", type=float, help="frames in a second; 0: every frame (1)")
    make.add_argument("--longest-side", type=int, help="pixels of the images of frames (as large as the video)")
    make.add_argument("--field", help="detections or polylines whose objects are the rows (the only such field)")
    make.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another setting of the kind, repeatable"
    )
    make.set_defaults(function=_make)

    back.add_argument("dataset", metavar="DATASET", help="the dataset of rows, or the one that it was made of")
    back.add_argument("--key", default="elfs", help="the run key (elfs)")
    back.add_argument("--tag", help="the coreset whose rows are the chosen ones (the one that was saved last)")
    back.add_argument(
        "--clips",
        type=float,
        help="seconds around each chosen frame of a view of clips (as the last time, or no clips)",
    )
    back.set_defaults(function=_write_back)
    for command in (make, back):
        command.add_argument("--json", action="store_true", help="end standard output with one JSON object")


def _make(options):
    from .. import runs
    from ..progress import TerminalBar
    from ..runs import companions

    source = load_dataset(options.source)
    kind = options.kind or companions.offered_kind(source)
    given = {"fps": options.fps, "longest_side": options.longest_side, "field": options.field}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings.update(_settings(options.set))
    told = runs.make_rows(source, kind, name=options.name, settings=settings, sinks=[TerminalBar()])
    print(
        f"{told['rows']:,} {KINDS[kind].noun.many} in the dataset '{told['dataset']}' "
        f"({told['added']:,} new, {told['removed']:,} removed)"
    )
    if "bytes" in told:
        print(f"pictures of them: {told['bytes'] / 1e6:,.1f} MB")
    for reason, count in told.get("excluded", {}).items():
        say(f"left out: {KINDS[kind].noun.count(count)}: {reason}")
    listed = dict(list(told["left_out"].items())[:LISTED])
    paths = dict(zip(*source.select(list(listed)).values(["id", "filepath"]))) if listed else {}
    for parent, reason in listed.items():
        say(f"left out: {printable(paths.get(parent) or parent)}: {reason}")
    if told["without_rows"] > LISTED:
        say(f"left out: {told['without_rows'] - LISTED:,} more")
    return _end(options, told)


def _write_back(options):
    from .. import runs
    from ..progress import TerminalBar

    dataset = runs.resolved(load_dataset(options.dataset))
    chosen = None if options.clips is None else {"clips": options.clips}
    told = runs.write_rows_back(dataset, options.key, tag=options.tag, options=chosen, sinks=[TerminalBar()])
    print(f"{told['chosen']:,} chosen, written to '{told['dataset']}'; saved views: {', '.join(told['views'])}")
    return _end(options, told)


def _end(options, told):
    if options.json:
        print(json.dumps(told), flush=True)
    return 0


def load_dataset(name: str) -> Any:
    """The dataset of a name.

    Raises:
        InvalidInput: when there is none
    """
    import fiftyone as fo

    if not is_text(name) or not fo.dataset_exists(name):
        raise InvalidInput(f"There is no FiftyOne dataset '{printable(name)}': `fiftyone datasets list` shows yours.")
    return fo.load_dataset(name)


def _settings(given):
    """Values as JSON where they are, else as text."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidInput(f"--set takes NAME=VALUE, not '{printable(text)}'.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
