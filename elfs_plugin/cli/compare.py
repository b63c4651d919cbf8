"""``python -m elfs_plugin compare``: the family of selectors on a dataset, a folder of images or an array."""

import json
import os
import stat
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

import numpy as np

from ..engine.choose import using
from ..errors import ElfsError, InvalidInput
from ..evaluation import tables as comparison_table
from ..progress import Reporter, TerminalBar
from ..text import printable
from . import arguments as cli_arguments
from .source import opened

COLUMNS = (
    ("method", "method", "{}"),
    ("accuracy", "pseudo-labels, %", "{:.1%}"),
    ("minus_random", "- Random", "{:+.1%}"),
    ("true_accuracy", "true labels, %", "{:.1%}"),
    ("true_accuracy_minus_random", "- Random", "{:+.1%}"),
    ("coverage", "nearest chosen", "{:.3f}"),
    ("imbalance", "imbalance", "{:.2f}"),
    ("near_duplicates", "near-duplicates", "{:,.0f}"),
    ("overlap_of_seeds", "seeds share", "{:.0%}"),
    ("seconds_all_budgets", "seconds", "{:.1f}"),
)
LEGEND = """\
pseudo-labels, true labels: accuracy on a held-out tenth of a small network trained on the coreset, mean ± standard
deviation over the seeds, and its difference to Random's; nearest chosen: mean cosine distance from any sample to the
coreset; imbalance: how far the clusters' shares are from the pool's; near-duplicates: pairs in the coreset; seeds
share: how much of the coreset another seed chooses again; seconds: to choose for all budgets."""


def add_arguments(parser: ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "source", metavar="SOURCE", help="a folder of images, a FiftyOne dataset, or a .npy file of embeddings"
    )
    parser.add_argument("--budgets", default="0.01,0.1,0.3", help="fractions, percent or counts (0.01,0.1,0.3)")
    parser.add_argument("--methods", help="names with commas between (default: all)")
    parser.add_argument("--seeds", type=cli_arguments.seeds, default=5, help="how often each method is tried (5)")
    parser.add_argument("--key", default="elfs", help="the run to compare on; it is made when there is none (elfs)")
    parser.add_argument("--name", help="the dataset to create or reuse for a folder (the folder's name)")
    parser.add_argument(
        "--clusters", type=cli_arguments.clusters, default=10, help="when a run is made: the classes, or auto (10)"
    )
    parser.add_argument("--encoder", default=None, help="when a run is made: auto (default), pixels, lite0, timm:…, …")
    parser.add_argument("--weights", help="when a run is made: a local checkpoint for the encoder")
    parser.add_argument("--embeddings", metavar="FIELD", help="when a run is made: use this vector field instead")
    parser.add_argument(
        "--similarity-index", metavar="KEY", help="when a run is made: use this similarity index instead"
    )
    parser.add_argument("--truth", metavar="FIELD|FILE", help="audit: a field of true labels, or an (N,) .npy file")
    parser.add_argument("--csv", metavar="FILE", help="also write the table there")
    parser.add_argument("--json", action="store_true", help="end standard output with one JSON object")


def run(options: Namespace) -> int:
    from ..pruning.zones import parse_budgets

    cli_arguments.check_vectors(options)
    budgets = parse_budgets(options.budgets)
    methods = [name.strip() for name in options.methods.split(",")] if options.methods is not None else None
    check_methods(methods)
    table = None if options.csv is None else cli_arguments.OutputFile(options.csv, CSV_HEADER)
    cli_arguments.check_device(options.device)
    compare = _compare_file if _is_file(options.source) else _compare_dataset
    with using(options.engine, options.address):
        summary = compare(options, budgets, methods)
    _print(summary)
    failed = None
    if table is not None:
        try:
            table.write(comparison_table.to_csv(summary["rows"]))
            print(f"Written to {printable(options.csv)}")
        except ElfsError as error:  # the table is on the screen and goes into the JSON all the same
            failed = error
    if options.json:
        print(json.dumps(summary), flush=True)
    if failed is not None:
        raise failed
    return 0


CSV_HEADER = "budget,method,"
"""How the first line of a table of this command begins."""


def check_methods(methods: Sequence[str] | None) -> None:
    """Refuses names of methods that do not exist.

    Raises:
        InvalidInput
    """
    from .. import selectors

    have = selectors.available()
    for name in methods or ():
        if name not in have:
            raise InvalidInput(f"Unknown selector '{name}'. Use some of: {', '.join(sorted(have))}.", "methods")


def _is_file(source):
    return source.lower().endswith(".npy") and not os.path.isdir(os.path.expanduser(source))


def _compare_dataset(options, budgets, methods):
    from .. import runs

    with opened(options.source, options.name) as source:
        dataset = source.dataset
        record = runs.load_record(dataset, options.key)
        if record is None or "scores" not in record.stages:
            runs.run_elfs(
                dataset,
                options.key,
                num_clusters=options.clusters,
                budget=max(budgets),
                encoder=cli_arguments.encoder_of(options),
                weights=options.weights,
                embeddings_field=options.embeddings,
                similarity_index=options.similarity_index,
                precut=options.precut,
                kept_tag=options.kept_tag,
                seed=options.seed,
                device=options.device,
                sinks=[TerminalBar()],
            )
        return runs.compare_methods(
            dataset,
            options.key,
            budgets=budgets,
            methods=methods,
            seeds=options.seeds,
            seed=options.seed,
            device=options.device,
            truth_field=options.truth,
            sinks=[TerminalBar()],
        )


def _compare_file(options, budgets, methods):
    from ..evaluation import audit as evaluation
    from ..evaluation import methods as method_comparison
    from ..plain import plain
    from ..stages import Stages, stage_weights

    for name in (*cli_arguments.SOURCES, "name"):
        if getattr(options, name) is not None:
            raise InvalidInput(
                f"--{name.replace('_', '-')} is for images; {printable(options.source)} holds embeddings. Leave it out."
            )
    vectors = _load_vectors(options.source)
    truth = None if options.truth is None else _load_truth(options.truth, len(vectors))
    made = stage_weights("cluster_count", "neighbors", "pseudo_labels")
    reporter = Reporter({**made, "Comparing methods": 10 * sum(made.values())}, [TerminalBar()])
    pipeline = Stages(seed=options.seed, device=options.device, reporter=reporter)
    clusters = options.clusters
    if clusters == "auto":
        clusters = pipeline.count_clusters(vectors).suggested
    graph, pseudo = pipeline.pseudo_labels(vectors, clusters)
    progress = reporter.stage("Comparing methods")
    compared = method_comparison.compare_methods(
        vectors,
        pseudo.labels,
        budgets,
        methods=methods,
        seeds=options.seeds,
        seed=options.seed,
        neighbors=graph,
        confidence=pseudo.confidence,
        device=options.device,
        progress=progress,
    )
    audited, told = {}, []
    if truth is not None:
        right = evaluation.audit_methods(compared, vectors, truth, seed=options.seed, device=options.device)
        audited, told = {"true_accuracy": right}, method_comparison.sentences(compared, right, "true labels")
    reporter.done()
    result = compared.to_dict()
    kept = {name: result[name] for name in ("budgets", "sentences", "warnings", "left_out")}
    return plain(
        {
            "samples": len(vectors),
            "clusters": clusters,
            **kept,
            "true_sentences": told,
            "rows": comparison_table.method_rows(result, **audited),
        }
    )


def _load_vectors(path):
    """(N, D) float32 of a file, all of them finite."""
    values = _load(path, 2)
    if values.dtype.kind not in "fiub" or 0 in values.shape:
        raise InvalidInput(
            f"{printable(path)} must hold (N, D) numbers; it holds {values.dtype} in the shape {values.shape}."
        )
    with np.errstate(over="ignore"):  # too large for float32 counts as infinite
        vectors = np.asarray(values, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise InvalidInput(
            f"{len(bad):,} rows of {printable(path)} hold NaN or infinite values, row {bad[0]} first. Remove them."
        )
    return vectors


def _load_truth(path, n):
    """(N,) labels of a file: numbers or texts."""
    truth = np.array(_load(path, 1))
    if len(truth) != n:
        raise InvalidInput(f"{printable(path)} has {len(truth):,} labels for {n:,} embeddings.")
    if truth.dtype.kind not in "fiubUS" or (truth.dtype.kind == "f" and not np.isfinite(truth).all()):
        raise InvalidInput(f"{printable(path)} must hold a number or a text for each sample, none of them NaN.")
    return truth


def _load(path, dimensions):
    place = os.path.expanduser(path)
    try:
        if not stat.S_ISREG(os.stat(place).st_mode):  # a pipe would wait for somebody to write to it
            raise ValueError("a folder, a pipe or a device, not a file")
        with open(place, "rb") as file:
            if not file.read(6).startswith((b"\x93NUMPY", b"PK\x03\x04")):
                raise ValueError("it does not begin as a file of numpy.save does")
        values = np.load(place, mmap_mode="r", allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file raises nearly anything
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidInput(f"{printable(path)} cannot be read as a NumPy array ({reason}).") from None
    if not isinstance(values, np.ndarray):
        raise InvalidInput(f"{printable(path)} is an archive of arrays (.npz). Save the one array with numpy.save.")
    if values.ndim != dimensions:
        wanted = "(N, D) embeddings" if dimensions == 2 else "(N,) labels"
        raise InvalidInput(f"{printable(path)} must hold {wanted}; its shape is {values.shape}.")
    return values


def _print(summary):
    """Markdown: a table for each budget, then what it says."""
    columns = [column for column in COLUMNS if column[0] in summary["rows"][0]]
    for budget in summary["budgets"]:
        rows = [row for row in summary["rows"] if row["budget"] == budget]
        print(
            f"\n{budget:,} of {summary['samples']:,} samples, {rows[0]['seeds']} seed(s); by chance two seeds share "
            f"{rows[0]['overlap_by_chance']:.1%}\n"
        )
        print("| " + " | ".join(title for _, title, _ in columns) + " |")
        print("|" + "---|" * len(columns))
        for row in rows:
            print("| " + " | ".join(_cell(row, name, form) for name, _, form in columns) + " |")
    print(f"\n{LEGEND}\n")
    for text in (*summary["sentences"], *summary["true_sentences"]):
        print(f"* {text}")
    for text in (*summary["warnings"], *summary["left_out"].values()):
        print(f"Warning: {text}")


def _cell(row, name, form):
    value = row[name]
    if value is None or value != value:
        return "-"
    text = form.format(value).rstrip("%") if "%" in form and name != "overlap_of_seeds" else form.format(value)
    spread = row.get(f"{name}_sd")
    return text if spread is None else f"{text} ± {100 * spread:.1f}"
