import pytest

from tests.helpers import make_pool


@pytest.fixture
def pool():
    return make_pool()
