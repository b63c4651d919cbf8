import numpy as np

from elfs_plugin.selectors import Pool

IDS = np.array(["c", "a", "b"])


def test_what_is_free_is_known_of_every_pool():
    assert Pool(IDS).free.tolist() == [True, True, True]
    assert Pool(IDS, locked=np.array(["b"])).free.tolist() == [True, True, False]
    assert Pool(IDS, locked=np.array([True, False, False]), excluded=np.array(["a"])).free.tolist() == [
        False,
        False,
        True,
    ]
