"""Which engine is taken, and what is refused before anything is started."""

import socket
import sys

import numpy as np
import pytest

from elfs_plugin.engine import choose, cluster, names
from elfs_plugin.engine.base import Piece
from elfs_plugin.engine.choose import current, using
from elfs_plugin.engine.local import LocalEngine
from elfs_plugin.errors import InvalidInput
from elfs_plugin.progress import silent


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("ELFS_ENGINE", "ELFS_RAY_ADDRESS", "ELFS_RAY_PATIENCE", "ELFS_RAY_CPUS", "ELFS_RAY_STORE_MB"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def without_ray(monkeypatch):
    monkeypatch.setattr(names.importlib.util, "find_spec", lambda name: None)


def test_threads_unless_something_else_is_said(monkeypatch):
    assert current().name == "local" and not current().distributed
    with using() as engine:
        assert engine is current() is choose.LOCAL
    monkeypatch.setenv("ELFS_ENGINE", "local")
    with using() as engine:
        assert engine.name == "local"


def test_the_environment_is_the_default_and_a_block_goes_before_it(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("ELFS_ENGINE", "ray")
    with using() as engine:
        assert engine.name == "ray" and engine._cluster is None  # nothing is started before it is needed
        with using() as inner:
            assert inner is engine
        with using("local"):
            assert current().name == "local"
        assert current() is engine
    assert current().name == "local"


def test_an_engine_that_is_given_stays_open():
    class Mine(LocalEngine):
        closed = False

        def close(self):
            self.closed = True

    mine = Mine()
    with using(mine):
        assert current() is mine
    assert not mine.closed


def test_ray_that_is_missing(without_ray):
    assert names.available() == ["local"]
    with pytest.raises(InvalidInput, match=r'pip install "ray\[data\]"') as caught, using("ray"):
        pass
    assert caught.value.field == "engine"


@pytest.mark.parametrize(
    "engine, address, message",
    [
        ("rai", None, "Unknown engine 'rai'. Use one of: local, ray. Did you mean 'ray'?"),
        ("local", "1.2.3.4:6379", "An address is for the engine 'ray'"),
        ("ray", "ray://1.2.3.4:10001", "HOST:PORT of its head"),
        ("ray", "somewhere", "is HOST:PORT or 'auto', not 'somewhere'"),
    ],
)
def test_what_cannot_be(engine, address, message):
    pytest.importorskip("ray")
    with pytest.raises(InvalidInput) as caught, using(engine, address):
        pass
    assert message in str(caught.value)


def test_an_address_at_which_nobody_listens_is_refused_when_it_is_needed():
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InvalidInput, match=f"The Ray cluster at {address} does not answer"):
            with using("ray", address) as engine:
                used = engine
                assert engine._cluster is None  # work that does not need it, does not wait for it
                engine.share(1)
        assert used._cluster is None


def test_in_the_apps_own_process_ray_is_refused_and_the_environments_not_taken(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/somewhere/fiftyone/server/main.py", raising=False)
    with pytest.raises(InvalidInput, match="Schedule the operator"), using("ray"):
        pass
    monkeypatch.setenv("ELFS_ENGINE", "ray")
    with using() as engine:
        assert engine.name == "local"


def test_the_object_store_is_a_share_of_what_is_free(monkeypatch):
    free = cluster.psutil.virtual_memory().available
    assert cluster.LEAST_STORE <= cluster.store_bytes() <= max(cluster.LEAST_STORE, free)
    monkeypatch.setenv("ELFS_RAY_STORE_MB", "200")
    assert cluster.store_bytes() == 200 << 20
    monkeypatch.setenv("ELFS_RAY_STORE_MB", "much")
    with pytest.raises(InvalidInput, match="ELFS_RAY_STORE_MB is 'much'"):
        cluster.store_bytes()


def test_patience_is_a_number_of_seconds(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("ELFS_RAY_PATIENCE", "soon")
    with pytest.raises(InvalidInput, match="ELFS_RAY_PATIENCE is 'soon'"), using("ray"):
        pass


@pytest.mark.parametrize(
    "kind, message",
    [
        ("ObjectStoreFullError", "object store is full. Give it more memory"),
        ("OutOfDiskError", "disk of a Ray node is full"),
        ("WorkerCrashedError", "died again and again"),
        ("NodeDiedError", "A node of the Ray cluster is gone"),
        ("RaySystemError", "Ray failed"),
    ],
)
def test_what_ray_raises_is_told_in_a_sentence(kind, message):
    exceptions = pytest.importorskip("ray.exceptions")
    from elfs_plugin.engine.ray_errors import explained

    error = getattr(exceptions, kind)("somewhere")
    assert message in str(explained(error)) and "What was finished is kept." in str(explained(error))


def test_local_pieces_are_called_with_shared_values():
    engine = LocalEngine()
    shared = engine.share(np.arange(4))
    pieces = [Piece(lambda values, number, report: values[number], (shared, number)) for number in range(4)]
    for count in (1, 2):
        assert sorted(engine.run(pieces, silent, workers=count)) == [(n, n) for n in range(4)]
