"""The real App for tests, measurements and pictures: a database and a server of its own, a headless Chromium."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_SERVE = """
import sys, time
import fiftyone as fo
from elfs_plugin.runs.workspace import spaces
exec(sys.argv[3])
session = fo.launch_app(fo.load_dataset(sys.argv[1]), port=int(sys.argv[2]), remote=True, spaces=spaces())
for name in sys.stdin:
    while not session._client._connected:  # the server may answer others before it answers its own session
        time.sleep(0.1)
    session.dataset = fo.load_dataset(name.strip())
    session.spaces = spaces()
    print("open", flush=True)
"""

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_START = 120
"""Seconds a server may take to answer."""

_ADVERTISEMENT = "fiftyone-enterprise-tooltip-seen"
"""The App's note that its advertisement, which would cover the panel, has been dismissed."""


@contextlib.contextmanager
def own_fiftyone(name):
    """FiftyOne with a database, a plugins folder and a home of ELFS that are gone afterwards.

    To be entered before FiftyOne is imported. Yields the folder that everything is in.
    """
    if "fiftyone" in sys.modules:
        raise RuntimeError("FiftyOne has been imported already; its database can no longer be chosen.")
    home = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    (home / "plugins").mkdir()
    (home / "plugins" / "elfs").symlink_to(ROOT)
    os.environ.update(
        FIFTYONE_DATABASE_NAME=f"{name.replace('-', '_')}_{os.getpid()}",
        FIFTYONE_DATABASE_VALIDATION="false",
        FIFTYONE_DO_NOT_TRACK="true",
        FIFTYONE_PLUGINS_DIR=str(home / "plugins"),
        FIFTYONE_SHOW_PROGRESS_BARS="false",
        FIFTYONE_OPERATOR_TIMEOUT="3600",
        ELFS_HOME=str(home / "elfs"),
    )
    # A terminated process would leave its database behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield home
    finally:
        from fiftyone.core import odm

        odm.drop_database()
        shutil.rmtree(home, ignore_errors=True)


class App:
    """A server of the App in a process of its own, with the grid and the panel open; close it when done.

    Args:
        dataset: to begin with
        log: path of a file for the server's output
        prepare: Python that the server's process executes first
    """

    def __init__(self, dataset, log, prepare=""):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://localhost:{port}"
        self._log = Path(log)
        command = [sys.executable, "-c", _SERVE, dataset.name, str(port), prepare]
        with self._log.open("w") as output:
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": output, "text": True}
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self._server = subprocess.Popen(command, env=environment, cwd=ROOT, **streams)
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + _START
        while not _answers(self.address):
            if self._server.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise SystemExit(f"The App did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.3)

    def url(self, dataset):
        return f"{self.address}/datasets/{dataset.name}"

    def open(self, dataset):
        """Opens a dataset, this one or another, as if for the first time: no view, a new panel. Returns its address."""
        self._server.stdin.write(f"{dataset.name}\n")
        self._server.stdin.flush()
        while (said := self._server.stdout.readline()) != "open\n":
            if not said:
                raise RuntimeError(f"The App has ended:\n{self._log.read_text()[-2000:]}")
        return self.url(dataset)

    def close(self):
        self._server.stdin.close()  # it then ends by itself, and takes its own processes with it
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


@contextlib.contextmanager
def app_server(dataset, log):
    """A server of the App for one dataset. Yields the dataset's address."""
    app = App(dataset, log)
    try:
        yield app.url(dataset)
    finally:
        app.close()


def _answers(url):
    try:
        urllib.request.urlopen(url, timeout=2).read()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def chromium():
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    from scripts.ensure_chromium import find

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=_FLAGS)
        yield browser
        browser.close()


def new_page(browser, *, width, height, theme="dark", scale=1):
    """A page of a new context in one theme; close ``page.context`` when done."""
    page = new_context(browser, width=width, height=height, theme=theme, scale=scale).new_page()
    page.set_default_timeout(120_000)
    return page


def new_context(browser, *, width, height, theme="dark", scale=1):
    """A browser that has not been used, but for the choice of a theme."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, device_scale_factor=scale
    )
    context.add_init_script(f"localStorage.setItem('mui-mode', '{theme}')")
    context.add_init_script(f"localStorage.setItem('{_ADVERTISEMENT}', 'true')")
    return context
