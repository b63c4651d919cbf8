"""Samples sent to a real Label Studio, labelled there as people do, and taken back."""

import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path

import fiftyone as fo
import pytest
import requests

from elfs_plugin.errors import ElfsError, InvalidInput
from elfs_plugin.progress import silent
from elfs_plugin.runs.rounds.backends import label_studio as module
from elfs_plugin.runs.rounds.backends.base import Sending
from elfs_plugin.runs.rounds.backends.registry import backend, backends
from elfs_plugin.runs.rounds.state import SentPart

CLASSES = ["cat", "dog", "bird"]
_numbers = count()


@pytest.fixture(scope="module")
def dataset_of(new_dataset):
    """A dataset of n digits, which no test changes; one for each n."""
    made = {}
    return lambda n: made.setdefault(n, new_dataset(n))


@pytest.fixture
def studio():
    return backend("labelstudio")


@pytest.fixture
def request_log(monkeypatch):
    """What the back end asks for: (method, path, number of files)."""
    log, ask = [], requests.Session.request

    def request(self, method, url, **given):
        if "auth" in given:  # people have cookies
            log.append((method, "/" + url.split("/", 3)[3], len(given.get("files") or ())))
        return ask(self, method, url, **given)

    monkeypatch.setattr(requests.Session, "request", request)
    return log


def new_sending(server, dataset, ids=None, key=None, **more):
    ids = dataset.values("id") if ids is None else ids
    part = SentPart(key or f"elfs_r0_{next(_numbers)}", len(ids))
    return Sending(dataset, ids, part, "human", **{"classes": CLASSES, "options": server.options, **more})


def send(studio, sending, progress=silent):
    sending.part.receipt = studio.send(sending, progress)
    return sending.part.receipt["project"]


def take(studio, sending):
    return studio.take(sending.dataset, sending.part, sending.ids, sending.options)


def test_it_is_listed():
    assert backends()["labelstudio"].title == "Label Studio"
    assert [option.name for option in backends()["labelstudio"].options if option.secret] == ["api_key"]


def test_images_arrive_in_order_with_suggestions_in_small_requests(label_studio, studio, dataset_of, request_log):
    dataset = dataset_of(120)
    ids = dataset.values("id")[::-1]
    suggested = {i: CLASSES[row % 3] for row, i in enumerate(ids[:40])}
    reports = []
    sending = new_sending(label_studio, dataset, ids, prelabels=suggested)
    project = send(studio, sending, lambda fraction, detail="": reports.append((fraction, detail)))

    tasks = label_studio.owner.tasks(project)
    assert sorted(tasks, key=lambda i: tasks[i]["id"]) == ids
    for i, path in [(ids[0], dataset[ids[0]].filepath), (ids[99], dataset[ids[99]].filepath)]:
        shown = requests.get(
            label_studio.url + tasks[i]["data"]["image"], headers={"Authorization": f"Token {label_studio.key}"}
        )
        assert shown.content == Path(path).read_bytes()
        assert Path(tasks[i]["data"]["file"]).name == Path(path).name
    found = {i: [p["result"][0]["value"]["choices"] for p in tasks[i]["predictions"]] for i in ids}
    assert found == {i: [[suggested[i]]] if i in suggested else [] for i in ids}
    known = label_studio.owner.call("GET", f"/api/projects/{project}")
    assert known["title"] == sending.part.key
    assert known["sampling"] == "Sequential sampling" and not known["enable_empty_annotation"]
    assert known["show_collab_predictions"] and known["model_version"] == "elfs"  # which makes the editor show them

    assert [files for method, path, files in request_log if files] == [50, 50, 20]
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert (50 / 120, "50 of 120 images") in reports
    assert sending.part.receipt == {"url": label_studio.url, "project": project, "tasks": 120}


def test_what_comes_back(label_studio, studio, dataset_of):
    dataset = dataset_of(12)
    ids = dataset.values("id")
    sending = new_sending(label_studio, dataset, prelabels=dict.fromkeys(ids, "cat"))
    project = send(studio, sending)
    assert take(studio, sending) == type(take(studio, sending))()  # suggestions alone are nothing
    ada, ben = label_studio.owner, label_studio.sign_up(f"ben{next(_numbers)}@example.org")
    tasks = ada.tasks(project)
    right, wrong, unseen, skipped, draft, unknown, agreed, differ, mended, empty, gone, untouched = ids

    suggestion = tasks[right]["predictions"][0]["id"]
    ada.submit(tasks[right], "cat", parent_prediction=suggestion)  # looked at and found right
    ben.submit(tasks[wrong], "dog")
    ada.accept_unseen(project, [tasks[unseen]])
    ben.skip(tasks[skipped])
    ada.draft(tasks[draft], "dog")
    ada.submit(tasks[unknown], "ostrich")
    ada.skip(tasks[agreed])
    ada.submit(tasks[agreed], "bird")
    ben.submit(tasks[agreed], "bird")
    ada.submit(tasks[differ], "dog")
    ben.submit(tasks[differ], "bird")
    label = ben.submit(tasks[mended], "dog")
    ben.call("PATCH", f"/api/annotations/{label['id']}/", json=_result("bird"))
    ada.submit(tasks[empty])
    ada.submit(tasks[gone], "dog")
    ada.call("DELETE", f"/api/tasks/{tasks[gone]['id']}")
    answer = ada.call(
        "POST",
        f"/api/projects/{project}/import",
        params={"return_task_ids": "true"},
        json=[{"data": {"image": "x.png", "elfs_id": "0" * 24}}, {"data": {"image": "x.png"}}],
    )
    for task in answer["task_ids"]:
        ada.submit({"id": task}, "dog")

    found = take(studio, sending)
    assert found.labels == {right: "cat", wrong: "dog", unknown: "ostrich", agreed: "bird", mended: "bird"}
    assert found.skipped == {skipped, empty}
    assert found.doubled == {differ: ["bird", "dog"]}
    assert found.strangers == 2
    assert found.by == {right: ada.email, wrong: ben.email, unknown: ada.email, agreed: ben.email, mended: ben.email}
    assert take(studio, sending) == found
    # A suggestion that was taken over unseen counts when somebody has opened and saved it.
    (made,) = ada.call("GET", f"/api/tasks/{tasks[unseen]['id']}")["annotations"]
    ada.call("PATCH", f"/api/annotations/{made['id']}/", json={**_result("cat"), "lead_time": 3.0})
    assert take(studio, sending).labels[unseen] == "cat"

    (standing,) = studio.standing(dataset, sending.part, ids, sending.options)
    assert (standing.who, standing.total) == (sending.part.key, 13)
    assert standing.done == 11  # labelled 6, differing 1, empty 1, skipped 1, strangers 2
    assert standing.url == f"{label_studio.url}/projects/{project}/data"


def _result(name):
    value = {"choices": [name]}
    return {"result": [{"from_name": "label", "to_name": "image", "type": "choices", "value": value}]}


def test_labels_are_found_also_when_the_control_was_renamed(label_studio, studio, dataset_of):
    dataset = dataset_of(3)
    sending = new_sending(label_studio, dataset)
    owner = label_studio.owner
    project = send(studio, sending)
    config = owner.call("GET", f"/api/projects/{project}")["label_config"]
    owner.call(
        "PATCH", f"/api/projects/{project}", json={"label_config": config.replace('name="label"', 'name="animal"')}
    )
    first = sending.ids[0]
    result = [{**_result("dog")["result"][0], "from_name": "animal"}]
    owner.submit(owner.tasks(project)[first], result=result)
    assert take(studio, sending).labels == {first: "dog"}


def test_files_of_one_name_in_different_folders(label_studio, studio, digits, tmp_path):
    paths = [tmp_path / folder / "image.png" for folder in ("a", "b", "c")]
    for source, path in zip(digits, paths):
        path.parent.mkdir()
        shutil.copy(source, path)
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(filepath=str(path)) for path in paths])
    try:
        sending = new_sending(label_studio, dataset)
        tasks = label_studio.owner.tasks(send(studio, sending))
        assert [tasks[i]["data"]["file"] for i in sending.ids] == ["a/image.png", "b/image.png", "c/image.png"]
        for i, name in zip(reversed(sending.ids), CLASSES):
            label_studio.owner.submit(tasks[i], name)
        assert take(studio, sending).labels == dict(zip(reversed(sending.ids), CLASSES))
    finally:
        dataset.delete()


@pytest.mark.parametrize(
    "fault, at",
    [("killed", 3), ("killed", 4), ("refused", 2), ("refused", 4), ("lost", 1), ("lost", 2), ("lost", 3), ("lost", 4)],
)
def test_what_was_interrupted_goes_on_from_there(label_studio, studio, dataset_of, monkeypatch, fault, at):
    """Requests 1 and 3 carry files, 2 and 4 their tasks; the third batch is never begun."""
    dataset, ask = dataset_of(12), requests.Session.request
    monkeypatch.setattr(module, "FILES_IN_A_REQUEST", 4)
    left = [at]

    def request(self, method, url, **given):
        if not url.endswith("/import") or left[0] < 1:
            return ask(self, method, url, **given)
        left[0] -= 1
        if left[0]:
            return ask(self, method, url, **given)
        if fault == "killed":
            raise KeyboardInterrupt
        if fault == "lost":  # the server has done it, but nobody has heard so
            ask(self, method, url, **given)
            raise requests.exceptions.ConnectionError
        return _answer(500, {"detail": "database is locked"})

    monkeypatch.setattr(requests.Session, "request", request)
    sending = new_sending(label_studio, dataset)
    with pytest.raises(KeyboardInterrupt if fault == "killed" else ElfsError):
        studio.send(sending, silent)
    project = send(backend("labelstudio"), sending)
    tasks = label_studio.owner.tasks(project)
    assert sorted(tasks, key=lambda i: tasks[i]["id"]) == list(sending.ids)
    files = label_studio.owner.call("GET", f"/api/projects/{project}/file-uploads", params={"all": "true"})
    assert len(files) == 12
    titles = label_studio.owner.call("GET", "/api/projects", params={"title": sending.part.key, "page_size": 100})
    assert [p["id"] for p in titles["results"] if p["title"] == sending.part.key] == [project]


def _answer(status, body):
    answer = requests.Response()
    answer.status_code, answer._content = status, requests.compat.json.dumps(body).encode()
    return answer


def test_sent_again_nothing_is_uploaded_and_labels_stay(label_studio, studio, dataset_of, request_log):
    sending = new_sending(label_studio, dataset_of(12))
    project = send(studio, sending)
    owner = label_studio.owner
    owner.submit(owner.tasks(project)[sending.ids[5]], "dog")
    owner.call("DELETE", f"/api/tasks/{owner.tasks(project)[sending.ids[6]]['id']}")
    del request_log[:]
    assert send(studio, sending) == project
    changes = [(method, files) for method, path, files in request_log if method != "GET"]
    assert changes == [("POST", 0)]  # the task alone: its file is there
    assert set(owner.tasks(project)) == set(sending.ids)
    assert take(studio, sending).labels == {sending.ids[5]: "dog"}


def test_of_two_tasks_of_a_sample_the_one_without_labels_goes(label_studio, studio, dataset_of):
    """As a request leaves them that the server carries out after it was given up."""
    sending = new_sending(label_studio, dataset_of(3))
    owner, (first, second, third) = label_studio.owner, sending.ids
    project = send(studio, sending)
    tasks = owner.tasks(project)
    again = [{"data": tasks[i]["data"]} for i in (first, second)]
    made = owner.call("POST", f"/api/projects/{project}/import", params={"return_task_ids": "true"}, json=again)
    owner.submit({"id": made["task_ids"][1]}, "bird")
    send(studio, sending)
    assert {i: task["id"] for i, task in owner.tasks(project).items()} == {
        first: tasks[first]["id"],
        second: made["task_ids"][1],
        third: tasks[third]["id"],
    }
    assert take(studio, sending).labels == {second: "bird"}


@pytest.mark.parametrize("key", ["a_run_whose_name_is_longer_than_any_project's_may_be_r0_1", "x"])
def test_other_datasets_have_projects_of_their_own(label_studio, studio, dataset_of, key):
    one, other = (new_sending(label_studio, dataset_of(n), key=key) for n in (3, 12))
    next_part = new_sending(label_studio, dataset_of(3), key=f"{key}2")
    projects = [send(studio, sending) for sending in (one, other, next_part)]
    assert len(set(projects)) == 3
    one.part.receipt = {}  # as after a kill
    assert send(studio, one) == projects[0]


def test_other_classes_for_what_was_interrupted(label_studio, studio, dataset_of):
    sending = new_sending(label_studio, dataset_of(3))
    project = send(studio, sending)
    classes = [f"class {i}" for i in range(297)] + ['<b> & "c\'s"', " two\nlines ", "$ünï"]
    again = new_sending(
        label_studio, sending.dataset, key=sending.part.key, classes=classes, prelabels={sending.ids[0]: classes[-1]}
    )
    assert send(studio, again) == project
    owner = label_studio.owner
    assert owner.call("GET", f"/api/projects/{project}")["parsed_label_config"]["label"]["labels"] == classes
    for i, name in zip(sending.ids, classes[-3:]):
        owner.submit(owner.tasks(project)[i], name)
    assert take(studio, again).labels == dict(zip(sending.ids, classes[-3:]))


def test_a_deleted_project(label_studio, studio, dataset_of):
    sending = new_sending(label_studio, dataset_of(3))
    project = send(studio, sending)
    label_studio.owner.call("DELETE", f"/api/projects/{project}")
    for ask in (studio.take, studio.standing):
        with pytest.raises(ElfsError, match="was deleted"):
            ask(sending.dataset, sending.part, sending.ids, sending.options)
    again = send(studio, sending)
    assert again != project and set(label_studio.owner.tasks(again)) == set(sending.ids)


def test_a_part_that_was_not_sent(label_studio, studio, dataset_of):
    sending = new_sending(label_studio, dataset_of(3))
    with pytest.raises(ElfsError, match="has not been sent"):
        take(studio, sending)


def test_the_personal_token(label_studio, studio, dataset_of):
    """Without it legacy tokens are the only ones."""
    key = label_studio.personal_token
    options = {"url": label_studio.url + "/", "api_key": f" {key}\n"}
    sending = new_sending(label_studio, dataset_of(3), options=options)
    with label_studio.without_legacy_tokens():
        with pytest.raises(InvalidInput, match="takes no legacy tokens.*personal access token.*enable") as error:
            studio.check(sending.dataset, label_studio.options)
        assert error.value.field == "api_key"
        studio.check(sending.dataset, options)
        project = send(studio, sending)
        label_studio.owner.submit(label_studio.owner.tasks(project)[sending.ids[0]], "dog")
        assert take(studio, sending).labels == {sending.ids[0]: "dog"}
    assert key not in str(sending.part.receipt)
    client = module.LabelStudio(label_studio.url, key)
    client._access = "what has expired meanwhile"
    assert client.call("GET", "/api/current-user/whoami")["email"] == label_studio.owner.email
    with pytest.raises(InvalidInput, match="does not accept the API key") as error:
        studio.check(sending.dataset, {**options, "api_key": key[:-4]})
    assert error.value.field == "api_key" and key[:-4] not in str(error.value)


@pytest.mark.parametrize("method", ["check", "send", "take", "standing"])
def test_a_wrong_key(label_studio, studio, dataset_of, method):
    options = {**label_studio.options, "api_key": "f" * 40}
    sending = new_sending(label_studio, dataset_of(3), options=options)
    sending.part.receipt = {"url": label_studio.url, "project": 1}
    with pytest.raises(InvalidInput, match="does not accept the API key.*Account & Settings") as error:
        _ask(studio, method, sending)
    assert error.value.field == "api_key" and "ffff" not in str(error.value)


@pytest.mark.parametrize("method", ["check", "send", "take", "standing"])
def test_a_server_that_is_down(studio, dataset_of, method):
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    options = {"url": f"http://127.0.0.1:{port}", "api_key": "f" * 40}
    sending = Sending(dataset_of(3), dataset_of(3).values("id"), SentPart("x", 3), "human", CLASSES, options=options)
    sending.part.receipt = {"url": options["url"], "project": 1}
    with pytest.raises(InvalidInput, match="cannot be reached.*Look whether it runs") as error:
        _ask(studio, method, sending)
    assert error.value.field == "url"


def _ask(studio, method, sending):
    if method == "check":
        return studio.check(sending.dataset, sending.options)
    if method == "send":
        return studio.send(sending, silent)
    return getattr(studio, method)(sending.dataset, sending.part, sending.ids, sending.options)


def test_a_user_with_everything_in_order(label_studio, studio, dataset_of):
    studio.check(dataset_of(3), label_studio.options)


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://", "http://name:word@host", 7])
def test_an_address_that_is_none(studio, dataset_of, url):
    with pytest.raises(InvalidInput, match="must be like http") as error:
        studio.check(dataset_of(3), {"url": url, "api_key": "x"})
    assert error.value.field == "url"


@pytest.mark.parametrize("status, sentence", [(200, "is no Label Studio"), (302, "Give the address that the browser")])
def test_another_server(studio, dataset_of, status, sentence):
    seen = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            self.send_response(status)
            self.send_header("Location", "https://elsewhere.example.org/")
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(InvalidInput, match=sentence) as error:
                studio.check(dataset_of(3), {"url": f"http://127.0.0.1:{server.server_port}", "api_key": "the key"})
        finally:
            server.shutdown()
            thread.join()
    assert error.value.field == "url" and "the key" not in str(seen)


def test_settings_come_from_the_environment_and_from_fiftyone(label_studio, studio, dataset_of, monkeypatch):
    for name in ("URL", "API_KEY"):
        monkeypatch.delenv(f"FIFTYONE_LABELSTUDIO_{name}", raising=False)
    monkeypatch.setattr(fo.annotation_config, "backends", {"labelstudio": {"url": "https://labelstud.io"}})
    with pytest.raises(InvalidInput, match="Give the address") as error:
        studio.check(dataset_of(3), {})
    assert error.value.field == "url"
    monkeypatch.setattr(fo.annotation_config, "backends", {"labelstudio": {"url": label_studio.url}})
    with pytest.raises(InvalidInput, match="Give an API key") as error:
        studio.check(dataset_of(3), {"api_key": None})
    assert error.value.field == "api_key"
    monkeypatch.setenv("FIFTYONE_LABELSTUDIO_API_KEY", label_studio.key)
    studio.check(dataset_of(3), {"url": ""})
    monkeypatch.setenv("FIFTYONE_LABELSTUDIO_URL", "http://127.0.0.1:9")
    with pytest.raises(InvalidInput, match="cannot be reached"):
        studio.check(dataset_of(3), {})
    studio.check(dataset_of(3), label_studio.options)


def test_what_cannot_be_sent_is_said_before_anything_is(label_studio, studio, new_dataset, tmp_path, request_log):
    dataset = new_dataset(2)
    ids = dataset.values("id")
    with pytest.raises(InvalidInput, match="'fish'.*Add them to the classes") as error:
        studio.send(new_sending(label_studio, dataset, prelabels={ids[0]: "fish"}), silent)
    assert error.value.field == "prelabels"
    added = dataset.add_samples([fo.Sample(filepath=str(tmp_path / name)) for name in ("scan.tif", "gone.png")])
    for sample, sentence in zip(added, ("cannot show .*scan.tif", "gone.png cannot be read")):
        with pytest.raises(ElfsError, match=sentence):
            studio.send(new_sending(label_studio, dataset, [*ids, sample]), silent)
    with pytest.raises(InvalidInput, match="None of the samples"):
        studio.send(new_sending(label_studio, dataset, ["0" * 24]), silent)
    assert request_log == []
    sending = new_sending(label_studio, dataset, [ids[1], "0" * 24, ids[0], ids[0]])  # one was deleted, one is twice
    assert set(label_studio.owner.tasks(send(studio, sending))) == set(ids)
    assert sending.part.receipt["tasks"] == 2


class Pretended:
    """Answers as Label Studio does, out of memory. A page has 100 tasks, however many are asked for."""

    def __init__(self, **answers):
        self.answers, self.tasks, self.uploads, self.most_files = answers, [], {}, 0

    def __call__(self, session, method, url, **given):
        path = url.split("/", 3)[3]
        if path in self.answers:
            return _answer(*self.answers[path])
        if path.endswith("/import") and given.get("files"):
            return _answer(201, {"file_upload_ids": self._upload(given["files"])})
        if path.endswith("/import"):
            self.tasks += [{**task, "id": len(self.tasks) + k + 1} for k, task in enumerate(given["json"])]
            return _answer(201, {})
        if path.endswith("/file-uploads"):
            wanted = given["params"].get("ids", "[]")
            return _answer(200, [{"file": self.uploads[i]} for i in requests.compat.json.loads(wanted)])
        if path == "api/tasks":
            start = 100 * (given["params"]["page"] - 1)
            return _answer(200, {"tasks": self.tasks[start : start + 100], "total": len(self.tasks)})
        if path == "api/projects" and method == "GET":
            return _answer(200, {"results": [], "next": None})
        return _answer(200, [] if path == "api/users" else {"id": 1, "parsed_label_config": None})

    def _upload(self, files):
        self.most_files = max(self.most_files, len(files))
        ids = [len(self.uploads) + k for k in range(len(files))]
        self.uploads.update({i: f"upload/1/0123abcd-{name}" for i, (_, (name, _)) in zip(ids, files)})
        return ids


def test_ten_thousand_images_are_sent_and_read_in_pieces(studio, digits, monkeypatch):
    server = Pretended()
    monkeypatch.setattr(requests.Session, "request", lambda self, *args, **given: server(self, *args, **given))
    dataset = fo.Dataset()
    try:
        dataset.add_samples([fo.Sample(filepath=str(digits[i % 1000])) for i in range(10_000)])
        options = {"url": "http://pretended", "api_key": "x"}
        ids = dataset.values("id")
        sending = Sending(dataset, ids, SentPart("many", len(ids)), "human", CLASSES, options=options)
        send(studio, sending)
        assert server.most_files == 50 and [task["data"]["elfs_id"] for task in server.tasks] == ids
        for row, task in enumerate(server.tasks):
            task["annotations"] = [{"completed_by": 1, **_result(CLASSES[row % 3])}]
        found = take(studio, sending)
        assert found.labels == {i: CLASSES[row % 3] for row, i in enumerate(ids)} and not found.strangers
    finally:
        dataset.delete()


def test_batches_are_bounded_in_bytes_too(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "BYTES_IN_A_REQUEST", 100)
    files = {}
    for name, size in zip("abcdef", (60, 40, 1, 500, 99, 1)):
        files[name] = str(tmp_path / name)
        (tmp_path / name).write_bytes(b"x" * size)
    assert [list(batch) for batch in module.batches(files)] == [["a", "b"], ["c"], ["d"], ["e", "f"]]


@pytest.mark.parametrize(
    "account, status, sentence",
    [
        ({"email": "ada@example.org", "permissions": ["tasks.view"]}, 200, "ada@example.org may not make projects"),
        ({"detail": "You do not have permission"}, 403, "may not do that .*You do not have permission"),
    ],
)
def test_an_account_without_rights(studio, dataset_of, monkeypatch, account, status, sentence):
    server = Pretended(**{"api/version": (200, {"release": "1.23.2"}), "api/current-user/whoami": (status, account)})
    monkeypatch.setattr(requests.Session, "request", lambda self, *args, **given: server(self, *args, **given))
    with pytest.raises(InvalidInput, match=sentence) as error:
        studio.check(dataset_of(3), {"url": "http://pretended", "api_key": "x"})
    assert error.value.field == "api_key"


@pytest.mark.parametrize(
    "status, sentence", [(413, "refuses an upload of that size"), (201, "Enterprise"), (502, "answered .* with 502")]
)
def test_uploads_that_a_server_does_not_take(studio, dataset_of, monkeypatch, status, sentence):
    server = Pretended(**{"api/projects/1/import": (status, {"import": 5})})
    monkeypatch.setattr(requests.Session, "request", lambda self, *args, **given: server(self, *args, **given))
    dataset = dataset_of(3)
    options = {"url": "http://pretended", "api_key": "x"}
    sending = Sending(dataset, dataset.values("id"), SentPart("x", 3), "human", CLASSES, options=options)
    with pytest.raises(ElfsError, match=sentence):
        studio.send(sending, silent)


def test_a_server_that_is_too_slow(studio, dataset_of, monkeypatch):
    def slow(*_, **__):
        raise requests.exceptions.ReadTimeout

    monkeypatch.setattr(requests.Session, "request", slow)
    with pytest.raises(ElfsError, match="did not answer within"):
        studio.check(dataset_of(3), {"url": "http://pretended", "api_key": "x"})
