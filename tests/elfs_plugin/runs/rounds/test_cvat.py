"""Batches in CVAT: nothing is uploaded twice, and of a job that is not finished nothing comes back.

Against a server of our own that answers as CVAT is said to (:mod:`.fake_cvat`): no real CVAT was at hand.
"""

import json
import shutil
import socket

import pytest

from elfs_plugin.errors import Cancelled, ElfsError, InvalidInput
from elfs_plugin.progress import silent
from elfs_plugin.runs.rounds import cvat_client
from elfs_plugin.runs.rounds.backends import registry
from elfs_plugin.runs.rounds.backends.base import Returned, Sending
from elfs_plugin.runs.rounds.state import SentPart
from tests.elfs_plugin.runs.rounds import fake_cvat

CLASSES = ("cat", "dog")


@pytest.fixture(scope="module")
def shared(new_dataset):
    return new_dataset(10)


@pytest.fixture
def ids(shared):
    """In an order of labelling that is not the dataset's."""
    return shared.values("id")[::-1]


@pytest.fixture
def server():
    with fake_cvat.running() as found:
        yield found


@pytest.fixture
def fake(server):
    return server[0]


@pytest.fixture
def options(server):
    secret = {"username": "admin", "password": "secret"}
    return {"url": server[1], **secret, "task_size": 4, "segment_size": 2}


def send(dataset, ids, options, key="elfs-r0", prelabels=None, classes=CLASSES, progress=silent, annotator=None):
    """The part as it is after it was sent, with its receipt."""
    part = SentPart(key, len(ids), annotator)
    sending = Sending(dataset, ids, part, "labels", classes, prelabels, options)
    part.receipt = registry.backend("cvat").send(sending, progress)
    return part


def take(dataset, part, ids, options):
    return registry.backend("cvat").take(dataset, part, ids, options)


def uploaded(fake):
    """The ids of all images on the server, task by task, in order."""
    return [list(fake.frames_of(number)) for number in fake.tasks]


# Sending


def test_it_is_listed_with_its_options():
    backend = registry.backend("cvat")
    assert {option.name for option in backend.options if option.secret} == {"password", "token"}
    assert [option.name for option in backend.options if option.required] == ["url"]
    assert backend.people


def test_images_go_up_in_order_in_tasks_and_jobs(shared, ids, fake, options):
    part = send(shared, ids, {**options, "issue_tracker": "https://issues.example"})
    assert uploaded(fake) == [ids[:4], ids[4:8], ids[8:]]
    assert [len(fake.jobs_of(number)) for number in fake.tasks] == [2, 2, 1]
    paths = dict(zip(*shared.values(["id", "filepath"])))
    for task in fake.tasks.values():
        assert task["bug_tracker"] == "https://issues.example" and task["name"].startswith("elfs-r0 [")
        assert all(task["files"][name] == open(paths[name[7:31]], "rb").read() for name in task["frames"])
        assert task["annotations"]["tags"] == [] and task["sorting"] == "predefined"
    assert {(label["name"], label["type"]) for label in fake.labels.values()} == {("cat", "tag"), ("dog", "tag")}
    assert part.receipt == {
        "url": options["url"],
        "organization": None,
        "project": None,
        "tasks": [{"id": n, "images": size} for n, size in zip(fake.tasks, (4, 4, 2))],
        "exported": 10,
        "missing": 0,
        "deleted": 0,
    }
    assert "secret" not in json.dumps(part.receipt)


def test_large_images_go_up_in_several_requests(shared, ids, fake, options, monkeypatch):
    monkeypatch.setattr(cvat_client, "REQUEST_BYTES", 200)  # one image of digits has about 100 bytes
    said = []
    send(shared, ids, {**options, "task_size": 100}, progress=lambda fraction, detail="": said.append(fraction))
    assert uploaded(fake) == [ids]
    assert fake.count("POST", r"/data$") > 5
    assert said == sorted(said) and said[0] == 0 and said[-1] == 1 and len(set(said)) > 4


def test_a_server_that_tells_no_ids_of_its_work(shared, ids, fake, options):
    fake.request_ids, fake.version = False, "2.4.6"
    send(shared, ids[:3], options)
    assert uploaded(fake) == [ids[:3]] and fake.count("GET", "status") == 3


def test_a_server_without_the_old_way_to_ask_for_its_work(shared, ids, fake, options):
    fake.fail("GET", "status$", 410, times=99)
    fake.fail("POST", "^tasks$", 500, 1)
    with pytest.raises(ElfsError):
        send(shared, ids, options)
    send(shared, ids, options)
    assert uploaded(fake) == [ids[:4], ids[4:8], ids[8:]]


def test_suggestions_go_up_as_tags(shared, ids, fake, options):
    send(shared, ids[:3], options, prelabels={ids[0]: "dog", ids[2]: "cat", "0" * 24: "cat"})
    (task,) = fake.tasks
    tags = fake.tasks[task]["annotations"]["tags"]
    assert [(tag["frame"], fake.labels[tag["label_id"]]["name"]) for tag in tags] == [(0, "dog"), (2, "cat")]
    assert {tag["source"] for tag in tags} == {"auto"}


def test_jobs_are_assigned_in_turn(shared, ids, fake, options):
    send(shared, ids, {**options, "assignees": " anna,bo "})
    who = [[job["assignee"]["username"] for job in fake.jobs_of(task)] for task in fake.tasks]
    assert who == [["anna", "bo"], ["anna", "bo"], ["anna"]]


def test_a_part_of_an_annotator_is_theirs(shared, ids, fake, options):
    send(shared, ids[:4], {**options, "assignees": "anna"}, annotator="bo")
    assert {job["assignee"]["username"] for job in fake.jobs.values()} == {"bo"}


def test_a_project_is_made_once_and_used_again(shared, ids, fake, options):
    one = send(shared, ids[:2], {**options, "project_name": "cats"})
    two = send(shared, ids[2:], {**options, "project_name": "cats"}, key="elfs-r1")
    assert one.receipt["project"] == two.receipt["project"] and len(fake.projects) == 1
    assert {task["project_id"] for task in fake.tasks.values()} == {one.receipt["project"]}
    fake.tag(ids[0], "dog")
    fake.complete()
    assert take(shared, one, ids[:2], options).labels == {ids[0]: "dog"}


def test_a_project_that_lacks_a_class_is_left_as_it_is(shared, ids, fake, options):
    send(shared, ids[:2], {**options, "project_name": "cats"})
    before = dict(fake.labels)
    for kind in ("cow", "dog"):
        next(label for label in fake.labels.values() if label["name"] == "dog")["type"] = "rectangle"
        with pytest.raises(InvalidInput, match=f"has no labels for tags named {kind}") as caught:
            send(shared, ids, {**options, "project_name": "cats"}, key="other", classes=["cat", kind])
        assert caught.value.field == "project_name"
    assert fake.labels == before and len(fake.tasks) == 1


def test_images_that_cannot_be_read_are_left_out(new_dataset, tmp_path, fake, options):
    text = tmp_path / "text.png"
    text.write_text("no image")
    dataset = new_dataset(3, [text, tmp_path / "gone.png"])
    ids = dataset.values("id")
    dataset.delete_samples(ids[:1])
    part = send(dataset, ids, options)
    assert uploaded(fake) == [ids[1:3]]
    assert [part.receipt[name] for name in ("exported", "missing", "deleted")] == [2, 2, 1]
    with pytest.raises(InvalidInput, match="None of the 2 images can be read .*gone.png: file not found"):
        send(dataset, ids[3:], options, key="none")
    assert len(fake.tasks) == 1


def test_files_of_the_same_name_in_different_folders(new_dataset, digits, tmp_path, fake, options):
    paths = []
    for folder, digit in (("a", digits[0]), ("b", digits[1])):
        (tmp_path / folder).mkdir()
        paths.append(shutil.copy(digit, tmp_path / folder / "säme name.png"))
    dataset = new_dataset(0, paths)
    ids = dataset.values("id")
    part = send(dataset, ids, options)
    (task,) = fake.tasks.values()
    assert [task["files"][name] for name in task["frames"]] == [open(path, "rb").read() for path in paths]
    fake.tag(ids[0], "cat")
    fake.tag(ids[1], "dog")
    fake.complete()
    assert take(dataset, part, ids, options).labels == {ids[0]: "cat", ids[1]: "dog"}


def test_an_image_without_an_ending_gets_one(new_dataset, digits, tmp_path, fake, options):
    dataset = new_dataset(0, [shutil.copy(digits[0], tmp_path / "image"), shutil.copy(digits[0], tmp_path / "a.p n")])
    send(dataset, dataset.values("id"), options)
    (task,) = fake.tasks.values()
    assert all(name.endswith(".png") for name in task["frames"])


# Interrupted, and sent again

BREAKS = {
    "no task yet": ("POST", "^tasks$", 500, 0),
    "the second task is not made": ("POST", "^tasks$", 500, 1),
    "the connection breaks in the images": ("POST", "data$", None, 1),
    "the connection breaks in the images of the second task": ("POST", "data$", None, 4),
    "the last word does not arrive": ("POST", "data$", None, 5),
    "it cannot be waited for": ("GET", "^requests/", 500, 0),
    "the suggestions": ("PATCH", "annotations$", 500, 1),
    "the assignees": ("PATCH", "^jobs", 500, 1),
}


@pytest.mark.parametrize("moment", BREAKS)
def test_nothing_is_there_twice_whenever_an_attempt_broke(shared, ids, fake, options, moment):
    method, path, code, after = BREAKS[moment]
    fake.fail(method, path, code, after)
    more = {"prelabels": dict.fromkeys(ids, "cat")}
    options = {**options, "assignees": "anna"}
    with pytest.raises(ElfsError):
        send(shared, ids, options, **more)
    part = send(shared, ids, options, **more)
    assert sorted(sum(uploaded(fake), [])) == sorted(ids)
    assert [task["id"] for task in part.receipt["tasks"]] == list(fake.tasks) and part.receipt["exported"] == 10
    for number, task in fake.tasks.items():
        assert sorted(tag["frame"] for tag in task["annotations"]["tags"]) == list(range(len(task["frames"])))
        assert all(job["assignee"]["username"] == "anna" for job in fake.jobs_of(number))
    names = [task["name"] for task in fake.tasks.values()]
    assert len(set(names)) == len(names)
    before = json.dumps(fake.tasks, default=str)
    assert send(shared, ids, options, **more).receipt == part.receipt  # once more
    assert json.dumps(fake.tasks, default=str) == before


def test_a_task_that_the_server_is_still_at_work_on_is_waited_for(shared, ids, fake, options):
    fake.polls = 4
    fake.fail("GET", "^requests/", None, 1, times=3)  # as often as reading is tried
    with pytest.raises(InvalidInput, match="does not answer"):
        send(shared, ids[:4], options)
    assert uploaded(fake) == [[]]
    send(shared, ids[:4], options)
    assert uploaded(fake) == [ids[:4]] and fake.count("DELETE", "") == 0


def test_other_sizes_make_no_second_copies(shared, ids, fake, options):
    fake.fail("POST", "^tasks$", 500, 1)
    with pytest.raises(ElfsError, match="has failed .500"):
        send(shared, ids, options)
    send(shared, ids, {**options, "task_size": 3})
    assert uploaded(fake) == [ids[:4], ids[4:7], ids[7:]]


def test_work_that_has_begun_is_not_touched(shared, ids, fake, options):
    fake.fail("POST", "^tasks$", 500, 1)
    with pytest.raises(ElfsError):
        send(shared, ids, options)
    fake.tag(ids[0], "dog")
    fake.complete(state="in progress")
    (task,) = fake.tasks
    fake.jobs_of(task)[0]["assignee"] = {"id": 3, "username": "bo"}
    part = send(shared, ids, {**options, "assignees": "anna"}, prelabels=dict.fromkeys(ids, "cat"))
    assert len(fake.tasks[task]["annotations"]["tags"]) == 1
    assert [job["assignee"]["username"] for job in fake.jobs_of(task)] == ["bo", "anna"]
    fake.complete()
    assert take(shared, part, ids, options).labels == {ids[0]: "dog", **dict.fromkeys(ids[4:], "cat")}


def test_no_suggestions_are_added_to_a_job_that_somebody_has_opened(shared, ids, fake, options):
    fake.fail("PATCH", "annotations$", 500)
    with pytest.raises(ElfsError):
        send(shared, ids[:4], options, prelabels=dict.fromkeys(ids, "cat"))
    fake.complete(list(fake.jobs)[1], state="in progress")
    send(shared, ids[:4], options, prelabels=dict.fromkeys(ids, "cat"))
    assert [task["annotations"]["tags"] for task in fake.tasks.values()] == [[]]


def test_a_cancelled_attempt_is_gone_on_with(shared, ids, fake, options):
    def progress(fraction, detail=""):
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        send(shared, ids, options, progress=progress)
    send(shared, ids, options)
    assert sorted(sum(uploaded(fake), [])) == sorted(ids)


def test_images_that_the_server_cannot_read_are_said_and_mended(new_dataset, digits, tmp_path, fake, options):
    path = tmp_path / "half.png"
    path.write_bytes(digits[0].read_bytes()[:-30])  # its head can be read
    dataset = new_dataset(0, [path])
    ids = dataset.values("id")
    with pytest.raises(ElfsError, match="could not make task .* cannot identify image file 000000_.*Nothing in it"):
        send(dataset, ids, options)
    shutil.copy(digits[0], path)
    send(dataset, ids, options)
    assert uploaded(fake) == [ids]


def test_a_task_with_fewer_images_than_were_sent(shared, ids, fake, options, monkeypatch):
    work_on = fake_cvat._Handler.work_on

    def lose_one(self, number):
        found = work_on(self, number)
        self.fake.tasks[int(number)]["frames"] = self.fake.tasks[int(number)]["frames"][:3]
        return found

    monkeypatch.setattr(fake_cvat._Handler, "work_on", lose_one)
    with pytest.raises(ElfsError, match="has taken only 3 of 4 images"):
        send(shared, ids[:4], options)
    send(shared, ids[:4], options)
    assert uploaded(fake) == [ids[:3], ids[3:4]]


def test_parts_and_datasets_do_not_meet(shared, new_dataset, ids, fake, options):
    other = new_dataset(3)
    parts = [
        send(shared, ids[:3], options),
        send(shared, ids[:3], options, key="elfs-r0-anna"),
        send(other, other.values("id"), options),
    ]
    assert [[task["id"] for task in part.receipt["tasks"]] for part in parts] == [[number] for number in fake.tasks]
    assert uploaded(fake) == [ids[:3], ids[:3], other.values("id")]


def test_a_task_with_other_images_is_left_alone(shared, ids, fake, options):
    send(shared, ids[:4], options)
    with pytest.raises(ElfsError, match="has the name of this part, 'elfs-r0', and other images. Rename or delete"):
        send(shared, ids[2:6], options)
    assert uploaded(fake) == [ids[:4]]


def test_samples_that_were_deleted_between_two_attempts(new_dataset, fake, options):
    dataset = new_dataset(6)
    ids = dataset.values("id")
    fake.fail("POST", "^tasks$", 500, 1)
    with pytest.raises(ElfsError):
        send(dataset, ids, options)
    dataset.delete_samples(ids[:1])
    part = send(dataset, ids[1:], options)
    assert uploaded(fake) == [ids[:4], ids[4:]] and part.receipt["exported"] == 5
    fake.tag(ids[0], "dog")
    fake.tag(ids[1], "cat")
    fake.complete()
    found = take(dataset, part, ids[1:], options)
    assert found.labels == {ids[1]: "cat"} and found.strangers == 1


# Taking back


@pytest.fixture
def sent(shared, ids, fake, options):
    """Ten images with suggestions, in jobs of two."""
    return send(shared, ids, {**options, "task_size": 100, "assignees": "anna,bo"}, prelabels=dict.fromkeys(ids, "cat"))


def test_suggestions_that_nobody_has_looked_at_are_no_labels(shared, ids, sent, options):
    assert take(shared, sent, ids, options) == Returned()


@pytest.mark.parametrize(
    "state, stage, counts",
    [
        ("completed", "annotation", True),
        ("completed", "validation", True),
        ("completed", "acceptance", True),
        ("new", "acceptance", True),
        ("in progress", "acceptance", True),
        ("rejected", "acceptance", False),
        ("rejected", "validation", False),
        ("new", "annotation", False),
        ("in progress", "annotation", False),
        ("new", "validation", False),
        ("in progress", "validation", False),
    ],
)
def test_only_finished_jobs_count(shared, ids, fake, sent, options, state, stage, counts):
    job = list(fake.jobs)[1]
    fake.tag(ids[2], "dog")
    fake.tag(ids[4], "dog")  # of another job, which is new
    (task,) = fake.tasks
    fake.tasks[task]["deleted_frames"] = [5]
    fake.complete(job, state=state, stage=stage)
    found = take(shared, sent, ids, options)
    assert found.labels == ({ids[2]: "dog", ids[3]: "cat"} if counts else {})  # a confirmed suggestion is a label
    assert found.by == (dict.fromkeys(ids[2:4], "bo") if counts else {})
    assert not found.skipped and not found.doubled and not found.strangers
    assert take(shared, sent, ids, options) == found  # again
    done = [one.done for one in registry.backend("cvat").standing(shared, sent, ids, options)]
    assert done == [0, 2 if counts else 0, 0, 0, 0]


def test_labels_outside_of_a_finished_job_do_not_count(shared, ids, fake, sent, options, monkeypatch):
    def all_of_the_task(self, asked, body, number):
        self.annotations(asked, body, self.fake.jobs[int(number)]["task_id"])

    monkeypatch.setattr(fake_cvat._Handler, "job_annotations", all_of_the_task)
    fake.complete(list(fake.jobs)[1])
    assert take(shared, sent, ids, options).labels == dict.fromkeys(ids[2:4], "cat")


def test_deleted_frames_are_skipped_and_untagged_ones_wait(shared, ids, fake, options):
    part = send(shared, ids[:4], options)
    (task,) = fake.tasks
    fake.tag(ids[0], "dog")
    fake.tag(ids[1], "cat")
    fake.tasks[task]["deleted_frames"] = [1, 99]
    fake.complete()
    found = take(shared, part, ids[:4], options)
    assert found.labels == {ids[0]: "dog"} and found.skipped == {ids[1]}


def test_several_tags_that_differ(shared, ids, fake, options):
    part = send(shared, ids[:4], {**options, "assignees": "anna"})
    fake.tag(ids[0], "dog")
    fake.tag(ids[0], "cat", keep=True)
    fake.tag(ids[1], "dog")
    fake.tag(ids[1], "dog", keep=True, kind="shapes")
    fake.complete()
    found = take(shared, part, ids[:4], options)
    assert found.doubled == {ids[0]: ["dog", "cat"]} and found.labels == {ids[1]: "dog"}
    assert found.by == {ids[1]: "anna"}


def test_labels_of_no_class_and_of_no_sample(shared, ids, fake, options):
    part = send(shared, ids[:4], options)
    (task,) = fake.tasks
    fake.labels[fake.number()] = {"name": "cow", "type": "tag", "task_id": task, "project_id": None}
    fake.tag(ids[0], "cow")
    fake.tag(ids[3], "dog")
    fake.complete()
    found = take(shared, part, ids[:3], options)
    assert found.labels == {ids[0]: "cow"} and found.strangers == 1  # the caller says which classes are known


def test_jobs_of_ground_truth_and_for_a_consensus_are_left_out(shared, ids, fake, options):
    part = send(shared, ids[:2], options)
    (job,) = fake.jobs.values()
    fake.tag(ids[0], "dog")
    for kind in ("ground_truth", "consensus_replica"):
        fake.jobs[fake.number()] = {**job, "type": kind, "state": "completed"}
    assert take(shared, part, ids[:2], options) == Returned()
    assert len(registry.backend("cvat").standing(shared, part, ids[:2], options)) == 1


def test_a_deleted_task_leaves_the_others(shared, ids, fake, options):
    part = send(shared, ids, options)
    fake.tag(ids[0], "dog")
    fake.tag(ids[8], "dog")
    fake.complete()
    first = next(iter(fake.tasks))
    fake.delete_task(first)
    assert take(shared, part, ids, options).labels == {ids[8]: "dog"}
    who = registry.backend("cvat").standing(shared, part, ids, options)
    assert (who[0].who, who[0].done, who[0].total) == (f"task {first}, deleted in CVAT", 0, 4)
    again = send(shared, ids, options)  # only what is gone
    assert sorted(sum(uploaded(fake), [])) == sorted(ids) and len(again.receipt["tasks"]) == 3


@pytest.mark.parametrize("what", ["tasks", "project"])
def test_when_all_is_deleted_it_is_said(shared, ids, fake, options, what):
    part = send(shared, ids, {**options, "project_name": "cats"})
    if what == "project":
        fake.delete_project(part.receipt["project"])
    for task in list(fake.tasks):
        fake.delete_task(task)
    for ask in (registry.backend("cvat").take, registry.backend("cvat").standing):
        with pytest.raises(
            ElfsError, match="tasks of 'elfs-r0' are no longer on .*: they, or their project, were deleted"
        ):
            ask(shared, part, ids, options)


def test_standing_tells_each_job(shared, ids, fake, sent, options):
    first = next(iter(fake.jobs))
    fake.complete(first)
    (task,) = fake.tasks
    found = registry.backend("cvat").standing(shared, sent, ids, options)
    assert [(one.done, one.total) for one in found] == [(2, 2), (0, 2), (0, 2), (0, 2), (0, 2)]
    assert found[0].who == f"anna, job {first}"
    assert found[0].url == f"{options['url']}/tasks/{task}/jobs/{first}"


def test_taking_back_changes_nothing(shared, ids, fake, sent, options):
    fake.complete()
    fake.seen.clear()
    before = json.dumps(fake.tasks, default=str), shared.get_field_schema(), shared.count_sample_tags()
    take(shared, sent, ids, options)
    registry.backend("cvat").standing(shared, sent, ids, options)
    assert {method for method, path in fake.seen if path != "auth/login"} == {"GET"}
    assert (json.dumps(fake.tasks, default=str), shared.get_field_schema(), shared.count_sample_tags()) == before


def test_it_is_taken_from_where_it_was_sent(shared, ids, fake, sent, options):
    fake.complete()
    secrets = {name: options[name] for name in ("username", "password")}
    assert len(take(shared, sent, ids, secrets).labels) == 10
    with pytest.raises(InvalidInput, match="was sent to") as caught:
        take(shared, sent, ids, {**options, "url": "https://app.cvat.ai"})
    assert caught.value.field == "url"
    with pytest.raises(ElfsError, match="was not sent to CVAT"):
        take(shared, SentPart("other", 3), ids, options)


def test_the_organization_is_kept(shared, ids, fake, options):
    part = send(shared, ids[:2], {**options, "organization": "lab"})
    fake.complete()
    assert part.receipt["organization"] == "lab"
    fake.organizations.clear()
    with pytest.raises(InvalidInput, match="no organization 'lab'") as caught:
        take(shared, part, ids[:2], options)
    assert caught.value.field == "organization"


# What is refused


def refused(dataset, ids, options, field, match="", **more):
    with pytest.raises(InvalidInput, match=match) as caught:
        registry.backend("cvat").check(dataset, options)
    assert caught.value.field == field and "secret" not in str(caught.value)
    with pytest.raises(InvalidInput) as caught:
        send(dataset, ids, options)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "url", [None, "", 7, "cvat", "ftp://cvat.example", "http://", "http://a:b", "http://me:pw@cvat"]
)
def test_an_address_that_is_none(shared, ids, options, url):
    refused(shared, ids, {**options, "url": url}, "url", "Give the address of the CVAT server")


@pytest.mark.parametrize("ending", ["", "/", "/tasks/3/jobs/4", "/projects?page=1", "/auth/login", "/api/"])
def test_an_address_from_the_browser(shared, fake, options, ending):
    registry.backend("cvat").check(shared, {**options, "url": f" {options['url']}{ending} "})


def test_a_server_that_is_down(shared, ids, options):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    refused(shared, ids, {**options, "url": f"http://127.0.0.1:{port}"}, "url", "does not answer .*refused.*running")


def test_a_server_that_goes_down_between(shared, ids, fake, sent, options):
    fake.fail("GET", "^jobs", None, times=99)
    with pytest.raises(InvalidInput, match="does not answer") as caught:
        take(shared, sent, ids, options)
    assert caught.value.field == "url"


def test_a_short_fault_is_not_noticed(shared, ids, fake, sent, options):
    fake.complete()
    fake.fail("GET", "^jobs", 502)
    fake.fail("GET", "meta", None)
    assert len(take(shared, sent, ids, options).labels) == 10


def test_https_is_asked_of_a_server_without(shared, ids, options):
    refused(shared, ids, {**options, "url": options["url"].replace("http:", "https:")}, "url", "certificate")


@pytest.mark.parametrize("version", ["1.7.0", "2.4.5", "2.4"])
def test_an_old_server(shared, ids, fake, options, version):
    fake.version = version
    refused(shared, ids, options, "url", f"is version {version}; 2.4.6 or newer is needed")


def test_something_else_than_cvat(shared, ids, fake, options):
    fake.fail("POST", "auth/login", 404, times=99)
    refused(shared, ids, options, "url", "There is no CVAT 2 at")
    fake.faults.clear()
    fake.version = ""
    refused(shared, ids, options, "url", "does not tell its version")


def test_a_server_that_sends_on(shared, ids, fake, options):
    fake.fail("POST", "auth/login", 301, times=99)
    refused(shared, ids, options, "url", "sends on to /api/server/about. Give the address of the server itself")


def test_wrong_names_and_passwords(shared, ids, fake, options):
    refused(shared, ids, {**options, "password": "wrong"}, "password", "refuses this user name or password")
    refused(shared, ids, {**options, "username": ""}, "username", "Give the username")
    refused(shared, ids, {**options, "password": None}, "password", "Give the password")
    refused(shared, ids, {**options, "organization": "other"}, "organization", "no organization 'other'")
    refused(shared, ids, {**options, "assignees": "anna,nobody"}, "assignees", "no user 'nobody'")
    refused(shared, ids, {**options, "assignees": "ann"}, "assignees", "no user 'ann'")
    assert not fake.tasks


@pytest.mark.parametrize("token", [fake_cvat.TOKEN, fake_cvat.ACCESS_TOKEN])
def test_a_token_is_enough(shared, ids, fake, options, token):
    options = {name: options[name] for name in ("url", "task_size", "segment_size")}
    part = send(shared, ids[:2], {**options, "token": token})
    assert token not in json.dumps(part.receipt) and fake.count("POST", "auth/login") == 0
    with pytest.raises(InvalidInput, match="does not accept this token") as caught:
        take(shared, part, ids[:2], {**options, "token": token + "x"})
    assert caught.value.field == "token"


def test_a_password_in_netrc_is_not_sent(shared, fake, options, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password of-another-service")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    registry.backend("cvat").check(shared, options)


@pytest.mark.parametrize("name", ["task_size", "segment_size"])
@pytest.mark.parametrize("value", [0, -1, "many", 1.5, None, True, 10**9])
def test_sizes_that_are_none(shared, ids, options, name, value):
    refused(shared, ids, {**options, name: value}, name, "must be a whole number from 1")


@pytest.mark.parametrize("classes", [[], ["cat", ""], [" cat"], ["x" * 65]])
def test_classes_that_cvat_does_not_take(shared, ids, fake, options, classes):
    with pytest.raises(InvalidInput) as caught:
        send(shared, ids, options, classes=classes)
    assert caught.value.field == "classes" and not fake.tasks


def test_what_the_user_may_not(shared, ids, fake, options):
    fake.fail("POST", "^tasks$", 403)
    with pytest.raises(ElfsError, match="refuses this .403.: .*out of order"):
        send(shared, ids, options)
