"""CVAT: tasks of images to be tagged, each cut into jobs, of which only finished ones are taken back.

Of a job that is not finished nothing is taken, whatever is on its images: suggestions go up as annotations, and there
they look like labels. Deleting an image in a job skips it. An image's id is in its name in CVAT, so that tasks which an
interrupted attempt has left are known by what they hold.

Written and tested against what CVAT's API is said to do (cvat-sdk 2.80 and the server's code), on a server of our own
that answers so: no real CVAT was at hand.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ....contracts import Progress
from ....encoders.images import ImageError, image_header
from ....errors import ElfsError, InvalidInput
from ....validation import shown, whole_number
from ...fiftyone_types import Dataset
from ...reading import by_id
from ..cvat_client import CvatClient, NotMade, NotThere, server_of
from ..state import SentPart
from .base import Backend, Option, Returned, Sending, Standing

IMAGE_QUALITY = 90
"""Of the copies that annotators see, in percent."""

_LONGEST_CLASS, _LONGEST_NAME = 64, 200
_IMAGE = re.compile(r"\d+_([0-9a-f]{24})\.\w+")
_ENDING = re.compile(r"\.[A-Za-z0-9]{2,5}")


class Cvat(Backend):
    """Sends a part as tasks of a server, or of a project there, and takes finished jobs back."""

    name = "cvat"
    title = "CVAT"
    listed = 30
    people = True
    options = (
        Option("url", "Server", description="Address, such as https://app.cvat.ai", required=True),
        Option("username", "User name"),
        Option("password", "Password", secret=True),
        Option("token", "Token", description="In place of name and password", secret=True),
        Option("organization", "Organization", description="Its short name"),
        Option("project_name", "Project", description="It is made if there is none of that name"),
        Option("task_size", "Images per task", int, 500),
        Option("segment_size", "Images per job", int, 50, "Labels count when their whole job is completed"),
        Option("assignees", "Assignees of the jobs", description="User names, with commas between, in turn"),
        Option("issue_tracker", "Issue tracker", description="Address that the tasks show"),
    )

    def __init__(self) -> None:
        self._clients: dict[tuple[Any, ...], CvatClient] = {}

    def check(self, dataset: Dataset, options: Mapping[str, Any]) -> None:
        """See :meth:`Backend.check`."""
        _sizes(options)
        client = self._client(options)
        _users(client, _assignees(options))

    def send(self, sending: Sending, progress: Progress) -> dict[str, Any]:
        """See :meth:`Backend.send`. Tasks that are there already are kept; what is in none of them is sent.

        Returns:
            ``url``, ``organization``, ``project`` (id or None), ``tasks`` (``id`` and ``images`` of each), and of
            samples ``exported``, ``missing`` (their files cannot be read) and ``deleted``
        """
        options, classes = sending.options, _classes(sending.classes)
        task_size, segment_size = _sizes(options)
        client = self._client(options)
        part = sending.part
        users = _users(client, [part.annotator] if part.annotator else _assignees(options))
        images, missing = _images(sending)
        project = _project(client, options.get("project_name"), classes)
        sender = _Sender(
            client, sending, project, segment_size, options.get("issue_tracker") or None, list(users.values())
        )
        held = sender.earlier()
        there = {i for task in held for i in task.ids}
        left = [(i, *image) for i, image in images.items() if i not in there]
        chunks = [left[at : at + task_size] for at in range(0, len(left), task_size)]
        done, total = len(there), max(len(there) + len(left), 1)

        def sent(count):
            progress((done + count) / total, f"{done + count:,} of {total:,} images")

        sent(0)
        for chunk in chunks:
            held.append(sender.make(chunk, sent))
            done += len(chunk)
        for task in held:
            sender.finish(task)
        progress(1.0, f"{total:,} images in {len(held):,} tasks")
        return {
            "url": client.url,
            "organization": options.get("organization") or None,
            "project": project,
            "tasks": [{"id": task.id, "images": len(task.frames)} for task in held],
            "exported": len(there & set(sending.ids)) + len(left),
            "missing": len(missing),
            "deleted": len(sending.ids) - len(images) - len(missing),
        }

    def take(self, dataset: Dataset, part: SentPart, ids: Sequence[str], options: Mapping[str, Any]) -> Returned:
        """See :meth:`Backend.take`. Images of finished jobs without a tag wait on."""
        client = self._client(options, part)
        words = _Words(set(ids))
        for task in _tasks(client, part)[0]:
            names = {label["id"]: label["name"] for label in client.pages("labels", task_id=task.id)}
            for job in _jobs(client, task.id):
                if _is_complete(job):
                    words.add(job, task, client.get(f"jobs/{job['id']}/annotations"), names)
        return words.returned()

    def standing(
        self, dataset: Dataset, part: SentPart, ids: Sequence[str], options: Mapping[str, Any]
    ) -> list[Standing]:
        """See :meth:`Backend.standing`: a job is done or it is not, for only whole jobs count."""
        client = self._client(options, part)
        there, gone = _tasks(client, part)
        deleted = [Standing(f"task {task['id']}, deleted in CVAT", 0, task["images"]) for task in gone]
        return deleted + [
            Standing(
                f"{_assignee(job) or 'nobody'}, job {job['id']}",
                _size(job) if _is_complete(job) else 0,
                _size(job),
                f"{client.url}/tasks/{task.id}/jobs/{job['id']}",
            )
            for task in there
            for job in _jobs(client, task.id)
        ]

    def _client(self, options, part=None):
        options = dict(options)
        if part is not None:
            options = _as_sent(part, options)
        names = ("url", "username", "password", "token", "organization")
        key = tuple(options.get(name) or None for name in names)
        if key not in self._clients:
            self._clients[key] = CvatClient(*key)
        return self._clients[key]


@dataclass
class _Task:
    """A task with the samples of its frames; ``None`` where a frame is none of ours."""

    id: int
    frames: list[str | None]
    deleted: set[int] = field(default_factory=set)

    @property
    def ids(self) -> list[str]:
        return [i for i in self.frames if i]


class _Sender:
    """The sending of one part: its tasks are known by a name that no other dataset's part has."""

    def __init__(self, client, sending, project, segment_size, tracker, users):
        self._client, self._sending, self._project = client, sending, project
        self._segment_size, self._tracker, self._users = segment_size, tracker, users
        mark = hashlib.sha256(str(sending.dataset._doc.id).encode()).hexdigest()[:8]
        self._name = f"{sending.part.key[:_LONGEST_NAME]} [{mark}]"
        self._number = 0

    def earlier(self) -> list[_Task]:
        """What an interrupted attempt has left: whole tasks. Such without images are removed.

        Raises:
            ElfsError: when a task of this name holds other images
        """
        pattern = re.compile(re.escape(self._name) + r" (\d+)")
        found = []
        for task in list(self._client.pages("tasks", search=self._name.rpartition("[")[2].rstrip("]"))):
            named = pattern.fullmatch(str(task.get("name")))
            if named:
                self._number = max(self._number, int(named[1]))
                whole = self._kept(task["id"])
                found += [whole] if whole else []
        return sorted(found, key=lambda task: task.id)

    def _kept(self, number):
        try:
            self._client.wait(number)  # where only the wait for it was interrupted
            task = _task(self._client, number)
        except NotMade:
            task = None
        if task is None or not task.frames:
            self._client.delete(f"tasks/{number}")
            return None
        others = set(task.ids) - set(self._sending.ids)
        if None in task.frames or self._are_there(others):
            raise ElfsError(
                f"Task {number} on {self._client.url} has the name of this part, '{self._sending.part.key}', and other "
                "images. Rename or delete it there, then send again."
            )
        return task

    def _are_there(self, ids):
        return bool(ids) and bool(by_id(self._sending.dataset, ids, "id"))

    def make(self, chunk, sent) -> _Task:
        """A new task with the images of (id, name, path)."""
        self._number += 1
        content = {"name": f"{self._name} {self._number}", "segment_size": self._segment_size, "overlap": 0}
        if self._project is None:
            content["labels"] = _labels(self._sending.classes)
        else:
            content["project_id"] = self._project
        if self._tracker:
            content["bug_tracker"] = self._tracker
        number = self._client.post("tasks", content)["id"]
        self._client.upload(number, [(name, path) for _, name, path in chunk], IMAGE_QUALITY, sent)
        task = _task(self._client, number)
        lost = {i for i, *_ in chunk} - set(task.ids)
        if lost:
            raise ElfsError(
                f"CVAT has taken only {len(chunk) - len(lost):,} of {len(chunk):,} images into task {number}. Send "
                "again, and the rest goes into another task."
            )
        return task

    def finish(self, task):
        """Suggestions and assignees, as far as they are not there: no annotator's work is ever touched."""
        jobs = _jobs(self._client, task.id)
        prelabels = self._sending.prelabels or {}
        if prelabels and all(job.get("state") == "new" and job.get("stage") == "annotation" for job in jobs):
            self._suggest(task, prelabels)
        for place, job in enumerate(jobs if self._users else ()):
            if job.get("assignee") is None:
                self._client.patch(f"jobs/{job['id']}", {"assignee": self._users[place % len(self._users)]})

    def _suggest(self, task, prelabels):
        path = f"tasks/{task.id}/annotations"
        if any(self._client.get(path).get(kind) for kind in _KINDS):
            return
        numbers = {label["name"]: label["id"] for label in self._client.pages("labels", task_id=task.id)}
        tags = [
            {"frame": frame, "label_id": numbers[prelabels[i]], "group": 0, "source": "auto", "attributes": []}
            for frame, i in enumerate(task.frames)
            if prelabels.get(i) in numbers
        ]
        if tags:
            self._client.patch(path, {"version": 0, "tags": tags, "shapes": [], "tracks": []}, action="create")


_KINDS = ("tags", "shapes", "tracks")


class _Words:
    """What finished jobs say of each sample."""

    def __init__(self, ids):
        self._ids, self.strangers = ids, 0
        self._said: dict[str, dict[str, str | None]] = {}
        self._skipped: dict[str, str | None] = {}

    def add(self, job, task, annotations, names):
        who, frames = _assignee(job), range(job["start_frame"], job["stop_frame"] + 1)
        for frame in task.deleted:
            i = task.frames[frame] if frame in frames and frame < len(task.frames) else None
            if i in self._ids:
                self._skipped[i] = who
        for kind in _KINDS:
            for one in annotations.get(kind) or ():
                frame, name = one.get("frame"), names.get(one.get("label_id"))
                if name is not None and frame in frames and frame not in task.deleted:
                    self._add(task.frames[frame] if frame < len(task.frames) else None, name, who)

    def _add(self, i, name, who):
        if i in self._ids:
            self._said.setdefault(i, {})[name] = who
        else:
            self.strangers += 1

    def returned(self):
        found = Returned(strangers=self.strangers)
        for i, said in self._said.items():
            if len(said) > 1:
                found.doubled[i] = list(said)
            else:
                found.labels[i] = next(iter(said))
        found.skipped.update(i for i in self._skipped if i not in self._said)
        people = {**self._skipped, **{i: next(iter(said.values())) for i, said in self._said.items()}}
        found.by.update({i: who for i, who in people.items() if who and i not in found.doubled})
        return found


def _is_complete(job):
    """A reviewer's rejection takes a job back, also from the last stage."""
    if job.get("state") == "rejected":
        return False
    return job.get("state") == "completed" or job.get("stage") == "acceptance"


def _assignee(job):
    return (job.get("assignee") or {}).get("username")


def _size(job):
    return job["stop_frame"] - job["start_frame"] + 1


def _jobs(client, task) -> list[dict[str, Any]]:
    """Jobs in which the images are labelled: those of ground truth, and copies for a consensus, are left out."""
    found = (job for job in client.pages("jobs", task_id=task) if job.get("type", "annotation") == "annotation")
    return sorted(found, key=lambda job: (job["start_frame"], job["id"]))


def _task(client, number):
    meta = client.get(f"tasks/{number}/data/meta") if client.get(f"tasks/{number}").get("size") else {}
    named = [_IMAGE.fullmatch(os.path.basename(str(frame.get("name")))) for frame in meta.get("frames") or ()]
    return _Task(number, [name[1] if name else None for name in named], set(meta.get("deleted_frames") or ()))


def _tasks(client, part):
    """(the tasks of a part that are still there, what the receipt says of those that are not).

    Raises:
        ElfsError: when none is
    """
    found, gone = [], []
    for task in part.receipt["tasks"]:
        try:
            found.append(_task(client, task["id"]))
        except NotThere:
            gone.append(task)
    if not found:
        raise ElfsError(
            f"The tasks of '{part.key}' are no longer on {client.url}: they, or their project, were deleted there, or "
            "this user may not see them. Send the part again, or close the round without it."
        )
    return found, gone


def _as_sent(part, options):
    """The options with the server and the organization that the part was sent to."""
    receipt = part.receipt
    if not receipt.get("tasks") or not receipt.get("url"):
        raise ElfsError(f"The part '{part.key}' was not sent to CVAT. Send it first.")
    if options.get("url") and server_of(options["url"]) != receipt["url"]:
        raise InvalidInput(f"The part '{part.key}' was sent to {receipt['url']}. Take it back from there.", "url")
    return {**options, "url": receipt["url"], "organization": receipt.get("organization")}


def _sizes(options):
    return tuple(
        _count(options.get(option.name, option.default), option.name, option.label)
        for option in Cvat.options
        if option.kind is int
    )


def _count(value, name, label):
    found = whole_number(value)
    if found is None or not 1 <= found <= 100_000:
        raise InvalidInput(f"{label} must be a whole number from 1 to 100,000, not {shown(value)}.", name)
    return found


def _classes(classes):
    """The classes, if CVAT takes them as names of labels.

    Raises:
        InvalidInput: when it does not
    """
    if not classes:
        raise InvalidInput("Give the classes that annotators choose from.", "classes")
    for name in classes:
        if not name.strip() or name != name.strip() or len(name) > _LONGEST_CLASS:
            raise InvalidInput(
                f"CVAT takes no class named {shown(name)}: 1 to {_LONGEST_CLASS} characters, no spaces around them.",
                "classes",
            )
    return list(dict.fromkeys(classes))


def _labels(classes):
    return [{"name": name, "type": "tag", "attributes": []} for name in dict.fromkeys(classes)]


def _assignees(options):
    given = options.get("assignees") or ()
    names = given.split(",") if isinstance(given, str) else list(given)
    return [name.strip() for name in names if name.strip()]


def _users(client, names):
    """{user name: id}.

    Raises:
        InvalidInput: for a name that CVAT does not know
    """
    found = {}
    for name in dict.fromkeys(names):
        known = (user["id"] for user in client.pages("users", search=name) if user.get("username") == name)
        number = next(known, None)
        if number is None:
            raise InvalidInput(
                f"CVAT at {client.url} has no user '{name}' that you may assign jobs to. Check the user name.",
                "assignees",
            )
        found[name] = number
    return found


def _project(client, name, classes):
    """The id of the project of that name, made if there is none; None without a name.

    Raises:
        InvalidInput: when its labels lack a class: they are its owner's to change
    """
    if not name:
        return None
    number = next((p["id"] for p in client.pages("projects", search=name) if p.get("name") == name), None)
    if number is None:
        return client.post("projects", {"name": name, "labels": _labels(classes)})["id"]
    labels = client.pages("labels", project_id=number)
    there = {label["name"] for label in labels if label.get("type", "any") in ("any", "tag")}
    lacking = [one for one in classes if one not in there]
    if lacking:
        raise InvalidInput(
            f"The project '{name}' has no labels for tags named {', '.join(lacking[:5])}. Add them in CVAT, or name "
            "another project.",
            "project_name",
        )
    return number


def _images(sending):
    """({sample id: (name in CVAT, path)} in order, [id of a sample whose file cannot be read]).

    One file that it cannot read costs CVAT the whole task.

    Raises:
        InvalidInput: when none can be read
    """
    paths = by_id(sending.dataset, sending.ids, "filepath")
    images, missing, reason = {}, [], "not in the dataset any more"
    for place, i in enumerate(dict.fromkeys(sending.ids)):
        if i not in paths:
            continue
        try:
            images[i] = (_image_name(place, i, paths[i]), paths[i])
        except ImageError as error:
            missing.append(i)
            reason = f"{paths[i]}: {error}"
    if not images:
        raise InvalidInput(f"None of the {len(sending.ids):,} images can be read ({reason}). Nothing was sent.")
    return images, missing


def _image_name(place, i, path):
    """In the order of labelling also where names are sorted; unique, plain, and with the sample's id."""
    format = image_header(path)[0]
    ending = os.path.splitext(path)[1].lower()
    return f"{place:06}_{i}{ending if _ENDING.fullmatch(ending) else f'.{format.lower()}'}"
