"""What a :class:`~.world.State` holds, in a form that can be compared: everything, the user's part, a run's part."""

import hashlib
import json
import re
from dataclasses import dataclass, field

import bson

from .world import Link

CLOCKS = {"last_modified_at", "last_loaded_at", "last_deletion_at"}
"""What FiftyOne itself changes with the time."""

VOLATILE = {"seconds", "since", "when", "timestamp", "started", "updated", "ranking", "resumed"}
"""What differs between two equal runs."""

_DECLARED = {"created_at"}
"""In a declaration of a field: FiftyOne declares ``metadata`` anew by itself."""

MARKS = ("status", "round", "turn", "source", "prelabel")
"""What rounds write on samples, below the key."""

_HEX = re.compile(r"[0-9a-f]{32}")
_GLOBAL = {
    "datasets",
    "runs",
    "views",
    "workspaces",
    "execution_store",
    "fs.files",
    "fs.chunks",
    "config",
    "delegated_ops",
    "annotation.runs",
}


def documents(state, collection):
    return [bson.decode(raw) for raw in state.collections.get(collection, ([], {}))[0]]


def samples_collection(state):
    """Name of the collection of the campaign's dataset."""
    return documents(state, "datasets")[0]["sample_collection_name"]


def everything(state, places=("home",)):
    """All that is in the database and in these places: {what: comparable}. Only clocks, MongoDB's empty shared
    collections and the stores' own headers are left out."""
    found = {}
    for name, (raw, indexes) in state.collections.items():
        if raw or name not in _GLOBAL:
            found[f"collection {name}"] = "exists"
        for document in map(bson.decode, raw):
            if name == "execution_store" and document.get("key") == "__store__":
                continue
            for part, value in document.items():
                if part not in CLOCKS:
                    clocks = CLOCKS | _DECLARED if part == "sample_fields" else CLOCKS
                    found[f"{name} {document['_id']} {part}"] = _without(value, clocks)
        if raw and name.startswith("samples."):
            for index, details in indexes.items():
                found[f"index {index}"] = str(details["key"])
    for path, content in state.files.items():
        if path.split("/")[0] in places:
            found[f"file {_HEX.sub('…', path)}"] = _digest(content)
    return found


def _digest(content):
    if content is None or isinstance(content, Link):
        return str(content)
    return hashlib.sha256(content).hexdigest()


def differences(expected, found, most=4):
    """What differs between two mappings, in words."""
    words = [f"{name} is gone" for name in expected.keys() - found.keys()]
    words += [f"{name} is left" for name in found.keys() - expected.keys()]
    words += [f"{name} is another" for name in expected.keys() & found.keys() if expected[name] != found[name]]
    grouped = {}
    for text in sorted(words):
        # Samples differ by the hundred: one line for all of a kind.
        grouped.setdefault(re.sub(r"\b[0-9a-f]{24}\b", "…", text), []).append(text)
    listed = [f"{kind} ({len(all_of)} times)" if len(all_of) > 1 else kind for kind, all_of in grouped.items()]
    return listed[:most] + ([f"and {len(listed) - most} more kinds"] if len(listed) > most else [])


def users_own(state, runs):
    """What belongs to the user, whatever runs there are: {what: comparable}.

    Args:
        runs: the :class:`Names` of all runs that may be on the dataset
    """
    fields = {"_id", *CLOCKS} | {name for run in runs for name in (run.key, *run.vectors)}
    tags = {tag for run in runs for tag in run.tags}
    views = {name for run in runs for name in run.views}
    keys = {run.key for run in runs}
    found = {}
    for document in documents(state, samples_collection(state)):
        for part in document.keys() - fields:
            value = document[part]
            found[f"sample {document['_id']} {part}"] = [t for t in value if t not in tags] if part == "tags" else value
    for collection in ("views", "workspaces", "runs"):
        for document in documents(state, collection):
            name = document.get("name") or document.get("key")
            mine = name in (views if collection == "views" else keys if collection == "runs" else {"ELFS"})
            if not mine:
                found[f"{collection} {name}"] = _without(document, CLOCKS)
    for document in documents(state, "execution_store"):
        if document.get("store_name") == "mine" and document.get("key") != "__store__":
            found[f"store {document['key']}"] = document["value"]
    dataset = documents(state, "datasets")[0]
    found |= {f"dataset {part}": dataset.get(part) for part in ("name", "info", "description", "tags", "persistent")}
    ours = {run.key for run in runs} | {name for run in runs for name in run.vectors}
    found |= {
        f"field {item['name']}": _without(item, CLOCKS | _DECLARED)
        for item in dataset["sample_fields"]
        if item["name"] not in ours
    }
    found |= {f"file {path}": _digest(content) for path, content in state.files.items() if path in USER_FILES}
    return found


def without_new_labels(expected, found, field):
    """``found`` (:func:`everything` or :func:`users_own`) without the labels of samples that had none: rounds write
    them, and they stay whatever happens to the run."""
    ending = f" {field}"
    new = {name for name in found if name.endswith(ending) and expected.get(name) is None}
    return {name: value for name, value in found.items() if name not in new} | {
        name: None for name in new & expected.keys()
    }


USER_FILES = ("out/notes.txt", "out/list.csv.partial", "out/folder.partial")


@dataclass(frozen=True)
class Names:
    """What a run may have written under: its key, vector fields, tags and saved views; ``labels`` is the user's field
    that takes the labels of its rounds."""

    key: str
    vectors: tuple = ()
    tags: tuple = ()
    views: tuple = ()
    labels: str | None = None


@dataclass(frozen=True)
class RunContents:
    """What a run is, without what differs between two equal runs; {} or None stands for nothing there.

    ``fields``: path below the key (``vectors`` for its vector field) -> {sample id: value}; ``tags``: tag -> ids;
    ``views``: name -> stages; ``stages``, ``saved`` and ``results`` as the record and the results say. Of its rounds:
    ``marks`` as ``fields``, with the ``labels``; ``rounds``: "labelling" and the number of each round -> what the
    record says of it.
    """

    fields: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    views: dict = field(default_factory=dict)
    stages: dict = field(default_factory=dict)
    saved: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)
    marks: dict = field(default_factory=dict)
    rounds: dict = field(default_factory=dict)


def run_contents(state, names, answer):
    """:class:`RunContents` of a run; ``answer`` is what :func:`~.actions.ask` says of it."""
    fields, marks, tags = {}, {}, {tag: [] for tag in names.tags}
    for document in documents(state, samples_collection(state)):
        i = str(document["_id"])
        for path, value in (document.get(names.key) or {}).items():
            if value is not None and path != "_cls":
                (marks if path in MARKS else fields).setdefault(path, {})[i] = _settled(value)
        if document.get(names.labels) is not None:
            marks.setdefault("labels", {})[i] = _settled(document[names.labels])
        for vectors in names.vectors:
            if document.get(vectors) is not None:
                fields.setdefault("vectors", {})[i] = document[vectors]
        for tag in names.tags:
            if tag in document.get("tags", ()):
                tags[tag].append(i)
    views = {}
    for document in documents(state, "views"):
        if document["name"] in names.views:
            stages = [json.loads(stage) if isinstance(stage, str) else stage for stage in document["view_stages"]]
            views[document["name"]] = json.dumps(_without(stages, {"_uuid"}), sort_keys=True, default=str)
    record = answer["record"] or {}
    return RunContents(
        fields,
        {tag: sorted(ids) for tag, ids in tags.items() if ids},
        views,
        _anonymous(_without(record.get("stages", {}), VOLATILE), names.key),
        _anonymous(_without(record.get("saved", {}), VOLATILE), names.key),
        _anonymous(_without(answer["results"], VOLATILE), names.key),
        marks,
        _rounds(record),
    )


def _rounds(record):
    found = {str(one["number"]): _without(one, VOLATILE) for one in record.get("rounds", ())}
    for one in found.values():
        back = dict(one.get("returned") or {})
        if back:  # whether labels came now or the time before depends on how often it was asked
            back["labelled"] += back.pop("before")
            one["returned"] = back
    return found | ({"labelling": record["labelling"]} if record.get("labelling") else {})


def _settled(value):
    """A value without the ids that FiftyOne draws for labels."""
    return {k: v for k, v in value.items() if k not in ("_id", "tags")} if isinstance(value, dict) else value


def _without(value, left_out):
    if isinstance(value, dict):
        return {name: _without(item, left_out) for name, item in value.items() if name not in left_out}
    return [_without(item, left_out) for item in value] if isinstance(value, list) else value


def _anonymous(value, key):
    """Runs of different keys are compared: the key in names of fields does not count."""
    return json.loads(re.sub(rf"\b{key}_embeddings\b", "run_embeddings", json.dumps(value, sort_keys=True)))


def run_differences(expected, found):
    """How a run differs from what it should be, in words."""
    words = []
    for part in ("fields", "tags", "views", "stages", "saved", "results", "marks", "rounds"):
        here, there = getattr(expected, part), getattr(found, part)
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) == there.get(name):
                continue
            words.append(
                f"{part[:-1] if part != 'saved' else 'saved as'} {name}: {_compare(here.get(name), there.get(name))}"
            )
    return words


def _compare(expected, found):
    if not found:
        return "nothing there"
    if not expected:
        return "should not be there"
    if isinstance(expected, dict) and isinstance(found, dict):
        wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
        some = ", ".join(f"{n}: {found.get(n)!r} for {expected.get(n)!r}"[:80] for n in sorted(wrong)[:1])
        return f"{len(wrong)} of {len(expected)} wrong ({some})"
    if isinstance(expected, list):
        return f"{len(found)} for {len(expected)}, {len(set(found) & set(expected))} of them the same"
    return "another"


def files_below(state, place):
    """{path below a place: content} without the random parts of names."""
    start = f"{place}/"
    return {
        _HEX.sub("…", path[len(start) :]): content for path, content in state.files.items() if path.startswith(start)
    }
