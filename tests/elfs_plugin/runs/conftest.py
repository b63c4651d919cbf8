import pytest


@pytest.fixture(autouse=True, scope="module")
def _quick(quick_clustering):
    """All runs cluster in a few steps."""


@pytest.fixture(scope="module")
def finished(new_dataset):
    """A dataset with a finished run 'elfs' of 80 digits, to be read only; and the run's summary."""
    from elfs_plugin import runs

    dataset = new_dataset()
    summary = runs.run_elfs(dataset, num_clusters=5, budget=20, tag="coreset", view_name="Coreset")
    return dataset, summary
