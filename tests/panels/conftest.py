"""The real App on a real MongoDB in a real Chromium: one server and one browser for all tests.

FiftyOne is imported by the fixtures, see tests/operators/conftest.py.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from scripts.app import App, chromium, new_context
from tests.few_steps import PLUGIN

APP_NOISE = "entry is loading"
"""Thrown by the App's own sidebar while a changed view loads, with and without the plugin."""

PREPARE = f"""
import fiftyone.operators as foo
from tests.few_steps import shorten
assert foo.operator_exists("@elfs/coreset/run_elfs")
shorten("{PLUGIN}.elfs_plugin")
"""
"""The server's jobs cluster and search β in a few steps."""

expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def app(plugin, tmp_path_factory):
    import fiftyone as fo

    empty = fo.Dataset("elfs-app-empty", persistent=True, overwrite=True)
    app = App(empty, tmp_path_factory.mktemp("app-server") / "log.txt", PREPARE)
    yield app
    app.close()
    fo.delete_dataset(empty.name)


@pytest.fixture(scope="module")
def app_dataset(request, digits):
    """A persistent dataset of 120 digits without any run."""
    import fiftyone as fo

    dataset = fo.Dataset(f"elfs-app-{request.module.__name__.rpartition('.')[2]}", persistent=True, overwrite=True)
    dataset.add_samples((fo.Sample(str(path)) for path in digits[:120]), progress=False, num_samples=120)
    yield dataset
    fo.delete_dataset(dataset.name)


@pytest.fixture
def app_url(app, app_dataset):
    """The address of the dataset, opened as if for the first time."""
    return app.open(app_dataset)


@pytest.fixture(params=["dark", "light"])
def theme(request):
    return request.param


@pytest.fixture
def context(browser, theme):
    """A browser that has not been used, but for the choice of a theme."""
    context = new_context(browser, width=1700, height=1400, theme=theme)
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
