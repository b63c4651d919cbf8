import pytest


@pytest.fixture(autouse=True, scope="module")
def _quick(quick_clustering):
    """All runs cluster in a few steps."""
