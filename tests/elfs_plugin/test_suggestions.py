from elfs_plugin.suggestions import did_you_mean


def test_the_closest_name():
    assert did_you_mean("bugdet", ["budget", "beta"]) == " Did you mean 'budget'?"
    assert did_you_mean("CCS", ["ccs", "d2"]) == " Did you mean 'ccs'?"
    for nothing in ("banana", 5, None, ["budget"], ""):
        assert did_you_mean(nothing, ["budget", "beta"]) == ""
