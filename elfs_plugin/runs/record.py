"""What a run did, as a FiftyOne custom run: parameters, versions, counts, and everything it wrote."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import fiftyone as fo
import gridfs
from bson import ObjectId, json_util
from fiftyone.core import odm

from .. import __version__
from ..errors import InvalidInput, NameTaken
from ..providers import PROVIDERS
from ..validation import shown
from . import fields, jobs, names
from .fiftyone_types import Dataset, Document
from .folder import remove_run_folder, run_folder  # noqa: F401 (handed on)

logger = logging.getLogger(__name__)

METHOD = "elfs"

FORMAT = 6
"""Version of the layout of records. 1 had no number; 2 added ``ranking``, ``saved``, ``brain_keys``, ``workspace``; 3
added ``pending``, which an older version must not pass over, ``view_ids``, ``graph`` and ``vectors``, and marks on the
fields that are written; 4 added ``labelling`` and ``rounds``; 6 added ``similarity_index`` and ``written_back``."""

_MARKED = 3

STAGE_ORDER = ("embeddings", "pseudo_labels", "scores", "beta", "selection")

_NEEDED = {"scores": ("scored",), "selection": ("hard", "coreset", "easy")}
"""What other modules read from a stage; a stage without it is as if it had not been run."""

_READ = {"pseudo_labels": "pseudo_label", "scores": "rank", "selection": "rank"}
"""The sub-field by which the samples of a stage are known."""


@dataclass
class RunRecord:
    """The record of a run. ``stages`` maps a finished stage to its parameters, counts and seconds; the rest names what
    was written, so that it can be removed.

    The vectors are those of ``embeddings_field`` or, where that is None, of the ``similarity_index``, the brain key of
    one that is the user's, made at ``index_made``, see :mod:`.similarity_index`.

    ``saved`` says of each tag what was saved under it: ``{"beta", "hard", "budget", "when"}``, ``when`` in seconds
    since 1970, or what :func:`~.choose.details_of` another method, and in ``choice`` the name of its file. ``ranking``
    changes with the scores, see :func:`~.ranking.ranking_version`. ``workspace`` is the name of the saved workspace
    that ELFS made on the dataset. ``view_ids`` lists ``{"name", "id"}`` of the saved views, for a view of that name may
    be somebody else's by now. ``graph`` and ``vectors`` name the files in the run's folder that belong to these
    results. ``labelling`` and ``rounds`` are those of :mod:`.rounds.state`. ``written_back`` is what a run on rows has
    written to their source, see :mod:`.written_back`. ``pending`` is what has been decided and may not all be written
    yet, see :mod:`.journal`.
    """

    key: str
    stages: dict[str, Any] = field(default_factory=dict)
    embeddings_field: str | None = None
    owns_embeddings: bool = False
    similarity_index: str | None = None
    index_made: float | None = None
    owns_field: bool = False
    tags: list[str] = field(default_factory=list)
    saved_views: list[str] = field(default_factory=list)
    failed: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    ranking: str | None = None
    saved: dict[str, dict[str, Any]] = field(default_factory=dict)
    brain_keys: list[str] = field(default_factory=list)
    workspace: str | None = None
    view_ids: list[dict[str, str]] = field(default_factory=list)
    graph: str | None = None
    vectors: str | None = None
    labelling: dict[str, Any] | None = None
    rounds: list[dict[str, Any]] = field(default_factory=list)
    written_back: dict[str, Any] | None = None
    pending: dict[str, Any] | None = None
    format: int = FORMAT

    def set_view_id(self, name: str, view_id: str) -> None:
        """Notes under which id a view was saved."""
        self.view_ids = [entry for entry in self.view_ids if entry["name"] != name]
        self.view_ids.append({"name": name, "id": str(view_id)})

    @property
    def vectors_in(self) -> str:
        """Where the vectors are, in words."""
        if self.similarity_index is not None:
            return f"the similarity index '{self.similarity_index}'"
        return f"'{self.embeddings_field}'"

    @property
    def cut_away(self) -> int:
        """How many images a pre-cut has left out, that have not been taken in since."""
        return self.stages.get("pseudo_labels", {}).get("cut_away", 0)

    @property
    def own_tags(self) -> list[str]:
        """The tags that are this run's, those among them that an interrupted job had decided on."""
        coming = ((self.pending or {}).get("record") or {}).get("tags", ())
        return [*self.tags, *(tag for tag in coming if tag not in self.tags)]

    def own_views(self, dataset: Dataset) -> list[str]:
        """Names of the saved views that are on the dataset and are this run's."""
        ids = {entry["name"]: entry["id"] for entry in self.view_ids}
        coming = ((self.pending or {}).get("record") or {}).get("saved_views", ())
        for name in coming:
            ids.pop(name, None)  # it may have been saved already, under an id that is not noted yet
        there = names.saved_view_ids(dataset)
        # Runs of older versions did not note the ids.
        known = dict.fromkeys([*self.saved_views, *coming])
        return [name for name in known if name in there and ids.get(name, there[name]) == there[name]]

    @property
    def is_newer(self) -> bool:
        """Whether a newer version of the plugin wrote it, so that this one must not change it."""
        return self.format > FORMAT

    def drop_after(self, stage: str) -> Sequence[str]:
        """Forgets the stages that were made from an older result of ``stage``. Returns their names."""
        # A new β search leaves an applied selection as it is.
        later = STAGE_ORDER[STAGE_ORDER.index(stage) + 1 :] if stage != "beta" else ()
        for name in later:
            self.stages.pop(name, None)
        return later


def check_key(dataset: Dataset, key: str) -> RunRecord | None:
    """Refuses a run key that is no identifier, or that names something else on the dataset, or a run that a newer
    version of the plugin made.

    Returns:
        the :class:`RunRecord`, or None where there is no such run yet

    Raises:
        InvalidInput, NameTaken
    """
    document, run = run_document(dataset, key), None
    if document is None:
        names.check_key_text(key)
    elif document.config.get("method") != METHOD:
        raise NameTaken(f"The dataset already has a run '{key}' of another kind. Choose another run key.", "key")
    else:
        run = restored(key, document.config)
        check_format(run)
    check_group_field(dataset, key, run)
    return run


def check_group_field(dataset: Dataset, key: str, run: RunRecord | None) -> None:
    """Refuses a run (its record, or None) whose nested field is somebody else's, also when that has been put in the
    place of its own, or can hold no results.

    Raises:
        NameTaken
    """
    if not dataset.has_sample_field(key):
        return
    older = run is not None and run.format < _MARKED and run.owns_field  # marked when it is next saved
    if not older and not fields.is_left_behind(dataset, key):
        raise NameTaken(
            f"The dataset already has a field '{key}' that ELFS did not write. Choose another run key.", "key"
        )
    if not isinstance(dataset.get_field(key), fo.EmbeddedDocumentField):
        raise NameTaken(
            f"The dataset has a field '{key}' that cannot hold the results of a run. Choose another run key.", "key"
        )


def check_format(record: RunRecord | None) -> None:
    """Refuses to change the run of a newer version of the plugin, whose record this one would damage."""
    if record is not None and record.is_newer:
        raise InvalidInput(
            f"The run '{record.key}' was made by a newer version of the plugin. Update the plugin to work on it, or "
            "use another run key.",
            "key",
        )


def check_embeddings_field(dataset: Dataset, record: RunRecord | None, field: str) -> None:
    """Refuses a field to write embeddings to that is no identifier, or that exists and is not the run's own.

    Raises:
        InvalidInput, NameTaken
    """
    mine = record is not None and record.owns_embeddings and record.embeddings_field == field
    # Somebody else may have put another one in its place.
    mine = mine and (record.format < _MARKED or not dataset.has_sample_field(field) or fields.is_marked(dataset, field))
    if not mine:
        names.check_field_name(field, record.key if record is not None else None)
    if field in list_runs(dataset):
        raise NameTaken(
            f"The field '{field}' is for the results of the run '{field}'. Choose another name for the field of the "
            "embeddings.",
            "embeddings_field",
        )
    if dataset.has_sample_field(field) and not mine and not _is_nobodys(dataset, field):
        raise NameTaken(
            f"The dataset already has a field '{field}' that this run did not write. Choose another field name, or use "
            "the field's vectors instead of computing new ones.",
            "embeddings_field",
        )
    fields.check_not_read_only(dataset, field)


def check_labels_field(dataset: Dataset, key: str, field: str) -> None:
    """Refuses a field for the labels of annotators that is no identifier, or that is there and holds something else.

    Raises:
        InvalidInput, NameTaken
    """
    found = dataset.get_field(field) if isinstance(field, str) and field.isidentifier() else None
    if found is None:
        names.check_field_name(field, key, parameter="labels_field", example="for example 'ground_truth'")
    if field == key or field in list_runs(dataset) or fields.is_marked(dataset, field):
        raise NameTaken(f"'{field}' holds what ELFS has written. Name another field for labels.", "labels_field")
    kind = found is None or (
        isinstance(found, fo.EmbeddedDocumentField) and issubclass(found.document_type, fo.Classification)
    )
    if not kind:
        raise InvalidInput(
            f"The field '{field}' cannot hold one class for each image. Name a field of classifications, or a new one.",
            "labels_field",
        )
    fields.check_not_read_only(dataset, field)


def _is_nobodys(dataset, field):
    """Whether ELFS wrote the field for a run that the dataset does not have (any more), and no other run uses it."""
    if not fields.is_left_behind(dataset, field):
        return False
    return all(run.embeddings_field != field for run in records(dataset).values())


def list_runs(dataset: Dataset | None) -> list[str]:
    """Keys of the dataset's ELFS runs."""
    return dataset.list_runs(method=METHOD) if dataset is not None else []


def run_documents(dataset: Dataset) -> dict[str, Document]:
    """{key: FiftyOne's document} of the dataset's ELFS runs as they are in the database, read at once."""
    found = odm.get_db_conn().datasets.find_one({"_id": dataset._doc.id}, {"runs": 1}) or {}
    documents = odm.RunDocument.objects(id__in=list((found.get("runs") or {}).values()))
    return {document.key: document for document in documents if document.config.get("method") == METHOD}


def records(dataset: Dataset) -> dict[str, RunRecord]:
    """{key: record} of the dataset's ELFS runs as they are in the database, read at once."""
    return {key: restored(key, document.config) for key, document in run_documents(dataset).items()}


def load_record(dataset: Dataset, key: str) -> RunRecord | None:
    """The :class:`RunRecord` of a run, or None, see :func:`record_of`."""
    return record_of(run_document(dataset, key), key)


def record_of(document: Document | None, key: str) -> RunRecord | None:
    """The :class:`RunRecord` in a document of :func:`run_document`, or None where that is of no ELFS run.

    A record of another version is read as far as it is understood: what it lacks has its default, what it has too much
    is passed over.
    """
    if document is None or document.config.get("method") != METHOD:
        return None
    return restored(key, document.config)


def restored(key: str, values: Mapping[str, Any]) -> RunRecord:
    """The record that :func:`stored` made a mapping of."""
    record = RunRecord(key)
    for name, default in vars(record).items():
        value = _plain(values.get(name))
        if name == "saved":
            value = _saved_of(value)
        if name == "format":
            value = value if _is_count(value) else 1
        if value is not None and (default is None or isinstance(value, type(default))):
            setattr(record, name, value)
    record.key = key  # a renamed run has the key that FiftyOne knows it by
    record.view_ids = [entry for entry in record.view_ids if isinstance(entry, dict) and {"name", "id"} <= set(entry)]
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


def check_ready(dataset: Dataset, key: str, record: RunRecord | None, stage: str | None, needed_by: str) -> None:
    """Refuses what needs a finished ``stage`` (None: any) of a run when its ``record`` has none, or there is none.

    Raises:
        InvalidInput: naming the operator to run first
    """
    if record is None:
        have = ", ".join(list_runs(dataset)) or "none"
        raise InvalidInput(
            f"There is no ELFS run {shown(key)} on this dataset (runs: {have}). Use run_elfs first.", "key"
        )
    if stage is not None and stage not in record.stages:
        coming = restored(key, (record.pending or {}).get("record") or {})
        if stage in coming.stages:
            raise InvalidInput(
                f"A job on the run '{key}' was interrupted while it wrote its results. Use repair_run first, which "
                "finishes that.",
                "key",
            )
        raise InvalidInput(
            f"The run '{key}' is not ready for {needed_by}. Use {PROVIDERS[stage]} (or run_elfs) first.", "key"
        )


def check_there(dataset: Dataset, key: str, stage: str) -> None:
    """Refuses a run of which a finished stage's field is not on the dataset any more.

    Raises:
        InvalidInput
    """
    path = f"{key}.{_READ[stage]}" if stage in _READ else None
    if path is not None and not dataset.has_sample_field(path):
        raise InvalidInput(
            f"The dataset has no field '{path}' any more: it was renamed or deleted. Give the field of the run its "
            f"name '{key}' again, or run ELFS again.",
            "key",
        )


def stored(record: RunRecord) -> dict[str, Any]:
    """A record as a mapping that MongoDB can keep."""
    return {**asdict(record), "saved": [{"tag": tag, **details} for tag, details in record.saved.items()]}


def save_record(dataset: Dataset, record: RunRecord) -> None:
    import numpy
    import torch

    record.versions = {
        "elfs": __version__,
        "fiftyone": fo.__version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }
    record.format = FORMAT
    with jobs.changing(dataset):
        dataset._reload(hard=True)  # another job may have registered a run since
        kept = load_record(dataset, record.key)
        _take_inherited(record, kept)
        if kept is not None and kept.format < _MARKED:
            for owned, name in ((kept.owns_field, kept.key), (kept.owns_embeddings, kept.embeddings_field)):
                if owned and name:
                    fields.mark(dataset, name)
        config = dataset.init_run()
        config.method = METHOD
        for name, value in stored(record).items():
            setattr(config, name, value)
        if dataset.has_run(record.key):
            dataset.update_run_config(record.key, config)
        else:
            dataset.register_run(record.key, config)


def _take_inherited(record, kept):
    """A run that is deleted may leave another one its embeddings and the workspace, also while that one's job works."""
    if kept is None:
        return
    record.workspace = record.workspace or kept.workspace
    if kept.owns_embeddings and kept.embeddings_field == record.embeddings_field:
        record.owns_embeddings = True


def amend_record(dataset: Dataset, key: str, **values: Any) -> None:
    """Changes entries of a run's record and leaves the others as they are, whoever is writing them."""
    document = run_document(dataset, key)
    changes = {f"config.{name}": value for name, value in values.items()}
    odm.get_db_conn().runs.update_one({"_id": document.id}, {"$set": changes})


class _Unreadable(Exception):
    """The results of a run are there and cannot be understood."""


def results_of(document: Document | None) -> dict[str, Any]:
    """The large results of a run as a dict: failures, histogram, β curve, cluster health.

    Results that cannot be read cost the panel its curves; the scores are on the samples.

    Args:
        document: of :func:`run_document`, from the database and not from FiftyOne's cache: another process may have
            saved newer ones. None: there is no run
    """
    try:
        return _read_results(document)
    except _Unreadable as error:
        logger.warning("The results of the run '%s' cannot be read: %s", document.key, error)
        return {}


def load_results(dataset: Dataset, key: str) -> dict[str, Any]:
    """See :func:`results_of`."""
    return results_of(run_document(dataset, key))


def _read_results(document):
    """As :func:`results_of`, but what is there and damaged raises :class:`_Unreadable`."""
    if document is None or not document.results:
        return {}
    try:
        found = json_util.loads(document.results.read().decode())
    except Exception as error:  # a missing file, a damaged one
        if type(error).__module__.startswith("pymongo"):
            raise
        raise _Unreadable(f"{type(error).__name__}: {error}") from error
    data = found.get("data") if isinstance(found, dict) else None
    if not isinstance(data, dict):
        raise _Unreadable("they have another form")
    return _plain(data)


def merged_results(dataset: Dataset, key: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The results of a run with changes; a value of None removes an entry.

    Results that cannot be understood are given up. Those that cannot be had at this moment are an error: what a failed
    read returned must never replace them.
    """
    for attempt in range(3):
        try:
            data = _read_results(run_document(dataset, key))
            break
        except _Unreadable as error:
            # Another process may have replaced them between two reads.
            if attempt == 2:
                logger.warning("The results of the run '%s' are damaged (%s) and are begun anew.", key, error)
                data = {}
    data = {**data, **changes}
    return {name: value for name, value in data.items() if value is not None}


def results_file(dataset: Dataset, key: str) -> ObjectId | None:
    """The id of the file that holds the results of a run, or None."""
    document = run_document(dataset, key)
    return None if document is None or not document.results else document.results.grid_id


def replace_results(
    dataset: Dataset, key: str, data: Mapping[str, Any], file_id: ObjectId, older: ObjectId | None
) -> None:
    """Writes the results of a run to a new file ``file_id`` in place of the file ``older`` (None: there is none).

    At every moment either the old or the new ones are there. It can be repeated with the same ids.
    """
    remove_results_file(file_id)  # half of it may be there
    text = json_util.dumps(dataset.init_run_results(key, data=data).serialize())
    database = odm.get_db_conn()
    gridfs.GridFS(database).put(text.encode(), _id=file_id, content_type="application/json")
    database.runs.update_one({"_id": run_document(dataset, key).id}, {"$set": {"results": file_id}})
    if older is not None:
        remove_results_file(older)


def remove_results_file(file_id: ObjectId) -> None:
    gridfs.GridFS(odm.get_db_conn()).delete(file_id)


def run_document(dataset: Dataset, key: str) -> Document | None:
    """FiftyOne's document of a run as it is in the database, or None. Another process may have written it."""
    if not isinstance(key, str) or not key.isidentifier():  # FiftyOne has no other runs, and MongoDB no such path
        return None
    path = f"runs.{key}"
    found = odm.get_db_conn().datasets.find_one({"_id": dataset._doc.id}, {path: 1}) or {}
    reference = (found.get("runs") or {}).get(key)
    return None if reference is None else odm.RunDocument.objects(id=reference).first()
