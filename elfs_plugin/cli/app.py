"""What every command says and opens in the end."""

import contextlib
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from ..encoders.known import labels_in_words
from ..runs.fiftyone_types import Dataset
from ..selectors.recommend import Recommendation


def say(text: str) -> None:
    """Prints a sentence for the user, who may have closed the terminal, to standard error."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def print_summary(
    dataset: Dataset, summary: Mapping[str, Any], *, tag: str | None = None, view: str | None = None
) -> None:
    """Prints what a run did, and under which names its coreset was saved."""
    from ..runs import noun_of

    zones = f"{summary['hard']:,} too hard, {summary['coreset']:,} coreset, {summary['easy']:,} too easy"
    counts = f"{noun_of(dataset).count(summary['samples'])} scored, {summary['failed']:,} failed"
    print(f"Dataset {dataset.name}, run {summary['key']}: {counts}")
    print(f"  {summary['clusters']} clusters, β = {summary['beta']:.3g}: {zones}{_by(summary)}")
    print(f"  Embeddings: {labels_in_words(summary['encoder'], summary['seen_labels'])}")
    if summary["estimate"]:
        print(f"  {summary['estimate']}")
    if summary["reason"]:
        print(f"  {summary['reason']}")
    for warning in summary["warnings"]:
        print(f"  Warning: {warning}")
    if summary.get("recommended"):
        print(f"  {Recommendation(summary['method'], **summary['recommended'])}")
    if tag:
        print(
            f"  The coreset, by {summary.get('method', 'elfs')}: tag '{tag}', saved view '{view}' of the dataset "
            f"'{dataset.name}'"
        )
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary["stages"].items() if seconds is not None)
    print(f"  Time: {times}")


def _by(summary):
    return "" if summary.get("method", "elfs") == "elfs" else " (by ELFS; the coreset below is another one)"


def open_app(dataset: Dataset, port: int, stream: TextIO | None = None) -> int:
    """Opens the App with the grid and the panel side by side and waits until it is ended. Returns the exit code."""
    import fiftyone as fo

    from ..runs.workspace import spaces

    session = fo.launch_app(dataset, port=port, spaces=spaces())
    print(f"The App runs at http://localhost:{port}/datasets/{dataset.slug} (Ctrl+C ends it)", file=stream, flush=True)
    try:
        session.wait(-1)
    except KeyboardInterrupt as stop:
        say("\nThe App has ended; what was run is saved.")
        code = getattr(stop, "code", 130)
        return 0 if code == 130 else code
    return 0
