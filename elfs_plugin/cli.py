"""``python -m elfs_plugin``: the demo, a run over a folder of images or a FiftyOne dataset, a comparison of methods."""

import argparse
import json
import os
import sys
from pathlib import Path

from . import cli_compare
from .errors import ElfsError, InvalidInput, explain
from .install import point_fiftyone_here

PORT = 5151


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def main(arguments=None):
    """Runs the command line and returns its exit code: 0 done, 1 failed, 2 wrong arguments, 130 interrupted."""
    options = _parser().parse_args(arguments)
    os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")  # a notice about MongoDB 6 at every start
    point_fiftyone_here()
    try:
        return options.function(options)
    except InvalidInput as error:
        print(f"elfs_plugin: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted. Run it again and it resumes from the last finished stage.", file=sys.stderr)
        return 130
    except Exception as error:  # the last stop: a sentence instead of a traceback (ELFS_DEBUG shows it)
        if not isinstance(error, ElfsError) and os.environ.get("ELFS_DEBUG"):
            raise
        print(f"elfs_plugin: {explain(error)}", file=sys.stderr)
        return 1


def _parser():
    parser = _Parser(prog="elfs_plugin", description="Choose which images to label, without labels.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    demo = commands.add_parser("demo", help="the whole of ELFS on scikit-learn's handwritten digits")
    demo.add_argument("--no-app", action="store_true", help="end after the printed summary")
    demo.add_argument("--port", type=int, default=PORT)
    demo.set_defaults(function=_demo)

    run = commands.add_parser("run", help="run ELFS on a folder of images or a FiftyOne dataset")
    run.add_argument("source", metavar="SOURCE", help="a folder of images, or the name of a FiftyOne dataset")
    run.add_argument(
        "--budget", type=_budget, default=0.1, help="images to keep: a fraction in (0, 1] or a count (0.1)"
    )
    run.add_argument("--clusters", type=_clusters, default=10, help="the classes you expect (10), or auto")
    run.add_argument("--encoder", default=None, help="pixels (default), timm:…, open_clip:…, zoo:…")
    run.add_argument("--weights", help="a local checkpoint for the encoder")
    run.add_argument("--embeddings", metavar="FIELD", help="use this vector field of the dataset instead of an encoder")
    run.add_argument("--beta", type=_beta, default="auto", help="auto (default) or a number")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--key", default="elfs", help="the run key (elfs)")
    run.add_argument("--name", help="the dataset to create or reuse for a folder (the folder's name)")
    run.add_argument("--preset", choices=("auto", "quick", "published"), default="auto", help="clustering effort")
    run.add_argument("--proxy", default="auto", help="auto, mlp, resnet8, resnet18, resnet18_fast or timm:<model>")
    run.add_argument("--beta-proxy", default="auto", help="what the β search trains: auto (by the proxy), mlp for a "
                     "model on embeddings, resnet8 or resnet18 for a network that learns from the images")  # fmt: skip
    run.add_argument("--device", default="auto")
    run.add_argument("--no-app", action="store_true", help="do not open the App")
    run.add_argument("--port", type=int, default=PORT)
    run.add_argument("--json", action="store_true", help="end standard output with one JSON object")
    run.set_defaults(function=_run)

    compare = commands.add_parser("compare", help="which selection method to trust: all of them beside Random")
    cli_compare.add_arguments(compare, _clusters)
    compare.set_defaults(function=cli_compare.run)
    return parser


def _budget(text):
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number; use a fraction in (0, 1] or a count") from None


def _clusters(text):
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither 'auto' nor a whole number") from None


def _beta(text):
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither 'auto' nor a number") from None


def _demo(options):
    from .demo import run_demo

    return run_demo(app=not options.no_app, port=options.port)


def _run(options):
    if options.embeddings and options.encoder:
        raise InvalidInput("Give --encoder or --embeddings, not both.")
    if options.weights and (options.encoder or "pixels") == "pixels":
        raise InvalidInput("--weights goes with --encoder timm:<model> or open_clip:<model>/<tag>.")
    from . import runs
    from .progress import TerminalBar

    dataset = open_source(options.source, options.name)
    summary = runs.run_elfs(
        dataset,
        options.key,
        num_clusters=options.clusters,
        budget=options.budget,
        encoder=None if options.embeddings else options.encoder or "pixels",
        weights=options.weights,
        embeddings_field=options.embeddings,
        beta=options.beta,
        preset=options.preset,
        proxy=options.proxy,
        beta_proxy=options.beta_proxy,
        seed=options.seed,
        device=options.device,
        tag=f"{options.key}_coreset",
        view_name=f"{options.key}_coreset",
        sinks=[TerminalBar()],
    )
    print_summary(dataset, summary)
    if options.json:
        names = ("samples", "failed", "clusters", "beta", "budget", "coreset", "stages")
        print(json.dumps({name: summary[name] for name in names}), flush=True)
    if not options.no_app:
        open_app(dataset, options.port)
    return 0


IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2", ".avif"}


def open_source(source, name=None):
    """The dataset of that name, or a persistent one made of (or topped up with) the images of a folder.

    Raises:
        InvalidInput: when the source is neither, or the folder has no images
    """
    import fiftyone as fo

    folder = Path(source).expanduser()
    if not folder.is_dir():
        if fo.dataset_exists(source):
            return fo.load_dataset(source)
        raise InvalidInput(
            f"'{source}' is neither a folder nor a FiftyOne dataset. `fiftyone datasets list` shows yours."
        )
    folder = folder.resolve()
    paths = sorted(str(p) for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not paths:
        raise InvalidInput(f"There are no images in {folder} (looked for {', '.join(sorted(IMAGE_SUFFIXES))}).")
    name = name or folder.name
    if fo.dataset_exists(name):
        dataset = fo.load_dataset(name)
        if not set(dataset.values("filepath")) & set(paths) and dataset.count():
            raise InvalidInput(f"A dataset '{name}' exists and holds other images. Give another name with --name.")
    else:
        dataset = fo.Dataset(name, persistent=True)
    add_images(dataset, paths)
    return dataset


def add_images(dataset, paths):
    """Adds those image files that the dataset does not hold yet."""
    import fiftyone as fo

    known = set(dataset.values("filepath")) if dataset.media_type else set()
    new = [path for path in paths if path not in known]
    if new:
        # A generator: FiftyOne keeps samples alive that it must then refresh after every write.
        dataset.add_samples((fo.Sample(path) for path in new), progress=False, num_samples=len(new))


def print_summary(dataset, summary):
    zones = f"{summary['hard']:,} too hard, {summary['coreset']:,} coreset, {summary['easy']:,} too easy"
    counts = f"{summary['samples']:,} images scored, {summary['failed']:,} failed"
    print(f"Dataset {dataset.name}, run {summary['key']}: {counts}")
    print(f"  {summary['clusters']} clusters, β = {summary['beta']:.3g}: {zones}")
    if summary["estimate"]:
        print(f"  {summary['estimate']}")
    if summary["reason"]:
        print(f"  {summary['reason']}")
    for warning in summary["warnings"]:
        print(f"  Warning: {warning}")
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary["stages"].items() if seconds is not None)
    print(f"  Time: {times}")


def open_app(dataset, port):
    """Opens the App with the grid and the panel side by side and waits until it is closed."""
    import fiftyone as fo

    session = fo.launch_app(dataset, port=port, spaces=workspace())
    print(f"The App runs at http://localhost:{port}/datasets/{dataset.name} (Ctrl+C ends it)", flush=True)
    session.wait(-1)


def workspace():
    """The grid and the panel side by side."""
    from .runs.workspace import spaces

    return spaces()
