"""Requests to a Label Studio, by either kind of its tokens; whatever goes wrong becomes a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests

from ....errors import ElfsError, InvalidInput
from ....validation import shown

TASKS_IN_A_PAGE = 500
PROJECTS_IN_A_PAGE = 100
_SECONDS = (10, 300)
"""To connect, and between two bytes of an answer: an import is answered when it is done."""

WHERE_KEYS_ARE = "In Label Studio: Account & Settings > Personal Access Token (or Legacy Token)."
_LEGACY_IS_OFF = "legacy token authentication has been disabled"


class NotThere(ElfsError):
    """The server knows no such project or task (any more)."""


class LabelStudio:
    """A server and an account on it.

    Args:
        url: where it is, as in the browser
        key: a personal access token, which a short-lived one must be had for, or a legacy token
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = _checked(url)
        self._key = key
        self._access: str | None = None
        self._session = requests.Session()

    def version(self) -> str:
        """Asked without the key, so that it goes to no server of another kind."""
        answer = self._ask("GET", "/api/version", auth=_no_token)
        known = _json(answer) if answer.ok else None
        if not isinstance(known, dict) or "release" not in known:
            self._check_redirect(answer)
            raise InvalidInput(
                f"What answers at {self.url} is no Label Studio. Give the address of its page with the projects, "
                "without /projects.",
                "url",
            )
        return str(known["release"])

    def call(self, method: str, path: str, **given: Any) -> Any:
        """The JSON that a request is answered with, None where there is none.

        Raises:
            NotThere: for a project or task that was deleted
            InvalidInput: where the server cannot be reached or refuses the key
            ElfsError: for any other refusal
        """
        answer = self._ask(method, path, auth=self._sign, **given)
        if answer.status_code == 401 and self._is_personal:  # what it was exchanged for is valid for minutes only
            self._access = None
            answer = self._ask(method, path, auth=self._sign, **given)
        self._check(answer, f"{method} {path}")
        return _json(answer)

    def tasks(self, project: int, fields: str) -> Iterator[dict[str, Any]]:
        """All tasks of a project, page by page; ``fields`` is ``"all"``, or ``"task_only"`` without annotations."""
        seen: set[int] = set()
        for page in range(1, 1_000_000):
            asked = {"project": project, "page": page, "page_size": TASKS_IN_A_PAGE, "fields": fields}
            found = self._page("/api/tasks", asked)
            yield from (task for task in found.get("tasks", ()) if task["id"] not in seen)
            seen.update(task["id"] for task in found.get("tasks", ()))
            if not found.get("tasks") or len(seen) >= found["total"]:
                return

    def count(self, project: int, **columns: bool) -> int:
        """How many tasks have these columns of numbers above 0 (True) or at 0 (False)."""
        items = [
            {"filter": f"filter:tasks:{name}", "operator": "greater" if some else "equal", "type": "Number", "value": 0}
            for name, some in columns.items()
        ]
        query = json.dumps({"filters": {"conjunction": "and", "items": items}})
        asked = {"project": project, "page": 1, "page_size": 1, "fields": "task_only", "query": query}
        return self.call("GET", "/api/tasks", params=asked)["total"]

    def projects(self, title: str) -> Iterator[dict[str, Any]]:
        """``id``, ``title`` and ``description`` of the projects with a title."""
        asked = {"title": title, "page_size": PROJECTS_IN_A_PAGE, "include": "id,title,description"}
        for page in range(1, 1_000_000):
            found = self._page("/api/projects", {**asked, "page": page})
            yield from (project for project in found.get("results", ()) if project["title"] == title)
            if not found.get("next"):
                return

    def _page(self, path, asked):
        """A page; an empty one where what was on it has been deleted since the page before."""
        try:
            return self.call("GET", path, params=asked)
        except NotThere:
            if asked["page"] == 1:
                raise
            return {}

    @property
    def _is_personal(self):
        return self._key.count(".") == 2

    def _sign(self, request):
        """Called by requests with each of them; as its own auth it also keeps a ~/.netrc out."""
        request.headers["Authorization"] = f"Bearer {self._token()}" if self._is_personal else f"Token {self._key}"
        return request

    def _token(self):
        if self._access is None:
            answer = self._ask("POST", "/api/token/refresh", auth=_no_token, json={"refresh": self._key})
            self._check(answer, "POST /api/token/refresh")
            self._access = _json(answer)["access"]
        return self._access

    def _ask(self, method, path, **given):
        try:
            # A redirect would make a GET of a POST.
            return self._session.request(method, self.url + path, timeout=_SECONDS, allow_redirects=False, **given)
        except requests.exceptions.SSLError as error:
            raise InvalidInput(f"The certificate of {self.url} was not accepted: {_short(error)}", "url") from error
        except requests.exceptions.ReadTimeout as error:
            raise ElfsError(
                f"The Label Studio at {self.url} did not answer within {_SECONDS[1]} s. Look whether it is busy, and "
                "try again: it goes on from there."
            ) from error
        except requests.exceptions.RequestException as error:
            raise InvalidInput(
                f"The Label Studio at {self.url} cannot be reached ({type(error).__name__}). Look whether it runs and "
                "whether the address is right.",
                "url",
            ) from error

    def _check(self, answer, what):
        if answer.ok and answer.status_code < 300:
            return
        self._check_redirect(answer)
        said = _said(answer)
        if answer.status_code == 401:
            raise InvalidInput(_why_refused(self.url, said), "api_key")
        if answer.status_code == 403:
            raise InvalidInput(
                f"The account of this API key may not do that on {self.url} ({what}: {said}). Use the key of an "
                "account that may make projects, or ask an administrator for the right.",
                "api_key",
            )
        if answer.status_code == 404:
            raise NotThere(f"The Label Studio at {self.url} knows no {what} ({said}).")
        if answer.status_code == 413:
            raise ElfsError(
                f"The server at {self.url} refuses an upload of that size. Raise the limit of the proxy before it "
                "(nginx: client_max_body_size), or send smaller images."
            )
        raise ElfsError(f"The Label Studio at {self.url} answered {what} with {answer.status_code}: {said}")

    def _check_redirect(self, answer):
        if answer.is_redirect:
            target = urlsplit(answer.headers["Location"])
            where = f" to {target.scheme}://{target.netloc}" if target.netloc else ""
            raise InvalidInput(
                f"The server at {self.url} sends requests on{where}. Give the address that the browser shows, without "
                "/projects.",
                "url",
            )


def _checked(url):
    parts = urlsplit(url.strip()) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise InvalidInput(
            f"The address of Label Studio must be like http://localhost:8080 or https://labels.example.org, not "
            f"{shown(url)}.",
            "url",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _no_token(request):
    return request


def _why_refused(url, said):
    if _LEGACY_IS_OFF in said:
        return (
            f"The Label Studio at {url} takes no legacy tokens. Use a personal access token (Account & Settings > "
            "Personal Access Token), or have an administrator enable them: Organization > API Tokens Settings > Legacy "
            "Tokens."
        )
    return f"The Label Studio at {url} does not accept the API key ({said}). {WHERE_KEYS_ARE}"


def _json(answer):
    try:
        return answer.json()
    except requests.exceptions.JSONDecodeError:
        return None


def _said(answer):
    """The server's own words, shortened."""
    found = _json(answer)
    if not isinstance(found, dict):
        return answer.reason or "no reason given"
    return _short(found.get("validation_errors") or found.get("detail") or answer.reason)


def _short(value):
    text = " ".join(str(value).split())
    return text if len(text) <= 300 else text[:299] + "…"
