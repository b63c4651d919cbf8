"""CVAT's REST API, as much of it as rounds need, with a sentence for everything that goes wrong.

FiftyOne has a client of its own (``fiftyone.utils.cvat``), which is not used. It asks for a missing password on the
terminal, waits without an end for a task whose images CVAT could not read, does not check certificates, holds all
images of a task in memory, and can neither go on after an interruption nor tell a finished job from an open one. Both
speak HTTP through ``requests``, which comes with FiftyOne; ``cvat-sdk``, which is made for one version of the server at
a time, is not needed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from ...errors import ElfsError, InvalidInput

OLDEST = (2, 4, 6)
"""The first version that keeps images in the order in which they are named."""

REQUEST_BYTES = 32 << 20
"""Images go up in requests of about this size."""

_TIMEOUT = (10, 300)
_PAGE = 100
_CLASSIC_TOKEN = re.compile("[0-9a-f]{40}")
_PAGES = re.compile("/(api|tasks|projects|auth|jobs)?(/.*)?$")


class NotThere(ElfsError):
    """What was asked for is not on the server, or not for this user."""


class NotMade(ElfsError):
    """The server could not make a task of the images."""


class Refused(ElfsError):
    """The server understands and will not; ``code`` is that of HTTP."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class CvatClient:
    """A session with a server, logged in.

    Args:
        url: of the server, as in a browser
        password: or a ``token``, with which neither the name nor the password is needed
        organization: its short name, or None for the user's own tasks

    Raises:
        InvalidInput: with the name of the argument that is wrong
    """

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        organization: str | None = None,
    ) -> None:
        self.url = server_of(url)
        self._secret = "token" if token else "password"
        self._session = requests.Session()
        # Only reading may be repeated: the server adds a file that comes twice to itself.
        adapter = HTTPAdapter(
            max_retries=Retry(2, backoff_factor=0.3, status_forcelist=(502, 503, 504), raise_on_status=False)
        )
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._session.auth = _Authorization(token)  # also keeps a password of ~/.netrc away
        if not token:
            self._log_in(username, password)
        self._check_version()
        self._check_user(organization)

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        return self._json(self._request("GET", path, params=parameters))

    def pages(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """The entries of a list, page by page. The addresses of further pages are not followed: behind a proxy they
        are often wrong."""
        page = 1
        while True:
            found = self.get(path, **parameters, page=page, page_size=_PAGE)
            yield from found.get("results") or ()
            if not found.get("next"):
                return
            page += 1

    def post(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        return self._json(self._request("POST", path, json=content))

    def patch(self, path: str, content: Mapping[str, Any], **parameters: Any) -> None:
        self._request("PATCH", path, json=content, params=parameters)

    def delete(self, path: str) -> None:
        self._request("DELETE", path)

    def upload(self, task: int, files: Sequence[tuple[str, str]], quality: int, sent: Callable[[int], object]) -> None:
        """Gives a new task its images and waits until it is ready.

        Args:
            files: (name in CVAT, path) in order
            sent: told how many have been sent so far; may raise to stop

        Raises:
            NotMade: when CVAT cannot make the task, with what it says
        """
        path, quality_of = f"tasks/{task}/data", {"image_quality": quality}
        self._request("POST", path, headers={"Upload-Start": "true"})
        done = 0
        for some in _groups(files):
            named = {f"client_files[{n}]": (name, Path(place).read_bytes()) for n, (name, place) in enumerate(some)}
            self._request("POST", path, data=quality_of, files=named, headers={"Upload-Multiple": "true"})
            done += len(some)
            sent(done)
        order = {"sorting_method": "predefined", "upload_file_order": [name for name, _ in files], "use_cache": True}
        answer = self._request("POST", path, json={**quality_of, **order}, headers={"Upload-Finish": "true"})
        request = self._json(answer).get("rq_id") if answer.content else None
        self.wait(task, request, lambda: sent(done))

    def wait(
        self, task: int, request: str | None = None, tick: Callable[[], object] = lambda: None, most: float = 1800
    ) -> None:
        """Waits until CVAT has made a task of what was uploaded.

        Args:
            request: the id of CVAT's own work on it, which newer servers tell
            tick: called again and again; may raise to stop
            most: seconds

        Raises:
            NotMade: with what CVAT says
            ElfsError: when it takes longer
        """
        until, pause = time.monotonic() + most, 0.05
        while True:
            state, message, request = self._state(task, request)
            if state == "finished":
                return
            if state == "failed":
                raise NotMade(
                    f"CVAT could not make task {task} of the images: {_line(message)}. Nothing in it was labelled; "
                    "send again when that is mended."
                )
            if time.monotonic() > until:
                raise ElfsError(f"CVAT has not finished task {task} in time. It is found again: send again later.")
            tick()
            time.sleep(pause)
            pause = min(2 * pause, 3)

    def _state(self, task, request):
        """(state, message, the request's id or None where the server does not know such ids)."""
        if request:
            try:
                found = self.get(f"requests/{quote(request, safe='')}")
                return str(found.get("status")).lower(), str(found.get("message") or ""), request
            except NotThere:
                pass
        try:
            found = self.get(f"tasks/{task}/status")
        except (NotThere, Refused):  # deprecated: whether the task has its images is looked at by who has waited
            return "finished", "", None
        return str(found.get("state")).lower(), str(found.get("message") or ""), None

    def _log_in(self, username, password):
        for name, value in (("username", username), ("password", password)):
            if not value or not isinstance(value, str):
                raise InvalidInput(f"Give the {name} for {self.url}, or a token.", name)
        try:
            self._request("POST", "auth/login", json={"username": username, "password": password})
        except NotThere:
            raise self._no_cvat() from None
        except Refused as error:
            if error.code != 400:
                raise
            raise InvalidInput(f"CVAT at {self.url} refuses this user name or password.", "password") from None
        cookie = self._session.cookies.get("csrftoken")
        if cookie:
            self._session.headers.update({"X-CSRFToken": cookie, "Referer": self.url})

    def _check_version(self):
        try:
            found = self.get("server/about")
        except NotThere:
            raise self._no_cvat() from None
        version = str(found.get("version", ""))
        numbers = [int(part) for part in re.findall(r"\d+", version)[:3]]
        if not numbers:
            raise InvalidInput(f"{self.url} is no CVAT server: it does not tell its version.", "url")
        if (*numbers, 0, 0)[:3] < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise InvalidInput(f"CVAT at {self.url} is version {version}; {oldest} or newer is needed.", "url")

    def _no_cvat(self):
        return InvalidInput(f"There is no CVAT 2 at {self.url}. Check the address.", "url")

    def _check_user(self, organization):
        self.get("users/self")
        if organization:
            self._session.headers["X-Organization"] = organization
            try:
                self.get("tasks", page_size=1)
            except (NotThere, Refused):
                raise InvalidInput(
                    f"CVAT at {self.url} has no organization '{organization}' of this user. Give its short name.",
                    "organization",
                ) from None

    def _request(self, method, path, **more):
        try:
            response = self._session.request(
                method, f"{self.url}/api/{path}", timeout=_TIMEOUT, allow_redirects=False, **more
            )
        except requests.exceptions.SSLError as error:
            raise InvalidInput(
                f"The certificate of {self.url} cannot be trusted ({_reason(error)}). Set REQUESTS_CA_BUNDLE to the "
                "file with your authority's certificate.",
                "url",
            ) from None
        except requests.exceptions.RequestException as error:
            raise InvalidInput(
                f"The CVAT server {self.url} does not answer ({_reason(error)}). Check the address, and whether it is "
                "running; what was sent so far is found again.",
                "url",
            ) from None
        self._check(response)
        return response

    def _check(self, response):
        code = response.status_code
        if 300 <= code < 400:
            place = response.headers.get("Location", "another place")
            raise InvalidInput(f"{self.url} sends on to {place[:200]}. Give the address of the server itself.", "url")
        if code == 401:
            raise InvalidInput(f"CVAT at {self.url} does not accept this {self._secret}.", self._secret)
        if code == 404:
            raise NotThere(f"CVAT at {self.url} does not have what was asked for ({response.request.path_url}).")
        if code >= 500:
            raise ElfsError(f"CVAT at {self.url} has failed ({code} {response.reason}). Try again later.")
        if code >= 400:
            raise Refused(f"CVAT at {self.url} refuses this ({code}): {_line(response.text)}", code)

    def _json(self, response):
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise InvalidInput(f"{self.url} does not answer as CVAT does. Check the address.", "url")
        return found


class _Authorization(requests.auth.AuthBase):
    def __init__(self, token):
        # Tokens of users are 40 hexadecimal digits; the personal access tokens of newer servers are longer.
        self._value = token and f"{'Token' if _CLASSIC_TOKEN.fullmatch(token) else 'Bearer'} {token}"

    def __call__(self, request):
        if self._value:
            request.headers["Authorization"] = self._value
        return request


def server_of(url: Any) -> str:
    """The address of a server without what a browser shows after it.

    Raises:
        InvalidInput: when it is none
    """
    try:
        parts = urlsplit(url.strip())
        if parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0:
            return f"{parts.scheme}://{parts.netloc.lower()}{_PAGES.sub('', parts.path)}"
    except (AttributeError, ValueError):  # no text; a port that is no number
        pass
    raise InvalidInput("Give the address of the CVAT server, such as https://app.cvat.ai.", "url")


def _groups(files):
    """The files in lists of about the size of a request."""
    group: list[tuple[str, str]] = []
    size = 0
    for name, path in files:
        bytes_of = Path(path).stat().st_size
        if group and size + bytes_of > REQUEST_BYTES:
            yield group
            group, size = [], 0
        group.append((name, path))
        size += bytes_of
    if group:
        yield group


def _reason(error):
    """The innermost cause, in a few words: urllib3 wraps it several times."""
    while getattr(error, "reason", None) or (error.args and isinstance(error.args[0], Exception)):
        error = getattr(error, "reason", None) or error.args[0]
        if not isinstance(error, BaseException):
            return _line(error)
    return _line(error).rpartition(": ")[2] or type(error).__name__


def _line(said):
    return (str(said).strip().splitlines() or [""])[0][:300]
