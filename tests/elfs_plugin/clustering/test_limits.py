import math

import numpy as np
import pytest

from elfs_plugin.clustering.limits import suggested_clusters, validate_num_clusters
from elfs_plugin.errors import InvalidInput


@pytest.mark.parametrize(
    ("num_clusters", "message"),
    [
        (1, "between 2 and 10, not 1"),
        (0, "between 2 and 10, not 0"),
        (-3, "between 2 and 10, not -3"),
        (11, "10 samples cannot fill 11 clusters. Choose between 2 and 10"),
        (2.5, "whole number, not 2.5"),
        (3.0, "whole number, not 3.0"),
        (math.nan, "whole number, not nan"),
        (True, "whole number, not True"),
        (None, "whole number, not None"),
        ("three", "whole number, not three"),
    ],
)
def test_invalid_numbers_of_clusters(num_clusters, message):
    with pytest.raises(InvalidInput, match=message) as error:
        validate_num_clusters(num_clusters, 10)
    assert error.value.field == "num_clusters"


@pytest.mark.parametrize("num_clusters", [2, 10, np.int64(5)])
def test_valid_numbers_of_clusters(num_clusters):
    assert validate_num_clusters(num_clusters, 10) is None


@pytest.mark.parametrize(("n", "suggested"), [(0, 2), (3, 2), (20, 4), (49, 9), (50, 10), (1_000_000, 10)])
def test_a_number_to_start_with(n, suggested):
    assert suggested_clusters(n) == suggested
