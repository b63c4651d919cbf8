import pytest


@pytest.fixture
def lately(plugin):
    return plugin("operators.lately")


def test_it_counts_once_within_some_seconds(lately):
    counted, clock = [], [100.0]

    def count():
        counted.append(len(counted))
        return counted[-1]

    def asked(name):
        return lately.lately(name, count, now=lambda: clock[0])

    assert [asked("a test"), asked("a test"), asked("another test")] == [0, 0, 1]
    clock[0] += lately.SECONDS
    assert asked("a test") == 2


def test_it_forgets_the_oldest(lately):
    for number in range(2 * lately._MOST):
        lately.lately(("many", number), lambda: 1)
    assert len(lately._found) == lately._MOST and ("many", 0) not in lately._found
