"""A server that answers as CVAT 2.x is said to, kept in memory: no real CVAT was at hand.

What it knows is what :mod:`elfs_plugin.runs.rounds.cvat_client` asks for, by the description of the API in cvat-sdk
2.80 and the server's public code: log-in with a cookie, lists in pages, uploads in several requests of which a file
that comes twice is appended to itself, work in the background, jobs by segments, frames that are deleted in a job.
"""

import contextlib
import email.parser
import email.policy
import io
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image

TOKEN = "0123456789abcdef0123456789abcdef01234567"
ACCESS_TOKEN = "personal.access-token-of-a-newer-server"
KINDS = ("tags", "shapes", "tracks")


class Answer(Exception):
    """Ends a request."""

    def __init__(self, code, content=None, headers=()):
        self.code, self.content, self.headers = code, content, headers


class FakeCvat:
    """The state, and what people would do in the browser.

    Attributes:
        version: what the server says of itself
        request_ids: whether it tells the ids of its work in the background, as newer servers do
        polls: how often it says that it is still at work on a task
        seen: (method, path) of all requests
    """

    def __init__(self):
        self.version, self.request_ids, self.polls = "2.80.0", True, 2
        self.users = {"admin": 1, "anna": 2, "bo": 3, "anna2": 4}
        self.password = "secret"
        self.organizations = {"lab"}
        self.tasks, self.projects, self.jobs, self.labels = {}, {}, {}, {}
        self.seen, self.faults = [], []
        self.lock = threading.RLock()
        self._numbers = iter(range(1, 1_000_000))

    def number(self):
        return next(self._numbers)

    def fail(self, method, path, code, after=0, times=1):
        """Lets requests fail whose path matches, after so many that do not; ``None`` breaks the connection."""
        self.faults.append({"method": method, "path": path, "code": code, "after": after, "times": times})

    def count(self, method, path):
        return sum(m == method and re.search(path, p) is not None for m, p in self.seen)

    def jobs_of(self, task):
        return [job for job in self.jobs.values() if job["task_id"] == task]

    def frames_of(self, task):
        """{sample id: frame} of a task."""
        return {name.split("_")[1].split(".")[0]: n for n, name in enumerate(self.tasks[task]["frames"])}

    def label(self, task, name):
        owner = self.tasks[task]["project_id"]
        where = ("project_id", owner) if owner else ("task_id", task)
        return next(i for i, label in self.labels.items() if label["name"] == name and label[where[0]] == where[1])

    def tag(self, sample, name, task=None, kind="tags", keep=False):
        """What an annotator says of an image, in all tasks or one."""
        for number in [task] if task else list(self.tasks):
            frame = self.frames_of(number).get(sample)
            if frame is None:
                continue
            all_of = self.tasks[number]["annotations"]
            if not keep:
                for other in KINDS:
                    all_of[other] = [one for one in all_of[other] if one["frame"] != frame]
            one = {"id": self.number(), "frame": frame, "label_id": self.label(number, name), "source": "manual"}
            all_of[kind].append(one)

    def complete(self, *jobs, state="completed", stage="annotation"):
        for job in jobs or list(self.jobs):
            self.jobs[job].update(state=state, stage=stage)

    def delete_task(self, task):
        del self.tasks[task]
        self.jobs = {number: job for number, job in self.jobs.items() if job["task_id"] != task}

    def delete_project(self, project):
        del self.projects[project]
        for task in [number for number, task in self.tasks.items() if task["project_id"] == project]:
            self.delete_task(task)


@contextlib.contextmanager
def running():
    """(the state, the address) of a server that ends with the block."""
    fake = FakeCvat()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer: the second of two would wait for the first
    fake: FakeCvat

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        path = parts.path.removeprefix("/api/").rstrip("/")
        with self.fake.lock:
            self.fake.seen.append((self.command, path))
            try:
                self.break_down(path)
                self.check_access(path)
                self.route(path, asked, body)
                raise Answer(404, {"detail": "Not found."})
            except Answer as found:
                answer = found
            except _Broken:
                self.close_connection = True
                return
        content = b"" if answer.content is None else json.dumps(answer.content).encode()
        self.send_response(answer.code)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/vnd.cvat+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def break_down(self, path):
        for fault in self.fake.faults:
            if fault["method"] != self.command or not re.search(fault["path"], path):
                continue
            if fault["after"]:
                fault["after"] -= 1
            elif fault["times"]:
                fault["times"] -= 1
                if fault["code"] is None:
                    raise _Broken
                raise Answer(fault["code"], {"detail": "out of order"}, [("Location", "/api/server/about")])

    def check_access(self, path):
        if path in ("auth/login", "server/about"):
            return
        token = self.headers.get("Authorization")
        if token is not None:
            if token not in (f"Token {TOKEN}", f"Bearer {ACCESS_TOKEN}"):
                raise Answer(401, {"detail": "Invalid token."})
        elif "sessionid=session" not in (self.headers.get("Cookie") or ""):
            raise Answer(401, {"detail": "Authentication credentials were not provided."})
        elif self.command != "GET" and self.headers.get("X-CSRFToken") != "csrf":
            raise Answer(403, {"detail": "CSRF Failed"})
        organization = self.headers.get("X-Organization")
        if organization and organization not in self.fake.organizations:
            raise Answer(404, {"detail": f"{organization} organization does not exist."})

    def route(self, path, asked, body):
        for method, pattern, name in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == self.command:
                getattr(self, name)(asked, body, *found.groups())

    # Users

    def log_in(self, asked, body):
        given = json.loads(body)
        if given != {"username": "admin", "password": self.fake.password}:
            raise Answer(400, {"non_field_errors": ["Unable to log in with provided credentials."]})
        cookies = [("Set-Cookie", "sessionid=session; Path=/"), ("Set-Cookie", "csrftoken=csrf; Path=/")]
        raise Answer(200, {"key": TOKEN}, cookies)

    def about(self, asked, body):
        raise Answer(200, {"name": "Computer Vision Annotation Tool", "version": self.fake.version})

    def myself(self, asked, body):
        raise Answer(200, {"id": 1, "username": "admin"})

    def list_users(self, asked, body):
        self.page([{"id": n, "username": name} for name, n in self.fake.users.items()], asked, "username")

    # Lists

    def page(self, entries, asked, searched="name"):
        word = asked.get("search", "")
        entries = [entry for entry in entries if word in entry[searched]] if word else entries
        size, page = min(int(asked.get("page_size", 10)), 3), int(asked.get("page", 1))  # small, to be seen
        more = "http://wrong.host/behind/a/proxy" if page * size < len(entries) else None
        found = entries[(page - 1) * size : page * size]
        raise Answer(200, {"count": len(entries), "next": more, "previous": None, "results": found})

    def list_tasks(self, asked, body):
        self.page([self.shown(n) for n in self.fake.tasks], asked)

    def list_projects(self, asked, body):
        self.page([{"id": n, **project} for n, project in self.fake.projects.items()], asked)

    def list_labels(self, asked, body):
        task = int(asked.get("task_id", 0))
        project = int(asked.get("project_id", 0)) or (task and self.task(task)["project_id"])
        where = ("project_id", project) if project else ("task_id", task)
        self.page([{"id": n, **x} for n, x in self.fake.labels.items() if x[where[0]] == where[1]], asked)

    def list_jobs(self, asked, body):
        self.page(
            [{"id": n, **job} for n, job in self.fake.jobs.items() if job["task_id"] == int(asked["task_id"])], asked
        )

    # Projects and tasks

    def make_project(self, asked, body):
        content, number = json.loads(body), self.fake.number()
        self.fake.projects[number] = {"name": content["name"]}
        self.make_labels(content["labels"], project_id=number)
        raise Answer(201, {"id": number, "name": content["name"]})

    def make_labels(self, labels, task_id=None, project_id=None):
        if len({label["name"] for label in labels}) < len(labels):
            raise Answer(400, {"labels": ["Label names must be unique."]})
        for label in labels:
            more = {"type": "any", **label, "task_id": task_id, "project_id": project_id}
            self.fake.labels[self.fake.number()] = more

    def make_task(self, asked, body):
        content, number = json.loads(body), self.fake.number()
        if content.get("project_id") and content.get("labels"):
            raise Answer(400, {"labels": ["Tasks inside a project use the project's labels."]})
        self.fake.tasks[number] = {
            **{name: content[name] for name in ("name", "segment_size", "overlap")},
            "project_id": content.get("project_id"),
            "bug_tracker": content.get("bug_tracker", ""),
            "files": {},
            "frames": [],
            "deleted_frames": [],
            "annotations": {"version": 0, "tags": [], "shapes": [], "tracks": []},
            "work": None,
        }
        self.make_labels(content.get("labels") or [], task_id=number)
        raise Answer(201, self.shown(number))

    def shown(self, number):
        task = self.fake.tasks[number]
        return {"id": number, "name": task["name"], "project_id": task["project_id"], "size": len(task["frames"])}

    def task(self, number):
        if int(number) not in self.fake.tasks:
            raise Answer(404, {"detail": "Not found."})
        return self.fake.tasks[int(number)]

    def show_task(self, asked, body, number):
        self.task(number)
        raise Answer(200, self.shown(int(number)))

    def delete_task(self, asked, body, number):
        self.task(number)
        self.fake.delete_task(int(number))
        raise Answer(204)

    # Images

    def upload(self, asked, body, number):
        task = self.task(number)
        if self.headers.get("Upload-Start"):
            raise Answer(202)
        if self.headers.get("Upload-Multiple"):
            for name, content in self.files_in(body):
                task["files"][name] = task["files"].get(name, b"") + content
            raise Answer(200)
        self.start_work(int(number), task, json.loads(body))
        work = f"action=create&target=task&id={number}"
        raise Answer(202, {"rq_id": work} if self.fake.request_ids else None)

    def files_in(self, body):
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
        if "image_quality" not in parts:
            raise Answer(400, {"image_quality": ["This field is required."]})
        return [(part.get_filename(), part.get_payload(decode=True)) for part in parts.values() if part.get_filename()]

    def start_work(self, number, task, content):
        if task["frames"]:
            raise Answer(400, {"detail": "Adding more data is not allowed"})
        order = content.get("upload_file_order") if content.get("sorting_method") == "predefined" else None
        names = order or sorted(task["files"])
        if sorted(names) != sorted(task["files"]):
            raise Answer(400, {"upload_file_order": ["File order does not match the files."]})
        task["sorting"] = content.get("sorting_method", "lexicographical")
        task["work"] = {"left": self.fake.polls, "names": names}

    def work_on(self, number):
        """(state, message) of what was uploaded; in the end the frames and jobs are there."""
        task = self.task(number)
        work = task["work"]
        if not work:
            return "finished", ""
        if work["left"] > 0:
            work["left"] -= 1
            return "started", ""
        for name in work["names"]:
            try:
                Image.open(io.BytesIO(task["files"][name])).verify()
            except Exception:
                return "failed", f"cannot identify image file {name}\nTraceback"
        if not task["frames"]:
            task["frames"] = list(work["names"])
            for start in range(0, len(task["frames"]), task["segment_size"]):
                self.fake.jobs[self.fake.number()] = {
                    "task_id": int(number),
                    "type": "annotation",
                    "state": "new",
                    "stage": "annotation",
                    "assignee": None,
                    "start_frame": start,
                    "stop_frame": min(start + task["segment_size"], len(task["frames"])) - 1,
                }
        return "finished", ""

    def request_state(self, asked, body, work):
        found = re.fullmatch(r"action=create&target=task&id=(\d+)", unquote(work))
        if not found or not self.fake.request_ids:
            raise Answer(404, {"detail": "Not found."})
        state, message = self.work_on(found[1])
        raise Answer(200, {"id": work, "status": state, "message": message})

    def task_state(self, asked, body, number):
        state, message = self.work_on(number)
        raise Answer(200, {"state": state.capitalize(), "message": message, "progress": 0.0})

    def meta(self, asked, body, number):
        task = self.task(number)
        frames = [{"name": name, "width": 8, "height": 8, "related_files": 0} for name in task["frames"]]
        more = {"start_frame": 0, "stop_frame": len(frames) - 1, "deleted_frames": task["deleted_frames"]}
        raise Answer(200, {"size": len(frames), "frames": frames, **more})

    # Annotations and jobs

    def annotations(self, asked, body, number):
        raise Answer(200, self.task(number)["annotations"])

    def add_annotations(self, asked, body, number):
        task, content = self.task(number), json.loads(body)
        if asked.get("action") != "create" or content["shapes"] or content["tracks"]:
            raise Answer(400, {"detail": "not in this test"})
        for tag in content["tags"]:
            if not 0 <= tag["frame"] < len(task["frames"]) or tag["label_id"] not in self.fake.labels:
                raise Answer(400, {"detail": "no such frame or label"})
            task["annotations"]["tags"].append({"id": self.fake.number(), **tag})
        raise Answer(200, content)

    def change_job(self, asked, body, number):
        content = json.loads(body)
        who = next(name for name, n in self.fake.users.items() if n == content["assignee"])
        self.fake.jobs[int(number)]["assignee"] = {"id": content["assignee"], "username": who}
        raise Answer(200, {})

    def job_annotations(self, asked, body, number):
        job = self.fake.jobs[int(number)]
        frames = range(job["start_frame"], job["stop_frame"] + 1)
        every = self.fake.tasks[job["task_id"]]["annotations"]
        found = {kind: [one for one in every[kind] if one["frame"] in frames] for kind in KINDS}
        raise Answer(200, {"version": 0, **found})


class _Broken(Exception):
    pass


_ROUTES = (
    ("POST", "auth/login", "log_in"),
    ("GET", "server/about", "about"),
    ("GET", "users/self", "myself"),
    ("GET", "users", "list_users"),
    ("GET", "tasks", "list_tasks"),
    ("GET", "projects", "list_projects"),
    ("GET", "labels", "list_labels"),
    ("GET", "jobs", "list_jobs"),
    ("POST", "projects", "make_project"),
    ("POST", "tasks", "make_task"),
    ("GET", r"tasks/(\d+)", "show_task"),
    ("DELETE", r"tasks/(\d+)", "delete_task"),
    ("POST", r"tasks/(\d+)/data", "upload"),
    ("GET", r"requests/(.+)", "request_state"),
    ("GET", r"tasks/(\d+)/status", "task_state"),
    ("GET", r"tasks/(\d+)/data/meta", "meta"),
    ("GET", r"tasks/(\d+)/annotations", "annotations"),
    ("PATCH", r"tasks/(\d+)/annotations", "add_annotations"),
    ("PATCH", r"jobs/(\d+)", "change_job"),
    ("GET", r"jobs/(\d+)/annotations", "job_annotations"),
)
