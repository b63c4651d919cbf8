"""What the benchmark of writing writes and what it makes of what it saw."""

import pytest

from benchmarks import writing


def turn(samples=4, peak=1.0, **seconds):
    measures = {name: {"seconds": value, "cpu": value / 2} for name, value in seconds.items()}
    return {"samples": samples, "measures": measures, "peak": peak}


def test_the_table_says_how_many_times_faster():
    found = {
        "plugin": [turn(first=2.0, moved=1.0), turn(first=4.0, moved=1.0), turn(first=3.0, moved=1.0)],
        "before": [turn(first=12.0, moved=1.5)],
    }
    table = writing.report(found)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows[writing.MEASURES["first"]] == [3.0, 1.5, 12.0, 6.0, 4.0]
    assert rows[writing.MEASURES["moved"]] == [1.0, 0.5, 1.5, 0.8, 1.5]
    assert set(rows) == {writing.MEASURES["first"], writing.MEASURES["moved"]}


def test_the_memory_is_the_highest_of_all_turns():
    table = writing.memory_report({"plugin": [turn(peak=0.5), turn(peak=0.75)]})
    assert table.rows == [[4, "plugin", 0.75]]


def test_it_writes_what_set_values_writes(plugin):
    """The two are compared, so they must leave the same values."""
    import fiftyone as fo

    paths = ("pseudo_label.label", "pseudo_label.confidence", "agreement", "aum", "forgetting", "rank", "zone")
    found = {}
    for who in ("plugin", "set_values"):
        dataset = writing.make_dataset(f"elfs-test-writing-{who}", 60)
        clock = writing.Clock(None)
        try:
            {"plugin": writing.measure_plugin, "set_values": writing.measure_set_values}[who](dataset, clock)
            dataset.reload()
            tags = [sorted(tags) for tags in dataset.values("tags")]
            indexes = {index for index in dataset.get_index_information() if index.startswith(writing.KEY)}
            found[who] = [dataset.values(f"{writing.KEY}.{path}") for path in paths], tags, indexes
        finally:
            fo.delete_dataset(dataset.name)
        assert set(clock.found) == set(writing.MEASURES)
        assert all(measured.seconds > 0 for measured in clock.found.values())
    assert found["plugin"] == found["set_values"]


@pytest.mark.parametrize("who", ["plugin", "set_values"])
def test_a_turn_leaves_no_dataset(plugin, who, capsys):
    import json

    import fiftyone as fo

    writing.main(["--here", who, "--samples", 20])
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told["samples"] == 20 and told["peak"] > 0 and set(told["measures"]) == set(writing.MEASURES)
    assert "elfs-bench-writing" not in fo.list_datasets()
