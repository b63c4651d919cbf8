import numpy as np
import pytest

from elfs_plugin.selectors.candidates import Candidates
from elfs_plugin.selectors.engines.heap_greedy import heap_greedy


class Sets:
    """How many elements that no chosen set has, by hand."""

    def __init__(self, *sets):
        self._sets, self._covered, self.asked = [set(s) for s in sets], set(), 0

    def bounds(self):
        return np.array([len(s) for s in self._sets], dtype=float)

    def gain(self, j):
        self.asked += 1
        return float(len(self._sets[j] - self._covered))

    def add(self, j):
        self._covered |= self._sets[j]


def all_open(n, budget):
    return Candidates(np.ones(n, dtype=bool), budget)


def test_the_largest_gain_first_ties_to_the_lowest_key():
    sets = "abcd", "cde", "ab", "xy", "xy"
    found, gains = heap_greedy(Sets(*sets), 4, all_open(5, 4))
    assert found.tolist() == [0, 3, 1, 2]  # 4, then 2, then e of the second, then nothing new
    assert gains[[0, 3, 1, 2]].tolist() == [4, 2, 1, 0]
    by_key, _ = heap_greedy(Sets(*sets), 2, all_open(5, 2), keys=np.array([0, 1, 2, 4, 3]))
    assert by_key.tolist() == [0, 4]


def test_only_the_top_is_looked_at_again():
    objective = Sets(*["abcdefgh"], *("ij" for _ in range(100)))
    heap_greedy(objective, 1, all_open(101, 1))
    assert objective.asked == 1


def test_it_stops_where_nothing_is_gained():
    found, _ = heap_greedy(Sets("ab", "b", "c"), 3, all_open(3, 3), least=0.0)
    assert found.tolist() == [0, 2]


def test_it_tells_how_far_it_is_and_can_be_stopped_there(monkeypatch):
    from elfs_plugin.errors import Cancelled
    from elfs_plugin.selectors.engines import heap_greedy as engine

    monkeypatch.setattr(engine, "_REPORT", 3)
    told = []
    heap_greedy(Sets(*"abcdefgh"), 6, all_open(8, 6), progress=lambda fraction, detail: told.append(fraction))
    assert told == sorted(told) and len(told) == 2

    def stop(fraction, detail):
        raise Cancelled()

    with pytest.raises(Cancelled):
        heap_greedy(Sets(*"abcdefgh"), 6, all_open(8, 6), progress=stop)


def test_rows_name_the_candidates():
    candidates = all_open(10, 2)
    candidates.take(8)
    found, _ = heap_greedy(Sets("abc", "ab", "x"), 2, candidates, rows=np.array([8, 5, 3]))
    assert found.tolist() == [1, 2] and not candidates.open[[5, 3]].any()
