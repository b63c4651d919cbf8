"""What a run did, as a FiftyOne custom run: parameters, versions, counts, and everything it wrote."""

import logging
from dataclasses import asdict, dataclass, field

import fiftyone as fo

from .. import __version__
from ..errors import InvalidInput, NameTaken
from .folder import remove_run_folder, run_folder  # noqa: F401 (handed on)

logger = logging.getLogger(__name__)

METHOD = "elfs"

FORMAT = 2
"""Version of the layout of records. 1 had no number; 2 added ``ranking``, ``saved``, ``brain_keys``, ``workspace``."""

STAGE_ORDER = ("embeddings", "pseudo_labels", "scores", "beta", "selection")

_NEEDED = {"scores": ("scored",), "selection": ("hard", "coreset", "easy")}
"""What other modules read from a stage; a stage without it is as if it had not been run."""


@dataclass
class RunRecord:
    """The record of a run. ``stages`` maps a finished stage to its parameters, counts and seconds; the rest names what
    was written, so that it can be removed.

    ``saved`` says of each tag what was saved under it: ``{"beta", "hard", "budget", "when"}``, ``when`` in seconds
    since 1970. ``ranking`` changes with the scores, see :func:`~.ranking.ranking_version`. ``workspace`` is the name of
    the saved workspace that ELFS made on the dataset.
    """

    key: str
    stages: dict = field(default_factory=dict)
    embeddings_field: str | None = None
    owns_embeddings: bool = False
    owns_field: bool = False
    tags: list = field(default_factory=list)
    saved_views: list = field(default_factory=list)
    failed: int = 0
    versions: dict = field(default_factory=dict)
    ranking: str | None = None
    saved: dict = field(default_factory=dict)
    brain_keys: list = field(default_factory=list)
    workspace: str | None = None
    format: int = FORMAT

    @property
    def is_newer(self):
        """Whether a newer version of the plugin wrote it, so that this one must not change it."""
        return self.format > FORMAT

    def drop_after(self, stage):
        """Forgets the stages that were made from an older result of ``stage``. Returns their names."""
        # A new β search leaves an applied selection as it is.
        later = STAGE_ORDER[STAGE_ORDER.index(stage) + 1 :] if stage != "beta" else ()
        for name in later:
            self.stages.pop(name, None)
        return later


def check_key(dataset, key):
    """Refuses a run key that is no identifier, or that names something else on the dataset, or a run that a newer
    version of the plugin made.

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
        check_format(load_record(dataset, key))
    elif dataset.has_sample_field(key):
        raise NameTaken(
            f"The dataset already has a field '{key}' that ELFS did not write. Choose another run key.", "key"
        )


def check_format(record):
    """Refuses to change the run of a newer version of the plugin, whose record this one would damage."""
    if record is not None and record.is_newer:
        raise InvalidInput(
            f"The run '{record.key}' was made by a newer version of the plugin. Update the plugin to work on it, or "
            "use another run key.",
            "key",
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
    """The :class:`RunRecord` of a run, or None.

    A record of another version is read as far as it is understood: what it lacks has its default, what it has too much
    is passed over.
    """
    if not dataset.has_run(key):
        return None
    config = dataset.get_run_info(key).config
    if getattr(config, "method", None) != METHOD:
        return None
    record = RunRecord(key)
    for name, default in vars(record).items():
        value = _plain(getattr(config, name, None))
        if name == "saved":
            value = _saved_of(value)
        if name == "format":
            value = value if _is_count(value) else 1
        if value is not None and (default is None or isinstance(value, type(default))):
            setattr(record, name, value)
    record.key = key  # a renamed run has the key that FiftyOne knows it by
    record.stages = {name: details for name, details in record.stages.items() if _is_usable(name, details)}
    if "scores" in record.stages:
        record.stages["scores"].setdefault("score", "aum")
    return record


def _is_usable(stage, details):
    if not isinstance(details, dict):
        return False
    if stage == "beta":
        return isinstance(details.get("chosen"), (int, float))
    return all(_is_count(details.get(name)) for name in _NEEDED.get(stage, ()))


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _saved_of(value):
    """The mapping by tag of a stored list: a tag may hold characters that MongoDB does not take in a name."""
    entries = value if isinstance(value, list) else []
    return {e["tag"]: {k: v for k, v in e.items() if k != "tag"} for e in entries if isinstance(e, dict) and "tag" in e}


def _plain(value):
    """MongoEngine's dicts and lists as Python's own."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def require_record(dataset, key, stage, needed_by):
    """The record of a run in which ``stage`` (None: any) is finished.

    Raises:
        InvalidInput: naming the operator to run first
    """
    operators = {"pseudo_labels": "compute_pseudo_labels", "scores": "compute_scores", "selection": "select_coreset",
                 "embeddings": "compute_embeddings"}  # fmt: skip
    record = load_record(dataset, key)
    if record is None:
        have = ", ".join(list_runs(dataset)) or "none"
        raise InvalidInput(f"There is no ELFS run '{key}' on this dataset (runs: {have}). Use run_elfs first.", "key")
    if stage is not None and stage not in record.stages:
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
    record.format = FORMAT
    for name, value in asdict(record).items():
        setattr(config, name, value)
    config.saved = [{"tag": tag, **details} for tag, details in record.saved.items()]
    if dataset.has_run(record.key):
        dataset.update_run_config(record.key, config)
    else:
        dataset.register_run(record.key, config)


def load_results(dataset, key):
    """The large results of a run as a dict: failures, histogram, β curve, cluster health."""
    if not dataset.has_run(key):
        return {}
    # Not from FiftyOne's cache: another process (a delegated job, the App) may have saved newer ones.
    # Results that cannot be read cost the panel its curves; the scores are on the samples.
    try:
        results = dataset.load_run_results(key, cache=False, load_view=False)
    except Exception as error:  # a missing file, a damaged one, a class of another version
        if type(error).__module__.startswith("pymongo"):
            raise
        logger.warning("The results of the run '%s' cannot be read: %s", key, error)
        return {}
    data = getattr(results, "data", None)
    return _plain(data) if isinstance(data, dict) else {}


def save_results(dataset, key, **changes):
    """Adds to the results; a value of None removes the entry."""
    data = {**load_results(dataset, key), **changes}
    data = {name: value for name, value in data.items() if value is not None}
    dataset.save_run_results(key, dataset.init_run_results(key, data=data), cache=False)
