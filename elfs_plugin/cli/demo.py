"""The demo: scikit-learn's handwritten digits, the whole of ELFS through the operators, and an audit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ElfsError
from ..evaluation.audit import audit
from ..files import whole_file
from ..runs.fiftyone_types import Dataset
from .app import open_app, print_summary
from .source import add_images

DATASET = "elfs-digits"
PARAMETERS: dict[str, Any] = {
    "num_clusters": 10,
    "budget": 0.1,
    "encoder": "pixels",
    "method": "auto",
    "seed": 0,
    "tag": "elfs_coreset",
    "view_name": "elfs_coreset",
}


def run_demo(*, app: bool = True, port: int = 5151) -> int:
    """Makes the dataset, runs the operators, prints the result and the audit, opens the App. Returns the exit code."""
    import fiftyone as fo
    import fiftyone.operators as foo
    from fiftyone.operators.executor import ExecutionError

    try:
        labels = write_digits(digits_folder())
    except OSError as error:
        raise ElfsError(
            f"The digits cannot be written to {digits_folder()} ({error.strerror}). Make room there, or set "
            "FIFTYONE_DEFAULT_DATASET_DIR to another folder."
        ) from None
    dataset = fo.load_dataset(DATASET) if fo.dataset_exists(DATASET) else fo.Dataset(DATASET, persistent=True)
    add_images(dataset, list(labels))
    try:
        summary = foo.get_operator("@elfs/coreset/run_elfs")(dataset, progress="terminal", **PARAMETERS)
    except ExecutionError as error:
        raise ElfsError(str(error)) from None
    print_summary(dataset, summary, tag=PARAMETERS["tag"], view=PARAMETERS["view_name"])
    if summary["resumed"]:
        print("  (stages that were finished in an earlier run were reused)")
    print_audit(dataset, labels)
    return open_app(dataset, port) if app else 0


def digits_folder() -> Path:
    import fiftyone as fo

    return Path(fo.config.default_dataset_dir) / DATASET


def write_digits(folder: Path) -> dict[str, int]:
    """Writes the digits as PNG files once. Returns path -> true label (for the audit only).

    Raises:
        OSError: when they cannot be written there
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    folder.mkdir(parents=True, exist_ok=True)
    labels = {}
    for index, (image, target) in enumerate(zip(digits.images, digits.target)):
        path = folder / f"{index:04d}.png"
        if not path.is_file():
            with whole_file(path) as file:  # half a picture of a demo that was stopped would stay for ever
                Image.fromarray((image * (255 / 16)).round().astype(np.uint8)).save(file, format="PNG")
        labels[str(path)] = int(target)
    return labels


def print_audit(dataset: Dataset, labels: Mapping[str, int]) -> None:
    """Compares with the true labels, after everything is selected."""
    paths, vectors, clusters, zones, tags = dataset.values(
        ["filepath", "elfs_embeddings", "elfs.pseudo_label.label", "elfs.zone", "tags"]
    )
    # The digits of the run alone: a user may have added other images, or removed some.
    rows = [row for row in range(len(paths)) if paths[row] in labels and zones[row] and vectors[row] is not None]
    if len(rows) < len(labels):
        print(f"  (the audit is of the {len(rows):,} digits that the run still has)")
    truth = [labels[paths[row]] for row in rows]
    chosen = np.flatnonzero([PARAMETERS["tag"] in tags[row] for row in rows])
    result = audit(np.stack([vectors[row] for row in rows]), [clusters[row] for row in rows], chosen, truth)

    def line(values):
        return f"{values.mean():.1%} ± {values.std():.1%}"

    print(f"Audit (true labels, used here only; {len(result.coreset)} seeds, {result.budget} training images)")
    print(f"  pseudo-labels agree with the true labels for {result.pseudo_label_accuracy:.1%} of the images")
    print(f"  a classifier trained on the coreset:      {line(result.coreset)}")
    print(f"  the same trained on random images:        {line(result.random)}")
