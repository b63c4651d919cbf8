import fiftyone as fo

from elfs_plugin import runs
from elfs_plugin.runs import workspace


def finish(dataset, key="elfs"):
    runs.run_elfs(dataset, key, num_clusters=3, budget=10, beta=0)


def test_it_comes_with_the_first_run_and_goes_with_the_last(dataset):
    finish(dataset)
    assert dataset.list_workspaces() == ["ELFS"]
    kinds = [panel.type for space in dataset.load_workspace("ELFS").children for panel in space.children]
    assert kinds == ["Samples", "coreset_panel"]
    finish(dataset, "other")
    runs.delete_run(dataset)
    assert dataset.list_workspaces() == ["ELFS"]
    runs.delete_run(dataset, "other")
    assert dataset.list_workspaces() == []


def test_one_of_that_name_that_was_there_stays(dataset):
    theirs = fo.Space(children=[fo.Panel(type="Samples")])
    dataset.save_workspace("ELFS", theirs, description="mine")
    finish(dataset)
    assert dataset.get_workspace_info("ELFS")["description"] == "mine"
    assert not workspace.ensure_workspace(dataset)
    runs.delete_run(dataset)
    assert dataset.list_workspaces() == ["ELFS"]


def test_one_that_was_put_in_its_place_stays(dataset):
    finish(dataset)
    dataset.delete_workspace("ELFS")
    dataset.save_workspace("ELFS", fo.Space(children=[fo.Panel(type="Samples")]), description="mine")
    runs.delete_run(dataset)
    assert dataset.list_workspaces() == ["ELFS"]
