import os
from pathlib import Path

import fiftyone as fo
import pytest
import yaml
from fiftyone import ViewField as F
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs
from elfs_plugin.cli import main
from tests.grouped import all_slices, grouped

OPERATORS = yaml.safe_load((Path(__file__).parents[2] / "fiftyone.yml").read_text())["operators"]
ON_IMAGES = [name for name in OPERATORS if name not in ("make_rows", "write_rows_back")]


@pytest.fixture
def source(digits):
    """A grouped dataset of 12 groups, each with two images and a video."""
    dataset = grouped(digits[:24])
    yield dataset
    for name in runs.companions_of(dataset):
        fo.delete_dataset(name)
    dataset.delete()


@pytest.mark.parametrize("name", ON_IMAGES)
def test_a_grouped_dataset_is_refused_with_what_to_do(source, execute, state_of, name):
    before = state_of(source)
    with pytest.raises(ExecutionError, match=r"make_rows \(kind groups\).*SelectGroupSlices \(left, right\)"):
        execute(name, source)
    companion = runs.make_rows(source, "groups")["dataset"]
    with pytest.raises(ExecutionError, match=f"are in the dataset '{companion}'. Open that one"):
        execute(name, source)
    assert state_of(source) == before


def test_from_groups_to_tags_on_all_slices(source, operator, execute, errors_of, form):
    defaults = form("make_rows", source)
    assert defaults["kind"].default == "groups" and defaults["row_vectors"].default == "slice"
    assert [choice.value for choice in defaults["row_slice"].view.choices] == ["left", "right"]
    assert [choice.value for choice in defaults["row_embeddings_field"].view.choices] == ["vector"]
    assert "has no slice 'middle'" in errors_of("make_rows", source, row_slice="middle")["kind"]
    told = execute("make_rows", source, row_slice="right", row_vectors="mean").result
    assert told["rows"] == 12
    again = form("make_rows", source)
    assert (again["row_slice"].default, again["row_vectors"].default) == ("right", "mean")
    companion = fo.load_dataset(told["dataset"])
    assert companion.distinct("slice_name") == ["right"]
    # A call from Python takes the rows of the groups.
    options = {"num_clusters": 3, "budget": 4, "beta": 0.1, "source": "field", "embeddings_field": "vector"}
    assert operator("run_elfs")(source, tag="four", **options)["samples"] == 12
    assert operator("run_elfs")(source.match(F("n") < 9), key="part", **options)["samples"] == 9
    execute("select_coreset", companion, method="elfs", budget=4, beta=0.1, tag="four", write_back=True)
    chosen = companion.match_tags("four").values("n")
    assert sorted(all_slices(source).match_tags("four").values("n")) == sorted(chosen * 3)
    assert sorted(source.load_saved_view("four").values("n")) == sorted(chosen)
    assert operator("write_rows_back")(source)["chosen"] == 4
    operator("delete_run")(source)
    assert source.list_saved_views() == [] and not source.has_sample_field("elfs")
    assert all_slices(source).count_sample_tags() == {"mine": 36}


def test_a_run_on_one_slice_stays_the_one_that_is_meant(source, operator, execute):
    right = source.select_group_slices("right")
    options = {"num_clusters": 3, "budget": 4, "beta": 0.1, "source": "field", "embeddings_field": "vector"}
    operator("run_elfs")(right, **options)
    companion = fo.load_dataset(runs.make_rows(source, "groups")["dataset"])
    operator("select_coreset")(source, method="elfs", budget=3, beta=0.1, tag="three")
    assert right.count_sample_tags() == {"mine": 12, "three": 3}
    operator("run_elfs")(source, key="rows", **options)
    operator("select_coreset")(source, key="rows", method="elfs", budget=2, beta=0.1, tag="two")
    assert companion.count_sample_tags() == {"mine": 12, "two": 2}
    execute("delete_run", source)
    assert not source.has_run("elfs") and companion.has_run("rows")


@pytest.mark.parametrize("name", ["run_elfs", "make_rows"])
def test_a_saved_view_of_groups_by_a_field(source, execute, operator, name):
    for field in ("n", "filepath"):
        source.save_view(f"by {field}", source.group_by(field))
    for view in (source.load_saved_view("by n"), source.select_group_slices("left").group_by("n")):
        with pytest.raises(ExecutionError, match=r"by a field \(group_by\).*Flatten"):
            execute(name, view)
        with pytest.raises(ExecutionError, match=r"by a field \(group_by\).*Flatten"):
            operator(name)(view)


def test_the_command_line(source, capsys):
    assert main(["rows", source.name, "--set", "slice=right", "--set", "vectors=mean", "--json"]) == 0
    out = capsys.readouterr().out
    assert f"12 groups in the dataset '{source.name}-elfs-groups' (12 new, 0 removed)" in out
    arguments = ["--clusters", "2", "--budget", "3", "--beta", "0.1", "--encoder", "pixels", "--no-app"]
    assert main(["run", source.name, *arguments]) == 0
    assert "Taking the groups of" in capsys.readouterr().err
    assert main(["write-back", source.name]) == 0
    assert source.count_sample_tags()["elfs_coreset"] == 3
    other = fo.Dataset(f"empty-{os.urandom(4).hex()}")
    assert main(["rows", other.name, "--kind", "groups"]) == 2
    other.delete()
