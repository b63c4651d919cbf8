import fiftyone as fo
import pytest

from elfs_plugin import runs
from tests.grouped import grouped
from tests.panels.test_events import Panel


@pytest.fixture
def source(digits):
    dataset = grouped(digits[:8])
    yield dataset
    for name in runs.companions_of(dataset):
        fo.delete_dataset(name)
    dataset.delete()


def test_the_panel_leads_to_the_groups(plugin, source):
    panel = Panel(source)
    assert "ELFS works on the groups" in panel.alerts and "Or choose one slice" in panel.text
    assert panel.find("open_rows") is None
    assert panel.press("make_rows").started[0][1]["operator_uri"] == "@elfs/coreset/make_rows"
    companion = runs.make_rows(source, "groups")["dataset"]
    panel = Panel(source)
    assert companion in panel.text
    assert panel.press("open_rows").started == [("open_dataset", {"dataset": companion})]
    assert "ELFS works on the groups" not in Panel(fo.load_dataset(companion)).alerts
