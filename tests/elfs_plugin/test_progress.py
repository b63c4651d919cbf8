import io

import pytest

from elfs_plugin.errors import Cancelled
from elfs_plugin.progress import Event, Reporter, TerminalBar, part, silent


class Terminal(io.StringIO):
    def isatty(self):
        return True


def event(stage="Training", overall=0.5, detail="", elapsed=3.0):
    return Event(stage, 1, 2, overall, overall, detail, elapsed)


def test_silent_accepts_any_report():
    assert silent(0.5) is None and silent(1.0, "detail") is None


def test_part_maps_a_fraction_into_its_piece():
    seen = []
    report = part(lambda fraction, detail="": seen.append((fraction, detail)), 0.2, 0.6)
    report(0.0)
    report(0.5, "half")
    report(1.0)
    assert seen == [(pytest.approx(0.2), ""), (pytest.approx(0.4), "half"), (pytest.approx(0.6), "")]


def test_label_names_the_stage_its_number_and_the_detail():
    assert event().label == "Training (1/2)"
    assert event(detail="epoch 3").label == "Training (1/2): epoch 3"


def test_stages_are_weighted_into_one_bar():
    events = []
    reporter = Reporter({"a": 1, "b": 3}, [events.append], interval=0)
    report = reporter.stage("a")
    report(0.5)
    report = reporter.stage("b")
    report(0.5, "half")
    reporter.done()
    # a is a quarter of the work: 0, 1/8; then b: 1/4, 1/4 + 3/8, 1.
    assert [e.overall for e in events] == [0.0, 0.125, 0.25, 0.625, 1.0]
    assert [(e.stage, e.step, e.steps) for e in events[:3]] == [("a", 1, 2), ("a", 1, 2), ("b", 2, 2)]
    assert events[3].detail == "half" and events[3].fraction == 0.5


def test_the_bar_never_goes_back_and_stays_within_bounds():
    events = []
    report = Reporter({"a": 1}, [events.append], interval=0).stage("a")
    for fraction in (0.7, 0.2, -1.0, 5.0):
        report(fraction)
    assert [e.overall for e in events] == [0.0, 0.7, 0.7, 0.7, 1.0]
    assert all(0 <= e.fraction <= 1 for e in events)


def test_skipping_a_stage_counts_it_as_done():
    events = []
    reporter = Reporter({"a": 1, "b": 1}, [events.append], interval=0)
    reporter.stage("b")
    assert events[0].overall == 0.5


def test_reports_within_the_interval_are_dropped_but_stage_changes_and_the_end_are_not():
    events = []
    reporter = Reporter({"a": 1, "b": 1}, [events.append], interval=3600)
    reporter.stage("a")(0.9)
    reporter.stage("b")(0.9)
    reporter.done()
    assert [(e.stage, e.overall) for e in events] == [("a", 0.0), ("b", 0.5), ("b", 1.0)]


def test_a_failing_sink_is_dropped_and_the_others_go_on():
    calls, events = [], []

    def broken(event):
        calls.append(event)
        raise OSError("the terminal has gone")

    report = Reporter({"a": 1}, [broken, events.append], interval=0).stage("a")
    report(0.5)
    report(1.0)
    assert len(calls) == 1 and len(events) == 3


def test_cancelling_stops_at_the_next_report():
    cancelled = False
    events = []
    reporter = Reporter({"a": 1}, [events.append], is_cancelled=lambda: cancelled, interval=0)
    report = reporter.stage("a")
    report(0.5)
    cancelled = True
    with pytest.raises(Cancelled, match="resumes"):
        report(0.6)
    assert events[-1].overall == 0.5


def test_done_is_not_cancelled_any_more():
    events = []
    reporter = Reporter({"a": 1}, [events.append], is_cancelled=lambda: True)
    reporter.done()
    assert events[-1].overall == 1.0


def test_terminal_bar_redraws_one_line():
    stream = Terminal()
    bar = TerminalBar(stream)
    bar(event(overall=0.25, detail="a long detail"))
    bar(event(overall=0.5))
    bar(event(overall=1.0))
    lines = stream.getvalue().split("\r")
    assert lines[1] == "[ 25%] Training (1/2): a long detail"
    assert lines[2].rstrip() == "[ 50%] Training (1/2)" and len(lines[2]) == len(lines[1])
    assert lines[3].rstrip() == "[100%] done in 3 s" and lines[3].endswith("\n")


def test_terminal_bar_writes_one_line_per_stage_into_a_file():
    stream = io.StringIO()
    bar = TerminalBar(stream)
    for overall in (0.0, 0.2, 0.4):
        bar(event("a", overall))
    bar(event("b", 0.5))
    bar(event("b", 1.0))
    assert stream.getvalue() == "[  0%] a (1/2)\n[ 50%] b (1/2)\n[100%] done in 3 s\n"
