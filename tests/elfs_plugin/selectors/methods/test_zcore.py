import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.selectors.engines.zcore.scores import zcore_scores
from elfs_plugin.selectors.methods.zcore import ZCore


def test_it_keeps_the_highest_scores(pool):
    selection = ZCore(draws=300, neighbors=20).run(pool, 12, seed=4)
    expected = zcore_scores(pool.embeddings, max_draws=18_000, neighbors=20, ids=pool.ids, seed=4).scores
    np.testing.assert_array_equal(selection.scores, expected)
    np.testing.assert_array_equal(selection.indices, np.argsort(-expected, kind="stable")[:12])
    assert "highest first" in selection.reasons[0]


def test_a_ranking_that_is_partly_chance_is_told(pool):
    assert "half-runs of ZCore correlate" in ZCore(draws=1, target=1).run(pool, 12).warnings[0]
    reached = ZCore(draws=300, target=0.1).run(pool, 12)
    assert reached.warnings == () and "half-runs of ZCore correlate" in reached.notes[0]


def test_settings_out_of_range():
    with pytest.raises(InvalidInput, match="target"):
        ZCore(target=0)
