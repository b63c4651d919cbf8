"""What a run did, as a FiftyOne custom run: parameters, versions, counts, and everything it wrote."""

import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import fiftyone as fo

from .. import __version__
from ..errors import InvalidInput, NameTaken

METHOD = "elfs"

STAGE_ORDER = ("embeddings", "pseudo_labels", "scores", "beta", "selection")


@dataclass
class RunRecord:
    """The record of a run. ``stages`` maps a finished stage to its parameters, counts and seconds; the rest names what
    was written, so that it can be removed."""

    key: str
    stages: dict = field(default_factory=dict)
    embeddings_field: str | None = None
    owns_embeddings: bool = False
    owns_field: bool = False
    tags: list = field(default_factory=list)
    saved_views: list = field(default_factory=list)
    failed: int = 0
    versions: dict = field(default_factory=dict)

    def drop_after(self, stage):
        """Forgets the stages that were made from an older result of ``stage``. Returns their names."""
        # A new β search leaves an applied selection as it is.
        later = STAGE_ORDER[STAGE_ORDER.index(stage) + 1 :] if stage != "beta" else ()
        for name in later:
            self.stages.pop(name, None)
        return later


def check_key(dataset, key):
    """Refuses a run key that is no identifier, or that names something else on the dataset.

    Raises:
        InvalidInput, NameTaken
    """
    if not isinstance(key, str) or not key.isidentifier() or key.startswith("_"):
        raise InvalidInput(
            f"{key!r} cannot be a run key. Use letters, digits and underscores, for example 'elfs' or 'elfs_2'.", "key"
        )
    if dataset.has_run(key):
        if dataset.get_run_info(key).config.method != METHOD:
            raise NameTaken(f"The dataset already has a run '{key}' of another kind. Choose another run key.", "key")
    elif dataset.has_sample_field(key):
        raise NameTaken(
            f"The dataset already has a field '{key}' that ELFS did not write. Choose another run key.", "key"
        )


def check_embeddings_field(dataset, record, field):
    """Refuses a field to write embeddings to that is no identifier, or that exists and is not the run's own.

    Raises:
        InvalidInput, NameTaken
    """
    if not field.isidentifier():
        raise InvalidInput(f"{field!r} cannot be a field name. Use letters, digits and _.", "embeddings_field")
    mine = record is not None and record.owns_embeddings and record.embeddings_field == field
    if dataset.has_sample_field(field) and not mine:
        raise NameTaken(
            f"The dataset already has a field '{field}' that this run did not write. Choose another field name, or use "
            "the field's vectors instead of computing new ones.",
            "embeddings_field",
        )


def list_runs(dataset):
    """Keys of the dataset's ELFS runs."""
    return dataset.list_runs(method=METHOD) if dataset is not None else []


def load_record(dataset, key):
    """The :class:`RunRecord` of a run, or None."""
    if not dataset.has_run(key):
        return None
    config = dataset.get_run_info(key).config
    if config.method != METHOD:
        return None
    return RunRecord(**{name: _plain(getattr(config, name)) for name in RunRecord.__dataclass_fields__})


def _plain(value):
    """MongoEngine's dicts and lists as Python's own."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def require_record(dataset, key, stage, needed_by):
    """The record of a run in which ``stage`` is finished.

    Raises:
        InvalidInput: naming the operator to run first
    """
    operators = {"pseudo_labels": "compute_pseudo_labels", "scores": "compute_scores", "selection": "select_coreset",
                 "embeddings": "compute_embeddings"}  # fmt: skip
    record = load_record(dataset, key)
    if record is None:
        have = ", ".join(list_runs(dataset)) or "none"
        raise InvalidInput(f"There is no ELFS run '{key}' on this dataset (runs: {have}). Use run_elfs first.", "key")
    if stage not in record.stages:
        raise InvalidInput(
            f"The run '{key}' is not ready for {needed_by}. Use {operators[stage]} (or run_elfs) first.", "key"
        )
    return record


def save_record(dataset, record):
    import numpy
    import torch

    record.versions = {"elfs": __version__, "fiftyone": fo.__version__, "torch": torch.__version__,
                       "numpy": numpy.__version__}  # fmt: skip
    config = dataset.init_run()
    config.method = METHOD
    for name, value in asdict(record).items():
        setattr(config, name, value)
    if dataset.has_run(record.key):
        dataset.update_run_config(record.key, config)
    else:
        dataset.register_run(record.key, config)


def load_results(dataset, key):
    """The large results of a run as a dict: failures, histogram, β curve, cluster health."""
    if not dataset.has_run(key):
        return {}
    # Not from FiftyOne's cache: another process (a delegated job, the App) may have saved newer ones.
    results = dataset.load_run_results(key, cache=False, load_view=False)
    return _plain(results.data) if results is not None and getattr(results, "data", None) else {}


def save_results(dataset, key, **changes):
    """Adds to the results; a value of None removes the entry."""
    data = {**load_results(dataset, key), **changes}
    data = {name: value for name, value in data.items() if value is not None}
    dataset.save_run_results(key, dataset.init_run_results(key, data=data), cache=False)


def run_folder(dataset, key):
    """Where finished stages and large embeddings of a run live on disk."""
    home = os.environ.get("ELFS_HOME") or os.path.join(fo.constants.FIFTYONE_CONFIG_DIR, "elfs")
    return Path(home) / str(dataset._doc.id) / key


def remove_run_folder(dataset, key):
    folder = run_folder(dataset, key)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.parent.is_dir() and not any(folder.parent.iterdir()):
        folder.parent.rmdir()
