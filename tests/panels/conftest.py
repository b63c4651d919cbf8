"""The real App on a real MongoDB in a real Chromium."""

import importlib.util
import os
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import fiftyone as fo
import pytest
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "fiftyone.plugins.orgs.elfs.coreset.elfs_plugin"
LAUNCH = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

APP_NOISE = "entry is loading"
"""Thrown by the App's own sidebar while a changed view loads, with and without the plugin."""

ADVERTISEMENT = "fiftyone-enterprise-tooltip-seen"
"""The App's note that its advertisement, which would cover the panel, has been dismissed."""

expect.set_options(timeout=30_000)

SERVE = """
import sys
import fiftyone as fo
import fiftyone.operators as foo
from elfs_plugin.runs.workspace import spaces
from tests.few_steps import shorten
assert foo.operator_exists("@elfs/coreset/run_elfs")
shorten(sys.argv[3])
session = fo.launch_app(fo.load_dataset(sys.argv[1]), port=int(sys.argv[2]), remote=True, spaces=spaces())
session.wait(-1)
"""


def chromium_path():
    spec = importlib.util.spec_from_file_location("ensure_chromium", ROOT / "scripts" / "ensure_chromium.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.find()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=LAUNCH)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def app_dataset(tmp_path_factory):
    """A persistent dataset of 120 digits without any run."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("app-digits")
    paths = []
    for index, image in enumerate(load_digits().images[:120]):
        paths.append(str(folder / f"{index:03d}.png"))
        Image.fromarray((image * 15.9).astype("uint8")).save(paths[-1])
    dataset = fo.Dataset("elfs-app-test", persistent=True, overwrite=True)
    dataset.add_samples((fo.Sample(path) for path in paths), progress=False, num_samples=len(paths))
    yield dataset
    fo.delete_dataset(dataset.name)


@pytest.fixture(scope="module")
def app_url(app_dataset, tmp_path_factory):
    """The address of an App server, in a process of its own, that has the dataset and the panel open.

    Its jobs cluster and search β in a few steps, see :mod:`tests.few_steps`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(SERVE), app_dataset.name, str(port), PLUGIN]
    log = tmp_path_factory.mktemp("app-server") / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
    url = f"http://localhost:{port}"
    for _ in range(120):
        if server.poll() is not None:
            raise RuntimeError(log.read_text()[-2000:])
        try:
            urllib.request.urlopen(url, timeout=2).read()
            break
        except OSError:
            time.sleep(0.5)
    else:
        raise RuntimeError("the App did not start within a minute")
    yield f"{url}/datasets/{app_dataset.name}"
    server.terminate()
    server.wait(20)


@pytest.fixture(params=["dark", "light"])
def theme(request):
    return request.param


@pytest.fixture
def context(browser, theme):
    """A browser that has not been used, but for the choice of a theme."""
    context = browser.new_context(viewport={"width": 1700, "height": 1400}, color_scheme=theme)
    context.add_init_script(f"localStorage.setItem('mui-mode', '{theme}')")
    context.add_init_script(f"localStorage.setItem('{ADVERTISEMENT}', 'true')")
    yield context
    context.close()


@pytest.fixture
def page(context, app_url, theme):
    """The App in one theme. Fails the test on a page error or a console exception that the plugin could have caused."""
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)) if str(error) != APP_NOISE else None)
    page.on("console", lambda message: errors.append(message.text) if is_exception(message) else None)
    page.set_default_timeout(60_000)
    page.goto(app_url)
    yield page
    shots = os.environ.get("ELFS_SCREENSHOTS")
    if shots:
        page.screenshot(path=str(Path(shots) / f"{theme}.png"))
    assert errors == []


def is_exception(message):
    """Exceptions and whatever names the plugin. The App's own notices and unreachable fonts do not count."""
    words = ("Uncaught", "Error:", "Exception", "elfs", "coreset")
    return message.type == "error" and any(word in message.text for word in words)
