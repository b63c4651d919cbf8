"""The engine 'ray' on a real cluster of this machine: the same results, and what happens when processes die."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from elfs_plugin.beta_search.search import search_beta
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster
from elfs_plugin.encoders.block_store import BlockStore
from elfs_plugin.encoders.embed import embed_images, load_encoder
from elfs_plugin.encoders.spread import POISONED, Recipe, lacks
from elfs_plugin.engine.base import Crashed, Piece
from elfs_plugin.engine.choose import current, using
from elfs_plugin.errors import Cancelled, EngineFailed, InvalidInput
from elfs_plugin.evaluation.methods import compare_methods
from elfs_plugin.evaluation.stability import stability
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.progress import silent
from elfs_plugin.proxy.config import ProxyConfig
from tests.elfs_plugin.engine import workers
from tests.few_steps import candidate_steps

pytestmark = pytest.mark.ray

N = 3000
RNG = np.random.default_rng(0)
LABELS = np.arange(N) % 5
VECTORS = (2 * np.eye(24)[LABELS] + RNG.normal(size=(N, 24))).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def _in_use(engine):
    pass


def here(function, *arguments, **options):
    with using("local"):
        return function(*arguments, **options)


def test_pieces_are_run_in_other_processes_and_read_shared_values(engine):
    assert current() is engine
    shared = engine.share(np.ones((100, 10)))
    pieces = [Piece(workers.total, (shared, number)) for number in range(6)]
    told = []
    found = dict(engine.run(pieces, lambda fraction, detail="": told.append(fraction), threads=1))
    assert found == {number: 1000.0 + number for number in range(6)}
    assert told == sorted(told) and all(0 <= fraction <= 1 for fraction in told)
    ((_, pid),) = engine.run([Piece(workers.process)], silent, threads=1)
    assert pid != os.getpid()


def test_what_is_larger_than_the_object_store_goes_to_the_disk(engine):
    shared = engine.share(np.ones(16 << 20))  # 128 of 100 MB
    assert list(engine.run([Piece(workers.total, (shared, 1))], silent, threads=1)) == [(0, float(1 + (16 << 20)))]


def test_what_a_piece_raises_is_raised_here(engine):
    with pytest.raises(ValueError, match="^told as it is$"):
        list(engine.run([Piece(workers.fails)], silent, threads=1))


def test_sigterm_is_handled_as_before_the_start(engine):
    # The cluster of this module was started when the first test needed it.
    assert list(engine.run([Piece(workers.process)], silent, threads=1))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_worker_without_a_package_is_told(engine, monkeypatch):
    from elfs_plugin.engine import bootstrap

    def call(*given):
        import not_there  # noqa: F401

    monkeypatch.setattr(bootstrap, "call", call)
    with pytest.raises(EngineFailed, match=r"lacks a package \(No module named 'not_there'\)"):
        list(engine.run([Piece(workers.process)], silent, threads=1))


@pytest.mark.parametrize("method", ["exact", "approximate"])
def test_neighbours_are_the_same_bits(method):
    ours, theirs = knn_graph(VECTORS, 10, method=method), here(knn_graph, VECTORS, 10, method=method)
    assert np.array_equal(ours.indices, theirs.indices)
    assert np.array_equal(ours.similarities, theirs.similarities)
    assert ours.recall == theirs.recall


def test_clusters_started_by_workers_are_the_same():
    graph = here(knn_graph, VECTORS, 10)
    config = ClusteringConfig(heads=4, min_steps=30, max_steps=30, warm_start_steps=10)
    ours, theirs = (call(cluster, VECTORS, graph, 5, config=config, device="cpu") for call in (_now, here))
    assert np.array_equal(ours.labels, theirs.labels)
    assert np.array_equal(ours.head_losses, theirs.head_losses)


def _now(function, *arguments, **options):
    return function(*arguments, **options)


def test_a_beta_search_on_embeddings_is_the_same():
    scores, options = RNG.normal(size=N), {"grid": [0.0, 0.2, 0.4], "config": ProxyConfig.mlp(steps=40)}
    ours, theirs = (call(search_beta, VECTORS, LABELS, scores, 600, device="cpu", **options) for call in (_now, here))
    assert np.array_equal(ours.accuracies, theirs.accuracies)
    assert (ours.chosen, ours.reason) == (theirs.chosen, theirs.reason)


def test_a_beta_search_on_images_is_the_same():
    images = RNG.integers(0, 255, (120, 3, 8, 8), dtype=np.uint8)
    labels, scores = np.arange(120) % 3, RNG.normal(size=120)
    options = {"grid": [0.0, 0.3], "repeats": 2, "config": ProxyConfig.of("resnet8", steps=4, batch_size=16)}
    ours, theirs = (call(search_beta, images, labels, scores, 40, device="cpu", **options) for call in (_now, here))
    assert np.array_equal(ours.accuracies, theirs.accuracies)


def test_stability_and_methods_choose_the_same(monkeypatch):
    config = ProxyConfig.mlp(epochs=2)
    ours, theirs = (
        call(stability, VECTORS, LABELS, 5, 300, 0.1, seeds=2, config=config, device="cpu") for call in (_now, here)
    )
    assert np.array_equal(ours.overlap, theirs.overlap) and np.array_equal(ours.chosen_by, theirs.chosen_by)
    candidate_steps(20, replace=monkeypatch.setattr)
    options = {"methods": ["ccs", "k_center", "d2"], "seeds": 2, "device": "cpu"}
    ours, theirs = (call(compare_methods, VECTORS[:400], LABELS[:400], [20], **options) for call in (_now, here))
    for own, other in zip(ours.chosen, theirs.chosen):
        assert [a.tolist() for a in own[0]] == [b.tolist() for b in other[0]]


def test_a_piece_whose_worker_is_killed_is_done_by_another(engine, tmp_path, until, pids):
    killed = []

    def kill():
        killed.extend(until(lambda: pids(tmp_path)))
        os.kill(killed[0], signal.SIGKILL)

    threading.Thread(target=kill).start()
    ((_, seen),) = engine.run([Piece(workers.waits, (str(tmp_path), 60))], silent, threads=1)
    assert seen == 1 and len(pids(tmp_path)) == 2


def test_a_piece_on_which_workers_die_each_time_ends_the_job_in_a_sentence(engine):
    with pytest.raises(EngineFailed, match="died again and again"):
        list(engine.run([Piece(workers.dies)], silent, threads=1))
    assert [type(result) for _, result in engine.attempt([Piece(workers.dies)], threads=1)] == [Crashed]


def test_vectors_are_the_same_when_a_worker_is_killed_in_the_middle_of_a_block(tmp_path, images, pids):
    theirs = here(embed_images, images, workers.Means(tmp_path))
    for file in tmp_path.iterdir():
        file.unlink()
    killed = []

    def kill(fraction, detail=""):
        if not killed and pids(tmp_path):
            killed.append(pids(tmp_path)[0])
            os.kill(killed[0], signal.SIGKILL)

    ours = embed_images(images, workers.Means(tmp_path, seconds=0.05), progress=kill)
    assert killed and len(set(pids(tmp_path)) - set(killed)) >= 1
    assert np.array_equal(ours.vectors, theirs.vectors)
    assert ours.failures == theirs.failures == {5: "file not found"}
    assert ours.provenance == theirs.provenance


def test_an_image_on_which_workers_die_is_listed_and_the_rest_goes_on(tmp_path, images):
    poisoned = [path if index != 3 else "" for index, path in enumerate(images)]
    theirs = here(embed_images, poisoned, workers.Means(tmp_path))  # as if it could not be read
    ours = embed_images(images, workers.Means(tmp_path, deadly=True), kept=tmp_path / "blocks")
    assert ours.failures == {3: POISONED, 5: "file not found"}
    assert np.array_equal(ours.vectors, theirs.vectors)
    store = BlockStore(tmp_path / "blocks", images, "means")
    assert [store.count(block) for block in (range(0, 256), range(256, 512))] == [None, 256]


def test_cancelling_ends_the_workers_and_keeps_what_was_finished(tmp_path, images, alive, until, pids):
    encoder, kept = workers.Means(tmp_path, seconds=0.02), tmp_path / "blocks"

    def cancel(fraction, detail=""):
        if fraction > 0.3:
            raise Cancelled()

    with pytest.raises(Cancelled):
        embed_images(images, encoder, kept=kept, progress=cancel)
    until(lambda: not any(alive(pid) for pid in pids(tmp_path)))
    blocks = [range(0, 256), range(256, 512), range(512, 600)]
    store = BlockStore(kept, images, encoder.identity)
    assert sum(store.count(block) is not None for block in blocks) >= 1


def test_a_cancelled_task_ends(engine, tmp_path, until, pids):
    def cancel(fraction, detail=""):
        if pids(tmp_path):
            raise Cancelled()

    with pytest.raises(Cancelled):
        list(engine.run([Piece(workers.waits, (str(tmp_path), 600))], cancel, threads=1))
    until(lambda: list(tmp_path.glob("*.ended")))


def test_without_a_result_and_a_worker_the_job_ends_in_a_sentence(engine, monkeypatch):
    monkeypatch.setattr(engine, "_patience", 1.0)
    start = time.monotonic()
    with pytest.raises(EngineFailed, match="no result has come from the Ray cluster, and none of its workers"):
        list(engine.run([Piece(workers.process)], silent, threads=1, gpus=1))  # there is no GPU
    assert time.monotonic() - start < 30


def test_an_encoder_that_fails_on_all_images_says_why(images):
    class Broken(workers.Means):
        def encode(self, batch):
            raise ValueError("a layer is missing")

    with pytest.raises(ValueError, match="a layer is missing"):
        embed_images(images[10:20], Broken("."))


def test_a_node_that_lacks_the_images_or_the_weights_is_named(engine, images):
    """Files that only this process sees: those that it has opened, by their numbers."""
    with open(images[0], "rb") as opened:
        os.dup2(opened.fileno(), 250)
        try:
            with pytest.raises(InvalidInput, match=r"node \S+ \(\w+\) lacks 1 of 2 image files .*/proc/self/fd/250"):
                embed_images([images[1], "/proc/self/fd/250"], "pixels")
            recipe = Recipe("timm:resnet18", "/proc/self/fd/250", None, "cpu", None, load_encoder)
            assert list(engine.on_each_node(Piece(lacks, (recipe, []))).values()) == [
                ["the weights file /proc/self/fd/250"]
            ]
        finally:
            os.close(250)
