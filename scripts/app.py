"""The real App for measurements and pictures: a database of its own, a server of its own, a headless Chromium."""

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
import sys
import fiftyone as fo
from elfs_plugin.runs.workspace import spaces
session = fo.launch_app(fo.load_dataset(sys.argv[1]), port=int(sys.argv[2]), remote=True, spaces=spaces())
session.wait(-1)
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


@contextlib.contextmanager
def app_server(dataset, log):
    """The App's server in a process of its own, with the grid and the panel open. Yields the dataset's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", _SERVE, dataset.name, str(port)]
    with open(log, "w") as output:
        server = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, stdout=output, stderr=output
        )
    try:
        url = f"http://localhost:{port}"
        deadline = time.monotonic() + _START
        while not _answers(url):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The App did not start:\n{Path(log).read_text()[-2000:]}")
            time.sleep(0.3)
        yield f"{url}/datasets/{dataset.name}"
    finally:
        server.terminate()
        server.wait(20)


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
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, device_scale_factor=scale
    )
    context.add_init_script(f"localStorage.setItem('mui-mode', '{theme}')")
    page = context.new_page()
    page.set_default_timeout(120_000)
    return page
