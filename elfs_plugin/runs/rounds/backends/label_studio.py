"""Label Studio, asked directly.

FiftyOne's own back end is not used: it opens and sends all files of a call at once, tells tasks by their order, takes
suggestions that nobody has looked at for labels, and knows no personal access tokens. Nor is an annotation run of
FiftyOne's registered, for its ``load_annotations`` would bring such suggestions in as labels.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import fiftyone as fo

from ....contracts import Progress
from ....errors import ElfsError, InvalidInput
from ....validation import shown
from ...fiftyone_types import Dataset
from ...reading import by_id
from ..state import SentPart
from .base import Backend, Option, Returned, Sending, Standing
from .label_studio_server import WHERE_KEYS_ARE, LabelStudio, NotThere
from .label_studio_tasks import labelling_config, new_task, returned_from, sample_of

FILES_IN_A_REQUEST = 50
"""Django takes 100."""
BYTES_IN_A_REQUEST = 64 << 20
"""Label Studio takes 250 MB; proxies before it often less."""
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".svg", ".webp")
"""What Label Studio takes and browsers show."""

_SHORTEST_TITLE, _LONGEST_TITLE = 3, 50
"""Characters of a project's title."""
_UPLOADED = re.compile(r"-([0-9a-f]{24})[^/]*$")
"""In the name of an uploaded file: the id of its sample."""
_NOT_A_SERVER = "https://labelstud.io"
"""FiftyOne's default, which is a product's page."""


class LabelStudioBackend(Backend):
    name = "labelstudio"
    title = "Label Studio"
    listed = 20
    options = (
        Option(
            "url",
            "Address of Label Studio",
            description="As the browser shows it, without /projects. Default: FIFTYONE_LABELSTUDIO_URL, or FiftyOne's "
            "annotation config",
        ),
        Option(
            "api_key",
            "API key",
            description=f"{WHERE_KEYS_ARE} Default: FIFTYONE_LABELSTUDIO_API_KEY, or FiftyOne's annotation config",
            secret=True,
        ),
    )
    chunk = 500
    people = True

    def check(self, dataset: Dataset, options: Mapping[str, Any]) -> None:
        """Looks whether a Label Studio answers, takes the key and lets its account make projects."""
        studio = _studio(options)
        studio.version()
        account = studio.call("GET", "/api/current-user/whoami")
        rights = account.get("permissions")
        if rights is not None and not {"projects.create", "tasks.create"} <= set(rights):
            raise InvalidInput(
                f"The account {account.get('email')} may not make projects on {studio.url}. Use the key of an account "
                "that may, or ask an administrator for the right.",
                "api_key",
            )

    def send(self, sending: Sending, progress: Progress) -> dict[str, Any]:
        """Makes a project of the part and uploads what is not in it yet, a few files at a time."""
        studio = _studio(sending.options, sending.part.receipt)
        files = _files(sending)
        _check_suggestions(sending)
        progress(0.0, "looking for the project")
        project = _project(studio, sending)
        there = {sample_of(task) for task in studio.tasks(project, "task_only")}
        waiting = {sample: path for sample, path in files.items() if sample not in there}
        uploads = _uploads(studio, project, {"all": "true"}) if waiting else {}
        done = len(files) - len(waiting)
        for batch in batches(waiting):
            progress(done / len(files), f"{done:,} of {len(files):,} images")
            _send_batch(studio, project, batch, uploads, sending.prelabels or {})
            done += len(batch)
        _settle(studio, project, files)
        progress(1.0, f"{done:,} images")
        return {"url": studio.url, "project": project, "tasks": done}

    def take(self, dataset: Dataset, part: SentPart, ids: Sequence[str], options: Mapping[str, Any]) -> Returned:
        studio = _studio(options, part.receipt)
        try:
            tasks = list(studio.tasks(_sent_to(part), "all"))
        except NotThere as error:
            raise _deleted(studio, part) from error
        annotated = any(task.get("annotations") for task in tasks)
        return returned_from(tasks, ids, _emails(studio) if annotated else {})

    def standing(
        self, dataset: Dataset, part: SentPart, ids: Sequence[str], options: Mapping[str, Any]
    ) -> list[Standing]:
        """One for the project, by the server's own counts: who has done how much would take reading all tasks."""
        studio = _studio(options, part.receipt)
        try:
            found = studio.call("GET", f"/api/projects/{_sent_to(part)}")
        except NotThere as error:
            raise _deleted(studio, part) from error
        done = found.get("num_tasks_with_annotations") or 0
        if found.get("skipped_annotations_number"):  # some of which may be of tasks that others have labelled
            done += studio.count(found["id"], cancelled_annotations=True, total_annotations=False)
        url = f"{studio.url}/projects/{found['id']}/data"
        return [Standing(part.annotator or found["title"], done, found.get("task_number") or 0, url)]


def batches(files: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """{sample id: path} in pieces that one request can carry, in their order."""
    batch: dict[str, str] = {}
    size = 0
    for sample, path in files.items():
        bytes_of_it = os.path.getsize(path)
        if batch and (len(batch) == FILES_IN_A_REQUEST or size + bytes_of_it > BYTES_IN_A_REQUEST):
            yield batch
            batch, size = {}, 0
        batch[sample] = path
        size += bytes_of_it
    if batch:
        yield batch


def _studio(options, receipt=None):
    url = _setting(options, "url") or (receipt or {}).get("url")
    if not url:
        raise InvalidInput("Give the address of your Label Studio, for example http://localhost:8080.", "url")
    key = _setting(options, "api_key")
    if not key:
        raise InvalidInput(f"Give an API key of your Label Studio. {WHERE_KEYS_ARE}", "api_key")
    return LabelStudio(url, str(key).strip())


def _setting(options, name):
    known = fo.annotation_config.backends.get("labelstudio", {}).get(name)
    given = options.get(name) or os.environ.get(f"FIFTYONE_LABELSTUDIO_{name.upper()}")
    return given or (None if known == _NOT_A_SERVER else known)


def _files(sending):
    """{sample id: path} in the order of labelling, all of which can be sent."""
    known = by_id(sending.dataset, sending.ids, "filepath")
    files = {sample: known[sample] for sample in sending.ids if sample in known}
    if not files:
        raise InvalidInput("None of the samples is in the dataset any more.", "round")
    for path in files.values():
        if os.path.splitext(path)[1].lower() not in IMAGES:
            raise InvalidInput(
                f"Label Studio cannot show {path}: it takes {', '.join(IMAGES)}. Convert the images, or use another "
                "labelling tool.",
                "to",
            )
        if not os.access(path, os.R_OK):
            raise ElfsError(f"{path} cannot be read. Put the file back, or take its sample out of the round.")
    return files


def _check_suggestions(sending):
    unknown = sorted(set((sending.prelabels or {}).values()) - set(sending.classes))
    if unknown:
        raise InvalidInput(
            f"The pre-labels have classes that annotators cannot choose: {', '.join(map(shown, unknown[:5]))}. Add "
            "them to the classes.",
            "prelabels",
        )


def _project(studio, sending):
    """The id of the part's project, the one that an earlier attempt has made where there is one.

    The mark in its description tells it from projects of the same title for other datasets.
    """
    part, dataset = sending.part, sending.dataset
    title = part.key[:_LONGEST_TITLE] if len(part.key) >= _SHORTEST_TITLE else f"ELFS {part.key}"
    mark = f"[elfs {dataset._doc.id} {part.key}]"
    found = _still_there(studio, part.receipt.get("project"))
    if found is None:
        known = (one["id"] for one in studio.projects(title) if mark in (one["description"] or ""))
        found = min(known, default=None)
    if found is not None:
        _update_classes(studio, found, sending.classes)
        return found
    whom = f" for {part.annotator}" if part.annotator else ""
    made = studio.call(
        "POST",
        "/api/projects",
        json={
            "title": title,
            "description": f"Images of the dataset {dataset.name}{whom}.\n{mark}",
            "label_config": labelling_config(sending.classes),
            "sampling": "Sequential sampling",
            "show_collab_predictions": True,
            "enable_empty_annotation": False,
        },
    )
    return made["id"]


def _still_there(studio, project):
    if project is None:
        return None
    try:
        return studio.call("GET", f"/api/projects/{project}")["id"]
    except NotThere:
        return None


def _update_classes(studio, project, classes):
    """Of an earlier attempt with other classes. What people have changed about the project otherwise is kept."""
    known = studio.call("GET", f"/api/projects/{project}").get("parsed_label_config") or {}
    if not any(control.get("labels") == list(classes) for control in known.values()):
        studio.call("PATCH", f"/api/projects/{project}", json={"label_config": labelling_config(classes)})


def _send_batch(studio, project, batch, uploads, suggestions):
    """Files first, under names from which their samples can be told, then their tasks in one transaction of the
    server's; ``uploads`` is what is on the server, {sample id: name there}."""
    files = []
    for sample, path in batch.items():
        if sample not in uploads:
            with open(path, "rb") as file:
                files.append((sample, (f"{sample}{os.path.splitext(path)[1].lower()}", file.read())))
    if files:
        imports = f"/api/projects/{project}/import"
        answer = studio.call("POST", imports, params={"commit_to_project": "false"}, files=files)
        ids = (answer or {}).get("file_upload_ids")
        if not ids:
            raise ElfsError(
                f"The Label Studio at {studio.url} did not say where it has put the uploaded files. Its Enterprise "
                "edition, which takes them in later, is not supported."
            )
        uploads.update(_uploads(studio, project, {"ids": json.dumps(ids)}))
    tasks = [new_task(sample, path, uploads[sample], suggestions.get(sample)) for sample, path in batch.items()]
    studio.call("POST", f"/api/projects/{project}/import", json=tasks)


def _uploads(studio, project, asked):
    found = studio.call("GET", f"/api/projects/{project}/file-uploads", params=asked)
    names = ((_UPLOADED.search(upload["file"]), upload["file"]) for upload in found)
    return {match[1]: name for match, name in names if match}


def _settle(studio, project, files):
    """Looks whether every sample is there once. A request that an earlier attempt gave up waiting for may have been
    carried out after all; of two tasks the one without annotations goes."""
    tasks: dict[str, list[dict[str, Any]]] = {}
    for task in studio.tasks(project, "task_only"):
        tasks.setdefault(sample_of(task), []).append(task)
    missing = [sample for sample in files if sample not in tasks]
    if missing:
        raise ElfsError(
            f"{len(missing):,} of {len(files):,} images are not in the project {project} of {studio.url}. Send them "
            "again: only they are uploaded."
        )
    for sample in files:
        worked_on = sorted(tasks[sample], key=lambda task: (not _touched(task), task["id"]))
        for task in worked_on[1:]:
            if not _touched(task):
                studio.call("DELETE", f"/api/tasks/{task['id']}")


def _touched(task):
    return bool(task.get("total_annotations") or task.get("cancelled_annotations"))


def _emails(studio):
    """{user's number: e-mail} of the accounts; none where the key's account may not see them."""
    try:
        return {person["id"]: person["email"] for person in studio.call("GET", "/api/users")}
    except InvalidInput as error:
        if error.field != "api_key":
            raise
        return {}


def _sent_to(part):
    project = part.receipt.get("project")
    if project is None:
        raise ElfsError(f"{part.key} has not been sent to Label Studio yet.")
    return project


def _deleted(studio, part):
    return ElfsError(
        f"The project of {part.key} (number {_sent_to(part)}) is not on {studio.url}: it was deleted, or the account "
        "of this API key does not see it. Send the part again, or use the key that it was sent with."
    )
