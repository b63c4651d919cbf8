"""What the benchmark of the panel makes of what it saw, and the dataset it measures on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.panel import MEASURES, Measure, of_drag, panel_method, report, spread
from benchmarks.panel_dataset import KEY, TAG, make_dataset, synthetic_scores
from elfs_plugin import runs
from elfs_plugin.pruning.cuts import cut_table


def request(body, path="/operators/execute"):
    return SimpleNamespace(url=f"http://localhost:1{path}", post_data=body)


def call(method, padding=""):
    return request(json.dumps({"params": {"__method__": method, "padding": padding}}))


def test_a_drag_in_numbers():
    # Five renders 20 ms apart but for one pause of 60 ms, one more after the release.
    seen = {"renders": [1000, 1020, 1040, 1100, 1120, 1500], "released": 1200.0, "thumbnail": 2100.0}
    commit = call("on_commit", "x" * 2000)
    others = [request("y" * 5000, "/graphql"), request(None, "/graphql")]
    found = of_drag(
        seen,
        during=[call("on_tick"), request("{}", "/graphql")],
        after=[commit, *others, call("on_tick")],
        answer={"startTime": 1210.0, "responseEnd": 90.0},
    )
    assert found["frames"] == pytest.approx(4 / 0.120)
    assert found["gap"] == 60
    assert (found["requests"], found["polls"]) == (1, 1)
    assert found["answer"] == pytest.approx(0.1)
    assert found["thumbnail"] == pytest.approx(0.9)
    assert found["cut_bytes"] == len(commit.post_data) / 1024
    assert found["all_bytes"] == (len(commit.post_data) + 5000 + len(call("on_tick").post_data)) / 1024


def test_a_drag_that_drew_nothing_has_no_frames():
    seen = {"renders": [1300], "released": 1200.0, "thumbnail": 1400.0}
    found = of_drag(seen, [], [], {"startTime": 1200.0, "responseEnd": 1.0})
    assert (found["frames"], found["gap"], found["cut_bytes"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("body", "method"),
    [(None, None), ("", None), ("no json", None), ('{"params": 3}', None), ('{"params": {"__method__": "x"}}', "x")],
)
def test_the_method_of_a_request(body, method):
    assert panel_method(body) == method


def test_the_worst_is_the_highest_time_and_the_lowest_rate():
    assert spread([1.0, 2.04, 4.06], Measure("", "s", "", 1)) == {"median": 2.0, "worst": 4.1}
    assert spread([30.4, 20, 60], Measure("", "/s", "", 0, True)) == {"median": 30, "worst": 20}
    assert spread([0, 1, 0], Measure("", "", "", 0)) == {"median": 0, "worst": 1}
    assert spread([], Measure("", "s", "")) is None


def test_the_report_has_a_line_for_each_measure():
    lines = report({50: {"frames": [40, 50, 60], "requests": [0]}, 60: {}}).markdown().splitlines()
    assert len(lines) == 2 + len(MEASURES)
    assert lines[0] == "| median (worst) | target | 50 samples | 60 samples |"
    assert lines[2] == "| renders while a handle is dragged, /s | at least 30 | 50 (40) | - |"
    assert "| requests caused by a drag | 0 | 0 (0) | - |" in lines


def test_the_panel_cannot_tell_the_dataset_from_a_real_one(plugin, digits):
    dataset = make_dataset("elfs-bench-test", [str(path) for path in digits[:10]], 500)
    try:
        assert runs.check_run(runs.Run(dataset, KEY)).findings == []
        scores, labels = synthetic_scores(500)
        ids, read, read_labels, names = runs.read_ranking(runs.Run(dataset, KEY))
        assert len(set(ids)) == dataset.count() == 500
        assert dataset.values("id") != ids.tolist()
        np.testing.assert_array_equal(read, scores)
        at = dict(zip(*dataset.values(["id", f"{KEY}.aum"])))
        label = dict(zip(*dataset.values(["id", f"{KEY}.pseudo_label.label"])))
        assert [at[i] for i in ids] == scores.tolist()
        assert [label[i] for i in ids] == [names[place] for place in read_labels] == [f"cluster {x}" for x in labels]
        assert cut_table(read, read_labels, names, hard="low", score_name="AUM")["n"] == 500
        assert dataset.count_values(f"{KEY}.zone") == {"hard": 50, "coreset": 50, "easy": 400}
        assert len(dataset.match_tags(TAG)) == len(dataset.load_saved_view(TAG)) == 50
        assert runs.card(runs.Run(dataset, KEY), str(ids[60]), 50, 50)["zone"] == "coreset"
        runs.delete_run(dataset, KEY)
        assert KEY not in dataset.get_field_schema()
    finally:
        dataset.delete()
