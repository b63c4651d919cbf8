import subprocess
import sys
import threading
import time

import pytest

from elfs_plugin.engine import in_threads as threads
from elfs_plugin.engine.in_threads import in_threads
from elfs_plugin.errors import Cancelled
from elfs_plugin.progress import silent


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(threads, "SECONDS_BETWEEN_REPORTS", 0.001)


def test_every_result_with_its_index():
    calls = [lambda report, n=n: n * n for n in range(10)]
    assert sorted(in_threads(calls, 3, silent)) == [(n, n * n) for n in range(10)]
    assert list(in_threads([], 2, silent)) == []


def test_as_many_at_once_as_there_are_workers():
    meet = threading.Barrier(2)
    assert len(list(in_threads([lambda report: meet.wait(10)] * 4, 2, silent))) == 4
    running, most = [], []

    def alone(report):
        running.append(1)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()

    list(in_threads([alone] * 3, 1, silent))
    assert most == [1, 1, 1]


def test_progress_is_the_mean_and_comes_from_the_calling_thread():
    told, half = [], threading.Event()

    def progress(fraction, detail=""):
        told.append((fraction, detail, threading.get_ident()))
        if fraction == 0.25:
            half.set()

    def first(report):
        report(0.5, "half of the first")
        assert half.wait(10)

    list(in_threads([first, lambda report: None], 1, progress))
    assert (0.25, "half of the first", threading.get_ident()) in told
    fractions = [fraction for fraction, *_ in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert {ident for *_, ident in told} == {threading.get_ident()}


def until_stopped(ended):
    def call(report):
        try:
            while True:
                report(0.1)
                time.sleep(0.001)
        except Cancelled:
            ended.append(1)
            raise

    return call


def test_cancelling_ends_all_of_them_before_it_is_raised():
    ended = []

    def cancel(fraction, detail=""):
        if fraction > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(in_threads([until_stopped(ended)] * 5, 2, cancel))
    assert 1 <= len(ended) <= 2  # those that had begun


def test_leaving_the_loop_ends_the_others():
    ended = []
    for found in in_threads([lambda report: "first", *[until_stopped(ended)] * 3], 2, silent):
        assert found == (0, "first")
        break
    assert len(ended) <= 2


def test_a_process_that_ends_does_not_wait_for_them():
    script = (
        "import threading, time\n"
        "from elfs_plugin.engine.in_threads import in_threads\n"
        "calls = [lambda report: time.sleep(60)] * 4\n"
        "threading.Thread(target=lambda: list(in_threads(calls, 2, print)), daemon=True).start()\n"
        "time.sleep(0.1)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=30).returncode == 0


def test_an_error_ends_the_others_and_is_raised():
    ended = []

    def broken(report):
        time.sleep(0.02)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(in_threads([until_stopped(ended), broken], 2, silent))
    assert ended == [1]


def test_no_more_results_wait_than_there_is_room_for():
    made = []
    found = in_threads([lambda report, n=n: made.append(n) for n in range(100)], 2, silent)
    next(found)
    time.sleep(0.2)
    assert len(made) <= 2 * threads.AHEAD + 1
    assert len(list(found)) == 99 and len(made) == 100
