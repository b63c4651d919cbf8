"""A running job in words."""

import pytest


@pytest.fixture
def progress(plugin):
    return plugin("panels.progress")


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (80, "1 min 20 s"),
        (930, "15 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(progress, seconds, text):
    assert progress.duration(seconds) == text


def test_time_taken_and_left(progress):
    job = {"overall": 0.25, "label": "Scores (2/3): step 1", "operation": "Running ELFS", "started": 1000.0}
    assert progress.progress_text(job, now=1040.0) == "25% · Scores (2/3): step 1 · 40 s so far, about 2 min left"
    early = {**job, "overall": 0.01}
    assert progress.progress_text(early, now=1040.0) == "1% · Scores (2/3): step 1 · 40 s so far"
    assert progress.progress_text({**job, "label": None}, now=1000.0) == "25% · Running ELFS · 0 s so far"
