"""``python -m elfs_plugin rounds …``: the rounds of labelling of a run, without the App."""

from __future__ import annotations

import argparse
import inspect
import json
import os

from ..errors import InvalidInput
from ..runs.rounds.names import NAMES
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
    choose.add_argument("--class-budgets", help="images of single classes, as far as a model can tell: cat=20,dog=10")
    choose.add_argument(
        "--name",
        dest="names",
        action="append",
        metavar="NAME=VALUE",
        help=f"another name for a tag or view (the first time): {', '.join(NAMES)}",
    )
    choose.add_argument("--seed", type=cli_arguments.seed, default=0, help="the same seed gives the same batch (0)")
    choose.set_defaults(function=_next)

    send = steps.add_parser("send", help="send a batch to be labelled")
    send.add_argument("--to", default="in_app", help="in_app (default), labelstudio, cvat or files")
    send.add_argument("--annotators", help="names with commas between: the batch is dealt out among them")
    send.add_argument("--control", type=int, default=0, help="images that all annotators get (0)")
    send.add_argument("--chunk", type=int, help="images of one upload, a part of its own (what the tool can take)")
    send.add_argument(
        "--prelabels", help="suggestions: model, clusters, open_clip:<model>/<tag>, or a field of classifications"
    )
    send.add_argument("--weights", help="a local checkpoint for --prelabels open_clip:…")
    send.add_argument("--seed", type=cli_arguments.seed, default=0, help="of suggestions by a model (0)")
    send.set_defaults(function=_send)

    back = steps.add_parser("take-back", help="take finished labels back")
    back.add_argument("--close", action="store_true", help="end the round: what is not labelled goes back to the pool")
    back.set_defaults(function=_take_back)

    again = steps.add_parser("ask-again", help="let what annotators have skipped wait for a label again")
    again.add_argument("--ids", help="of samples, with commas between (all that are skipped in the round)")
    again.set_defaults(function=_ask_again)

    learn = steps.add_parser("learn", help="let the labels correct the pseudo-labels, and score again")
    learn.set_defaults(function=_learn)

    forget = steps.add_parser("forget", help="end the rounds: their marks go, the labels stay")
    forget.set_defaults(function=_forget)

    for step in (choose, learn):
        step.add_argument("--device", help="where to compute: auto (default), cpu, cuda …")
    for step in (status, choose, send, back, again, learn, forget):
        step.add_argument("dataset", metavar="DATASET", help="the name of a FiftyOne dataset")
        step.add_argument("--key", default="elfs", help="the run key (elfs)")
        step.add_argument("--json", action="store_true", help="end standard output with one JSON object")
    for step in (send, back, again):
        step.add_argument("--round", type=int, help="its number (the last one)")
    for step in (send, back):
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
    for name, value in _pairs("--option", given):
        if value.startswith("@"):
            if value[1:] not in os.environ:
                raise InvalidInput(f"--option {name}: there is no environment variable {value[1:]}.")
            value = os.environ[value[1:]]
        found[name.replace("-", "_")] = value
    return found


def _pairs(option, given):
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise InvalidInput(f"{option} takes NAME=VALUE, not '{text}'.")
        yield name.strip(), value


def _dataset(options):
    import fiftyone as fo

    if not fo.dataset_exists(options.dataset):
        raise InvalidInput(
            f"There is no dataset '{options.dataset}': `fiftyone datasets list` shows yours. Rounds need a finished "
            "run; `python -m elfs_plugin run FOLDER` makes a dataset and a run."
        )
    return fo.load_dataset(options.dataset)


def _given(options, function, /, **changed):
    """What a job takes of the options that were given; ``changed`` ones are no longer texts. A device is looked for
    now: a job does so only when it computes."""
    if getattr(options, "device", None) is not None:
        cli_arguments.check_device(options.device)
    names = inspect.signature(function).parameters.keys() - {"dataset", "sinks"}
    found = {**{name: value for name, value in vars(options).items() if name in names}, **changed}
    return {name: value for name, value in found.items() if value is not None}


def _bars():
    from ..progress import TerminalBar

    return [TerminalBar()]


def _next(options):
    from .. import runs

    named = None if options.names is None else dict(_pairs("--name", options.names))
    given = _given(options, runs.next_batch, names=named)
    told = runs.next_batch(_dataset(options), **given, sinks=_bars())
    parts = ", ".join(f"{count:,} {source}" for source, count in told["sources"].items())
    print(f"Round {told['round']}: {told['chosen']:,} images by {told['method']} ({parts}), tag '{told['tag']}'")
    if told["golden"]:
        print(f"  and {told['golden']:,} of the golden set, which measures")
    return _end(options, told)


def _send(options):
    from .. import runs

    given = _given(options, runs.send_batch, options=options_of(options.option))
    told = runs.send_batch(_dataset(options), **given, sinks=_bars())
    print(f"Round {told['round']}: {told['sent']:,} images sent to {told['to']}")
    for part in told["parts"]:
        who = f" for {part['annotator']}" if part.get("annotator") else ""
        where = part.get("url") or part.get("path") or ""
        print(f"  {part['key']}: {part['samples']:,} images{who} {where}".rstrip())
    return _end(options, told)


def _take_back(options):
    from .. import runs

    given = _given(options, runs.take_back, options=options_of(options.option))
    told = runs.take_back(_dataset(options), **given, sinks=_bars())
    counts = f"{told['labelled']:,} labelled now, {told['before']:,} before, {told['skipped']:,} skipped"
    print(f"Round {told['round']}: {counts}, {told['waiting']:,} not back yet")
    if told["given_up"]:
        print(f"  The round has ended: {told['given_up']:,} images without a label go back to the pool")
    if told["control"]:
        control = told["control"]
        agreed = f"annotators agree on {control['agreed']:,} of {control['images']:,} images"
        print(f"  Control set: {agreed}, {control['waiting']:,} wait for somebody's answer")
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


def _ask_again(options):
    from .. import runs

    given = _given(options, runs.ask_again, ids=options.ids and [i.strip() for i in options.ids.split(",")])
    waiting = runs.ask_again(_dataset(options), **given, sinks=_bars())
    print(f"{waiting:,} skipped images wait for a label again")
    return _end(options, {"key": options.key, "waiting": waiting})


def _learn(options):
    from .. import runs

    told = runs.learn_labels(_dataset(options), **_given(options, runs.learn_labels), sinks=_bars())
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
