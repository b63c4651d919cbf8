from benchmarks.out_of_core import exceeded


def test_memory_above_a_formula_is_told_beside_what_the_process_had():
    stages = {"neighbors": {"bytes": 150, "formula": 100}, "beta": {"bytes": 151, "formula": 100}}
    assert exceeded([{"rows": 300, "begun": 50, "stages": stages}]) == [(300, "beta")]
