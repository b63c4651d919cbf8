"""``python -m elfs_plugin``: the demo, a run over a folder of images or a FiftyOne dataset, a comparison of methods."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..engine.choose import using
from ..engine.names import ENGINES
from ..errors import ElfsError, InvalidInput, explain
from ..text import printable
from . import arguments as cli_arguments
from . import compare as cli_compare
from . import objects as cli_objects
from . import rounds as cli_rounds
from . import rows as cli_rows
from . import signals as cli_signals
from .app import open_app, print_summary, say
from .install import point_fiftyone_here
from .source import add_images, open_source, opened

__all__ = ["add_images", "main", "open_app", "open_source", "print_summary"]

PORT = 5151

EXAMPLES = """\
examples:
  python -m elfs_plugin demo
  python -m elfs_plugin run photos --clusters 10 --budget 10%
  python -m elfs_plugin run photos --clusters auto --budget 500 --encoder timm:vit_base_patch16_224.dino
  python -m elfs_plugin compare photos --budgets 1%,10% --csv methods.csv
  python -m elfs_plugin rounds next photos --budget 100 --classes cat,dog"""

INTERRUPTED = "Interrupted. Run it again and it resumes from the last finished stage."


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: {_one_line(message)}. See {self.prog} --help.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 done, 1 failed, 2 wrong arguments, 130 interrupted by Ctrl-C,
    143 by SIGTERM."""
    with contextlib.suppress(AttributeError, ValueError):  # a stream that somebody put in its place
        stream: Any = sys.stdout
        stream.reconfigure(errors="backslashreplace")  # a terminal that lacks 'β' costs no result
    options = _parser().parse_args(arguments)
    os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")  # a notice about MongoDB 6 at every start
    try:
        with cli_signals.raised():
            return _command(options)
    except KeyboardInterrupt as stop:
        say(f"\n{INTERRUPTED}")
        return getattr(stop, "code", 130)


def _command(options):
    try:
        point_fiftyone_here()
        return options.function(options)
    except InvalidInput as error:
        say(f"elfs_plugin: {_one_line(error)}")
        return 2
    except BrokenPipeError:  # the reader of the output, as head, has seen enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
        return 1
    except ImportError as error:
        if os.environ.get("ELFS_DEBUG"):
            raise
        say(
            f"elfs_plugin: A package is missing ({_one_line(error)}). Install the plugin's requirements: pip install "
            "-r requirements.txt"
        )
        return 1
    except Exception as error:  # the last stop: a sentence instead of a traceback (ELFS_DEBUG shows it)
        if not isinstance(error, ElfsError) and os.environ.get("ELFS_DEBUG"):
            raise
        say(f"elfs_plugin: {_one_line(explain(error))}")
        return 1


def _one_line(text):
    return " ".join(str(text).split())


def _parser():
    parser = _Parser(
        prog="elfs_plugin",
        description="Choose which images to label, without labels.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ELFS for FiftyOne {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    demo = commands.add_parser("demo", help="the whole of ELFS on scikit-learn's handwritten digits")
    demo.set_defaults(function=_demo)

    run = commands.add_parser("run", help="run ELFS on a folder of images or a FiftyOne dataset")
    run.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder of images, or the name of a FiftyOne dataset (./NAME is the folder where both exist)",
    )
    run.add_argument(
        "--budget",
        type=cli_arguments.budget,
        default=0.1,
        help="images to keep: a fraction in (0, 1], percent (10%%) or a count (0.1)",
    )
    run.add_argument("--clusters", type=cli_arguments.clusters, default=10, help="the classes you expect (10), or auto")
    run.add_argument(
        "--encoder",
        default=None,
        help="what turns images into vectors: auto (default: pixels for tiny grey images, DINOv2 ViT-S where a model "
        "hub answers, else lite0), pixels, lite0, timm:…, open_clip:…, zoo:…",
    )
    run.add_argument("--weights", help="a local checkpoint for a timm: or open_clip: encoder")
    run.add_argument("--embeddings", metavar="FIELD", help="use this vector field of the dataset instead of an encoder")
    run.add_argument("--similarity-index", metavar="KEY", help="use the vectors of this similarity index of FiftyOne's")
    run.add_argument(
        "--beta",
        type=cli_arguments.beta,
        default="auto",
        help="β, the share of all images that is left out as too hard, as 0.3 or 30%%; auto (default) searches it",
    )
    run.add_argument(
        "--method",
        help="what chooses: auto (the method recommended for the budget; default), elfs (the default where --beta is "
        "given), or another selector",
    )
    run.add_argument(
        "--learner",
        help="what is going to learn from the labels, for --method auto: probe (default; a model on embeddings or a "
        "pretrained network), rare (the same, where some classes are rare) or network (one that learns from these "
        "images alone)",
    )
    run.add_argument("--key", default="elfs", help="the run key (elfs); its tag and saved view are <key>_coreset")
    run.add_argument("--name", help="the dataset to create or reuse for a folder (the folder's name)")
    run.add_argument("--preset", choices=("auto", "quick", "published"), default="auto", help="clustering effort")
    run.add_argument("--proxy", default="auto", help="auto, mlp, resnet8, resnet18, resnet18_fast or timm:<model>")
    run.add_argument(
        "--beta-proxy",
        default="auto",
        help="what the β search trains: auto (by the proxy), mlp for a "
        "model on embeddings, resnet8 or resnet18 for a network that learns from the images",
    )
    run.add_argument("--json", action="store_true", help="end standard output with one JSON object")
    run.set_defaults(function=_run)

    compare = commands.add_parser("compare", help="which selection method to trust: all of them beside Random")
    cli_compare.add_arguments(compare)
    compare.set_defaults(function=cli_compare.run)

    rounds = commands.add_parser("rounds", help="the labelling: choose a batch, send it, take labels back, again")
    cli_rounds.add_arguments(rounds)

    rows = commands.add_parser("rows", help="the frames of videos as a dataset of their own, on which the rest works")
    back = commands.add_parser("write-back", help="results on such a dataset to where its rows come from")
    cli_rows.add_arguments(rows, back)

    images = commands.add_parser("choose-images", help="images by what their objects add, on a dataset of objects")
    cli_objects.add_arguments(images)

    convert = commands.add_parser(
        "convert-checkpoint",
        help="a checkpoint whose weights have other names than timm's model: written anew with these",
    )
    convert.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a file of the same network, its weights in the same order"
    )
    convert.add_argument("target", metavar="NEW_FILE", help="the file to write, which must not exist")
    convert.add_argument("--encoder", required=True, metavar="timm:MODEL", help="the model whose names are to be used")
    convert.set_defaults(function=_convert)

    for command in (run, compare):
        command.add_argument(
            "--precut",
            type=cli_arguments.precut,
            default="auto",
            help="how many of a run's images, spread evenly, go on to the clustering: a number, off, or auto (default: "
            "a million of more than five million)",
        )
        command.add_argument(
            "--kept-tag", metavar="TAG", help="images with this tag, as those labelled already, are not left out by it"
        )
        command.add_argument(
            "--seed", type=cli_arguments.seed, default=0, help="a whole number: the same seed gives the same result (0)"
        )
        command.add_argument(
            "--device", default="auto", help="what computes: auto (a GPU when there is one), cpu, cuda, cuda:1, mps"
        )
        command.add_argument(
            "--engine",
            choices=ENGINES,
            help="what runs independent pieces of work: local (threads; default, unless ELFS_ENGINE says otherwise) or "
            "ray (pip install 'ray[data]')",
        )
        command.add_argument(
            "--address",
            metavar="HOST:PORT",
            help="of a Ray cluster that this machine belongs to, or auto (default: one of its own, on this machine)",
        )
    for command in (demo, run):
        command.add_argument("--no-app", action="store_true", help="end after the printed summary, without the App")
        command.add_argument(
            "--port",
            type=cli_arguments.port,
            default=PORT,
            help=f"where the App is served, http://localhost:PORT ({PORT})",
        )
    return parser


def _demo(options):
    from .demo import run_demo

    return run_demo(app=not options.no_app, port=options.port)


def _convert(options):
    from ..encoders.timm_models import convert_checkpoint

    family, _, model = options.encoder.partition(":")
    if family != "timm" or not model:
        raise InvalidInput(f"Name timm's model, as --encoder timm:resnet18, not '{printable(options.encoder)}'.")
    target = os.path.expanduser(options.target)
    if os.path.lexists(target):
        raise InvalidInput(f"{printable(options.target)} exists already. Give the name of a new file.")
    try:
        count = convert_checkpoint(model, os.path.expanduser(options.checkpoint), target)
    except OSError as error:
        raise InvalidInput(f"{printable(options.target)} cannot be written ({error.strerror}).") from None
    print(f"Written to {printable(options.target)}: {count:,} tensors under the names of {options.encoder}")
    return 0


def _run(options):
    cli_arguments.check_vectors(options)
    cli_arguments.check_device(options.device)
    if options.beta != "auto" and options.beta_proxy != "auto":
        raise InvalidInput("--beta-proxy is for --beta auto: a β that is given is not searched. Leave one out.")
    method = cli_arguments.method_of(options)
    from .. import runs
    from ..progress import TerminalBar

    chosen = f"{options.key}_coreset"
    with using(options.engine, options.address), opened(options.source, options.name) as source:
        dataset = source.dataset
        summary = runs.run_elfs(
            dataset,
            options.key,
            num_clusters=options.clusters,
            budget=options.budget,
            encoder=cli_arguments.encoder_of(options),
            weights=options.weights,
            embeddings_field=options.embeddings,
            similarity_index=options.similarity_index,
            beta=options.beta,
            preset=options.preset,
            proxy=options.proxy,
            beta_proxy=options.beta_proxy,
            method=method,
            learner=options.learner or "probe",
            seed=options.seed,
            precut=options.precut,
            kept_tag=options.kept_tag,
            device=options.device,
            tag=chosen,
            view_name=chosen,
            sinks=[TerminalBar()],
        )
    print_summary(dataset, summary, tag=chosen, view=chosen)
    if options.json:
        names = ("samples", "failed", "clusters", "beta", "budget", "coreset", "method", "recommended", "stages")
        made = {"dataset": dataset.name, "key": options.key, "tag": chosen, "view": chosen}
        told = {name: summary[name] for name in names}
        print(json.dumps({**told, **made, "passed_over": source.passed_over}), flush=True)
    # The JSON stays the last line of standard output.
    return 0 if options.no_app else open_app(dataset, options.port, sys.stderr if options.json else sys.stdout)
