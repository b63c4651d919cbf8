"""``python -m elfs_plugin choose-images``: images by their objects."""

import argparse
import json

from .rows import load_dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("dataset", metavar="DATASET", help="a dataset of objects with a run, made by `rows`")
    parser.add_argument("--key", default="elfs", help="the run key (elfs)")
    parser.add_argument("--budget", required=True, help="what the images may cost together, or a share as 10%%")
    parser.add_argument("--cost", default="image", help="image (1 each), object, or a field of the images (image)")
    parser.add_argument("--neighbors", type=int, default=30, help="neighbours of an object that count (30)")
    parser.add_argument("--locked-tag", help="images of objects with this tag are labelled already")
    parser.add_argument("--tag", help="the coreset's tag (KEY_object_coverage)")
    parser.add_argument("--no-write-back", action="store_true", help="leave the dataset of the images as it is")
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object")
    parser.set_defaults(function=_choose)


def _choose(options):
    from .. import runs
    from ..progress import TerminalBar

    told = runs.choose_images(
        load_dataset(options.dataset),
        options.key,
        budget=options.budget,
        cost=options.cost,
        tag=options.tag,
        neighbors=options.neighbors,
        locked_tag=options.locked_tag,
        write_back=not options.no_write_back,
        sinks=[TerminalBar()],
    )
    print(
        f"{told['images']:,} images with {told['coreset']:,} objects under the tag '{told['tag']}', cost "
        f"{told['cost']:,g}; they cover {told['covered']:.1%} of what all images would"
    )
    if told["without_objects"]:
        print(f"{told['without_objects']:,} images have no object in the run and cannot be chosen")
    if options.json:
        print(json.dumps(told), flush=True)
    return 0
