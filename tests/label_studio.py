"""A real Label Studio of the tests' own, and the people who label in it."""

import contextlib
import functools
import json
import re
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from scripts import ensure_label_studio

OWNER, PASSWORD, KEY = "owner@example.org", "the password of the owner", "0123456789abcdef" * 2 + "01234567"
_SECONDS_TO_START = 180


class Person:
    """Somebody who is logged in and works as the editor in the browser does."""

    def __init__(self, url, email, page, **more):
        self.url, self.email = url, email
        self._session = requests.Session()
        form = self._session.get(url + page, params=more, timeout=60).text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)[1]
        data = {"csrfmiddlewaretoken": token, "email": email, "password": PASSWORD, "allow_newsletters": "false"}
        answer = self._session.post(url + page, params=more, data=data, headers={"Referer": url}, timeout=60)
        assert answer.ok and page.strip("/") not in answer.url, f"{email} could not log in"

    def call(self, method, path, **given):
        headers = {"X-CSRFToken": self._session.cookies.get("csrftoken", ""), "Referer": self.url}
        answer = self._session.request(method, self.url + path, headers=headers, timeout=60, **given)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def tasks(self, project):
        """{sample id: task} of a project with at most 1,000 tasks, none of which is there twice."""
        found = self.call("GET", "/api/tasks", params={"project": project, "page_size": 1000, "fields": "all"})
        tasks = {task["data"]["elfs_id"]: task for task in found["tasks"]}
        assert len(tasks) == found["total"]
        return tasks

    def submit(self, task, *classes, **more):
        result = [_choice(classes)] if classes else []
        body = {"result": result, "lead_time": 2.5, **more}
        return self.call("POST", f"/api/tasks/{task['id']}/annotations/", json=body)

    def skip(self, task):
        return self.submit(task, was_cancelled=True)

    def draft(self, task, *classes):
        body = {"result": [_choice(classes)], "lead_time": 1.0}
        return self.call("POST", f"/api/tasks/{task['id']}/drafts", json=body)

    def accept_unseen(self, project, tasks):
        """The Data Manager's "Create annotations from predictions"."""
        chosen = {"all": False, "included": [task["id"] for task in tasks]}
        asked = {"id": "predictions_to_annotations", "project": project}
        return self.call("POST", "/api/dm/actions", params=asked, json={"selectedItems": chosen})


@dataclass
class LabelStudioServer:
    """``key`` is the owner's legacy token."""

    url: str
    owner: Person
    key: str = KEY

    @property
    def options(self):
        return {"url": self.url, "api_key": self.key}

    def sign_up(self, email):
        """A new member of the owner's organization."""
        invitation = self.owner.call("GET", "/api/invite")["token"]
        return Person(self.url, email, "/user/signup/", token=invitation)

    @contextlib.contextmanager
    def without_legacy_tokens(self):
        self._take_tokens(legacy=False)
        try:
            yield
        finally:
            self._take_tokens(legacy=True)

    @functools.cached_property
    def personal_token(self):
        """The owner's: there can be one only."""
        return self.owner.call("POST", "/api/token/")["token"]

    def _take_tokens(self, legacy):
        body = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": legacy}
        self.owner.call("POST", "/api/jwt/settings", json=body)


@contextlib.contextmanager
def label_studio_server():
    """Runs one on a free port, with its data in a folder that is deleted when it ends."""
    program = ensure_label_studio.find()
    assert program, (
        f"There is no Label Studio at {ensure_label_studio.environment()}: run make test, or this once: "
        + ("python scripts/ensure_label_studio.py")
    )
    with tempfile.TemporaryDirectory(prefix="elfs-label-studio-") as folder, socket.socket() as free:
        data = Path(folder)
        (data / ensure_label_studio.DATABASE).write_bytes(
            (ensure_label_studio.environment() / ensure_label_studio.DATABASE).read_bytes()
        )
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
        account = ["--username", OWNER, "--password", PASSWORD, "--user-token", KEY, "--enable-legacy-api-token"]
        log = data / "log.txt"
        with log.open("w") as out:
            server = subprocess.Popen(
                [*map(str, command), *account],
                env=ensure_label_studio.settings(data),
                cwd=data,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, server, log)
            yield LabelStudioServer(url, Person(url, OWNER, "/user/login/"))
        finally:
            server.kill()
            server.wait()


def _wait_for(url, server, log):
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(requests.exceptions.ConnectionError, json.JSONDecodeError):
            if "release" in requests.get(f"{url}/api/version", timeout=60).json():
                return
        time.sleep(0.2)
    raise AssertionError(f"Label Studio did not start:\n{log.read_text()[-3000:]}")


def _choice(classes):
    return {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": list(classes)}}
