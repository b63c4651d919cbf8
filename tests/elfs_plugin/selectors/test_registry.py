"""The selectors are the files of a folder; each has a row in docs/selectors.md."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from elfs_plugin.selectors import Pool, available, methods, registry, required, select
from elfs_plugin.selectors.cost import Cost

DOCS = Path(__file__).resolve().parents[3] / "docs" / "selectors.md"
FIRST_ID = """
import numpy as np

from ..base import Ranked


class FirstId(Ranked):
    name = "{name}"
    purpose = "The images that came first."
    direction = "random"
    keeps = "low"

    def score(self, pool, seed, progress):
        return np.arange(len(pool))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose files count as files of ``selectors/methods/``."""
    before = set(sys.modules)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    registry.selectors.cache_clear()
    importlib.invalidate_caches()
    yield tmp_path
    registry.selectors.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith(f"{methods.__name__}."):
            del sys.modules[name]
            delattr(methods, name.rpartition(".")[2])


def test_every_file_is_a_selector_and_its_name_is_the_files():
    files = {file.stem for file in Path(methods.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(available())


def test_they_are_listed_in_a_stated_order():
    classes = list(registry.selectors().values())
    assert [one.listed for one in classes] == sorted({one.listed for one in classes})
    assert list(available())[:2] == ["elfs", "random"]


def test_a_new_file_is_a_new_selector(folder):
    (folder / "first_id.py").write_text(FIRST_ID.format(name="first_id"))
    assert list(available())[-1] == "first_id"
    assert select("first_id", Pool(np.array(["b", "c", "a"])), 2).indices.tolist() == [2, 0]


def test_a_file_without_a_selector_is_refused(folder):
    (folder / "empty.py").write_text("from ..base import Selector\n")
    with pytest.raises(TypeError, match=r"methods\.empty defines no Selector with a name"):
        available()


def test_one_name_is_for_one_selector(folder):
    (folder / "second.py").write_text(FIRST_ID.format(name="random"))
    with pytest.raises(TypeError, match="Two selectors have one name"):
        available()


def row(name, details):
    needs = ", ".join(f"`{need}`" for need in required(name)) or "nothing"
    return f"| `{name}` | {details['purpose']} | {needs} | {details['paper'] or '–'} |"


def test_each_has_its_row_in_the_docs():
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    assert lines == [row(name, details) for name, details in available().items()]


def test_cost_is_a_product_of_what_it_grows_with():
    cost = Cost(100, ("samples", "budget"))
    assert not cost.is_high(samples=20, budget=5, dimensions=512)
    assert cost.is_high(samples=20, budget=6, dimensions=1)
