"""What a worker's process tells the ledger."""

import types

import pytest

from elfs_plugin.engine import worker
from elfs_plugin.errors import Cancelled


class Ledger:
    def __init__(self, stopped):
        self.beats = 0
        self.beat = types.SimpleNamespace(remote=lambda: self._beat(stopped))

    def _beat(self, stopped):
        self.beats += 1
        return stopped


def test_a_process_that_works_for_another_engine_listens_to_its_ledger(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "get", lambda value, timeout: value)
    monkeypatch.setattr(worker, "_beating", object())  # beats come from this test
    monkeypatch.setattr(worker, "_stopped", set())
    monkeypatch.setattr(worker, "_ledger", None)
    first, second = Ledger({"a"}), Ledger({"b"})
    for ledger in (first, second):
        with worker.at_work(ledger):
            worker._tell()
    assert (first.beats, second.beats) == (1, 1)
    with pytest.raises(Cancelled):
        worker._report("b", 0.5)
    worker._report("c", 0.5)
