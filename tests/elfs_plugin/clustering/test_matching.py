import numpy as np

from elfs_plugin.clustering.matching import matching


def test_the_largest_total_counts():
    # Row 0 meets column 1 most, but giving it column 0 leaves more in all: 4 + 5 > 6 + 1.
    assert matching([[4, 6], [1, 5]]).tolist() == [0, 1]


def test_every_row_is_given_its_column():
    # Three in a ring: row 0 meets column 2, row 1 column 0, row 2 column 1.
    assert matching(np.array([[0, 1, 9], [9, 0, 1], [1, 9, 0]])).tolist() == [2, 0, 1]


def test_more_rows_than_columns_and_fewer():
    assert matching([[3, 0], [5, 1], [0, 2]]).tolist() == [-1, 0, 1]
    assert matching([[3, 0, 7]]).tolist() == [2]
