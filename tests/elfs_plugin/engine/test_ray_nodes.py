"""A cluster of two nodes, joined by its address; the second node goes."""

import tempfile

import numpy as np
import pytest

from elfs_plugin.encoders.embed import embed_images
from elfs_plugin.engine.base import Piece
from elfs_plugin.engine.choose import using
from elfs_plugin.errors import InvalidInput
from elfs_plugin.progress import silent
from tests.elfs_plugin.engine import workers

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """(the cluster, its second node); copies of the library go to a temporary folder."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    ray.cloudpickle.register_pickle_by_value(workers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", tempfile.gettempdir())  # names of sockets have 107 characters at most
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("library")))
        memory = {"num_cpus": 1, "object_store_memory": 100 << 20}
        cluster = Cluster(initialize_head=True, head_node_args={**memory, "include_dashboard": False})
        second = cluster.add_node(**memory)
        yield cluster, second
        cluster.shutdown()


def test_another_version_of_ray_is_refused_with_both(nodes, monkeypatch):
    import ray

    there = ray.__version__
    monkeypatch.setattr(ray, "__version__", "2.1.0")
    with pytest.raises(InvalidInput, match=rf"runs Ray {there} with Python .*this process Ray 2\.1\.0") as caught:
        with using("ray", nodes[0].address) as engine:
            engine.share(1)
    assert caught.value.field == "address"
    assert not ray.is_initialized()


def test_nothing_is_lost_when_a_node_goes(nodes, images, tmp_path, pids):
    cluster, second = nodes
    theirs = embed_images(images, workers.Means(tmp_path))
    for file in tmp_path.iterdir():
        file.unlink()
    gone = []

    def remove(fraction, detail=""):
        if not gone and len(pids(tmp_path)) == 2:
            gone.append(cluster.remove_node(second, allow_graceful=False))

    with using("ray", cluster.address) as engine:
        assert engine.cpus == 2 and engine.widest == 1
        assert len(engine.on_each_node(Piece(workers.process))) == 2
        ours = embed_images(images, workers.Means(tmp_path, seconds=0.1), progress=remove)
        assert gone and engine.cpus == 1
    assert np.array_equal(ours.vectors, theirs.vectors)
    assert ours.failures == theirs.failures


def test_a_cluster_that_was_joined_is_left_as_it_was(nodes):
    import ray

    with using("ray", nodes[0].address) as engine:
        assert engine.cpus >= 1
    assert not ray.is_initialized()
    for _ in range(2):  # an engine that was closed connects again, and sends the library again
        assert len(list(engine.run([Piece(workers.process)], silent, threads=1))) == 1
        engine.close()
