import numpy as np

from elfs_plugin.order import Order


def test_rows_and_places_by_hand():
    order = Order(4, ["c", "a", "d", "b"])
    assert order.rows.tolist() == [1, 3, 0, 2] and order.place.tolist() == [2, 0, 3, 1]
    assert len(order) == 4 and order.sorted(np.array([2, 0, 1])).tolist() == [1, 0, 2]


def test_without_ids_rows_are_in_order():
    order = Order(3)
    assert order.rows.tolist() == order.place.tolist() == [0, 1, 2]
    assert order.sorted(np.array([2, 0])).tolist() == [0, 2]


def test_of_no_rows():
    assert len(Order(0)) == 0 and Order(2, [5, 4]).sorted(np.array([], dtype=np.int64)).tolist() == []
