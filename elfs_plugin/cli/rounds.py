"""``python -m elfs_plugin rounds …``: the rounds of labelling of a run, without the App."""

from __future__ import annotations

import argparse
import json
import os

from ..errors import InvalidInput
from . import arguments as cli_arguments

SECRETS_FROM = "a value @NAME is read from the environment variable NAME"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the steps of a round, each a command of its own."""
    steps = parser.add_subparsers(required=True, metavar="STEP", parser_class=type(parser))

    status = steps.add_parser("status", help="the rounds so far, and what comes next")
    status.set_defaults(function=_status)

    choose = steps.add_parser("next", help="choose the next batch")
    choose.add_argument("--budget", type=cli_arguments.budget, required=True, help="images to label, or a share")
    choose.add_argument("--classes", help="what annotators choose from, with commas between; later: more of them")
    choose.add_argument("--labels-field", help="the field of the labels (ground_truth; the first time)")
    choose.add_argument("--golden", type=int, help="size of the golden set, which measures (the first time)")
    choose.add_argument("--share", type=float, help="of the batch that covers; the rest is targeted (0.3)")
    choose.add_argument("--target", help="uncertainty (default), failures or rare")
    choose.add_argument("--failures-tag", help="images that your own model got wrong, for --target failures")
    choose.add_argument("--seed", type=cli_arguments.seed, default=0, help="the same seed gives the same batch (0)")
    choose.set_defaults(function=_next)

    send = steps.add_parser("send", help="send a batch to be labelled")
    send.add_argument("--to", default="in_app", help="in_app (default), labelstudio, cvat or files")
    send.add_argument("--annotators", help="names with commas between: the batch is dealt out among them")
    send.add_argument("--control", type=int, default=0, help="images that all annotators get (0)")
    send.add_argument(
        "--prelabels", help="suggestions: model, clusters, open_clip:<model>/<tag>, or a field of classifications"
    )
    send.add_argument("--weights", help="a local checkpoint for --prelabels open_clip:…")
    send.set_defaults(function=_send)

    back = steps.add_parser("take-back", help="take finished labels back")
    back.add_argument("--close", action="store_true", help="end the round: what is not labelled goes back to the pool")
    back.set_defaults(function=_take_back)

    learn = steps.add_parser("learn", help="let the labels correct the pseudo-labels, and score again")
    learn.set_defaults(function=_learn)

    forget = steps.add_parser("forget", help="end the rounds: their marks go, the labels stay")
    forget.set_defaults(function=_forget)

    for step in (status, choose, send, back, learn, forget):
        step.add_argument("dataset", metavar="DATASET", help="the name of a FiftyOne dataset")
        step.add_argument("--key", default="elfs", help="the run key (elfs)")
        step.add_argument("--json", action="store_true", help="end standard output with one JSON object")
    for step in (send, back):
        step.add_argument("--round", type=int, help="its number (the last one)")
        step.add_argument(
            "--option",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help=f"of the labelling tool, as url=http://localhost:8080; {SECRETS_FROM}",
        )


def options_of(given: list[str]) -> dict[str, str]:
    """``NAME=VALUE`` as a dict of texts, of which the tool's options make what they are.

    Raises:
        InvalidInput
    """
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise InvalidInput(f"--option takes NAME=VALUE, not '{text}'.")
        if value.startswith("@"):
            if value[1:] not in os.environ:
                raise InvalidInput(f"--option {name}: there is no environment variable {value[1:]}.")
            value = os.environ[value[1:]]
        found[name.strip().replace("-", "_")] = value
    return found


def _dataset(options):
    import fiftyone as fo

    if not fo.dataset_exists(options.dataset):
        raise InvalidInput(
            f"There is no dataset '{options.dataset}': `fiftyone datasets list` shows yours. Rounds need a finished "
            "run; `python -m elfs_plugin run FOLDER` makes a dataset and a run."
        )
    return fo.load_dataset(options.dataset)


def _given(options, *names):
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _bars():
    from ..progress import TerminalBar

    return [TerminalBar()]


def _next(options):
    from .. import runs

    names = ("budget", "classes", "labels_field", "golden", "share", "target", "failures_tag", "seed")
    told = runs.next_batch(_dataset(options), options.key, **_given(options, *names), sinks=_bars())
    parts = ", ".join(f"{count:,} {source}" for source, count in told["sources"].items())
    print(f"Round {told['round']}: {told['chosen']:,} images by {told['method']} ({parts}), tag '{told['tag']}'")
    if told["golden"]:
        print(f"  and {told['golden']:,} of the golden set, which measures")
    return _end(options, told)


def _send(options):
    from .. import runs

    told = runs.send_batch(
        _dataset(options),
        options.key,
        options=options_of(options.option),
        **_given(options, "to", "round", "annotators", "control", "prelabels", "weights"),
        sinks=_bars(),
    )
    print(f"Round {told['round']}: {told['sent']:,} images sent to {told['to']}")
    for part in told["parts"]:
        who = f" for {part['annotator']}" if part.get("annotator") else ""
        where = part.get("url") or part.get("path") or ""
        print(f"  {part['key']}: {part['samples']:,} images{who} {where}".rstrip())
    return _end(options, told)


def _take_back(options):
    from .. import runs

    told = runs.take_back(
        _dataset(options),
        options.key,
        options=options_of(options.option),
        close=options.close,
        **_given(options, "round"),
        sinks=_bars(),
    )
    counts = f"{told['labelled']:,} labelled now, {told['before']:,} before, {told['skipped']:,} skipped"
    print(f"Round {told['round']}: {counts}, {told['waiting']:,} not back yet")
    if told["given_up"]:
        print(f"  The round has ended: {told['given_up']:,} images without a label go back to the pool")
    judged, measured = told["pseudo_labels"], told["measured"]
    if judged.get("right") is not None:
        print(f"  Pseudo-labels were right for {judged['right']:.1%} of {judged['images']:,} labelled images")
    if measured.get("accuracy") is not None:
        error = f" ± {measured['standard_error']:.1%}" if measured.get("standard_error") is not None else ""
        learnt = f"{measured['n']:,} images, by {measured['labels']:,} labels"
        print(f"  Golden set: {measured['accuracy']:.1%}{error} of {learnt}")
    if told["advice"]:
        print(f"  {told['advice']}")
    return _end(options, told)


def _learn(options):
    from .. import runs

    told = runs.learn_labels(_dataset(options), options.key, sinks=_bars())
    print(f"{told['labels']:,} labels: {told['by_model']:,} of {told['clusters']:,} clusters by a model of them")
    return _end(options, told)


def _forget(options):
    from .. import runs

    told = runs.forget_rounds(_dataset(options), options.key, sinks=_bars())
    print(f"{told['rounds']:,} rounds are forgotten; the labels stay")
    return _end(options, told)


def _status(options):
    from .. import runs
    from ..runs.rounds import state

    run = runs.Run(_dataset(options), options.key).require("scores", "rounds")
    found = state.rounds_of(run.record)
    for one in found:
        back = f", {one.returned.get('labelled', 0) + one.returned.get('before', 0):,} labelled" if one.returned else ""
        measured = f", golden set {one.measured['accuracy']:.1%}" if one.measured.get("accuracy") is not None else ""
        to = f" to {one.sent['to']}" if one.sent else ""
        print(f"Round {one.number}: {one.chosen:,} images by {one.method}, {one.state}{to}{back}{measured}")
    if not found:
        print("No rounds yet: choose the first batch with `python -m elfs_plugin rounds next`")
    return _end(options, {"key": options.key, "rounds": run.record.rounds, "labelling": run.record.labelling})


def _end(options, told):
    for warning in told.get("warnings", ()):
        print(f"  Warning: {warning}")
    if options.json:
        print(json.dumps(told, default=str), flush=True)
    return 0
