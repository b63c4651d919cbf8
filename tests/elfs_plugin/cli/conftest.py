import os

import pytest


@pytest.fixture(autouse=True)
def _plugins_folder(monkeypatch):
    """The command line points FiftyOne at its own folder of plugins; afterwards it is the tests' again."""
    monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", os.environ["FIFTYONE_PLUGINS_DIR"])
