"""The engine that runs pieces as tasks on a Ray cluster, which may be this machine alone."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import pickle
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..contracts import Progress
from ..errors import EngineFailed, InvalidInput
from ..progress import silent
from .base import Crashed, Piece, Shared
from .cluster import Cluster, check_address
from .ray_errors import explained
from .shipping import library_of, packed, remote_bootstrap

if TYPE_CHECKING:
    import torch

PATIENCE_VARIABLE = "ELFS_RAY_PATIENCE"
PATIENCE = 600.0
"""Seconds without a result and without a sign of life, after which a job ends. A cluster that grows takes minutes."""
RETRIES = 2
"""Of a piece whose worker or node has died."""
AHEAD = 2
"""Pieces that are handed over for each processor."""
ITEMS_AT_ONCE = 2048
"""Items that one pool of workers is given: what is known of them is held in memory."""
SECONDS_BETWEEN_LOOKS = 0.25


class RayEngine:
    """Tasks and actors of Ray, see :class:`~.base.Engine`. Nothing is started before it is needed.

    Args:
        address: see :class:`~.cluster.Cluster`; whether it answers is seen when it is first needed

    Raises:
        InvalidInput: for an address that is none
    """

    name = "ray"
    distributed = True

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._cluster: Cluster | None = None
        self._ledger: Any = None
        self._shipped: Any = None
        self._patience = patience()
        check_address(address)

    def device(self, device: str | torch.device | None) -> torch.device:
        import torch

        if device in (None, "auto"):
            return torch.device("cuda" if self.gpus else "cpu")
        found = torch.device(device)
        if found.type == "cuda" and not self.gpus:
            raise InvalidInput(f"The device {str(device)!r} cannot be used: the Ray cluster has no GPU.", "device")
        return found

    def share(self, value: Any) -> Shared:
        ray = self._connect()
        with _explained():
            return Shared(ray.put(value))

    def run(
        self,
        pieces: Sequence[Piece],
        progress: Progress,
        *,
        workers: int = 1,
        threads: int | None = None,
        gpus: float = 0.0,
    ) -> Iterator[tuple[int, Any]]:
        made = self.attempt(pieces, progress, threads=threads, gpus=gpus, retries=RETRIES)
        with contextlib.closing(made):
            for index, result in made:
                if isinstance(result, Crashed):
                    raise EngineFailed(result.reason)
                yield index, result

    def attempt(
        self,
        pieces: Sequence[Piece],
        progress: Progress = silent,
        *,
        threads: int | None = None,
        gpus: float = 0.0,
        retries: int = 0,
    ) -> Generator[tuple[int, Any], None, None]:
        """As :meth:`run`, but a piece whose worker has died, and did so again ``retries`` times, gives a
        :class:`~.base.Crashed`."""
        ray = self._connect()
        threads = threads or _threads()
        remote = ray.remote(remote_bootstrap(ray).call).options(
            num_cpus=min(threads, self.widest), num_gpus=gpus, max_retries=retries
        )
        library, job = self._library(), uuid.uuid4().hex

        def submit(piece):
            payload, references = packed(ray, piece, threads=threads, job=job)
            return remote.remote(library, self._ledger, payload, *references)

        yield from self._tasks(submit, pieces, progress, AHEAD * self.cpus, job)

    def _tasks(self, submit, pieces, progress, most, job):
        """Hands over pieces by ``submit(piece)``, ``most`` at a time, and yields (index, result) of what comes back.

        Pieces that are left in the end are told to stop, and not cancelled by Ray: of a task that is just finished
        Ray 2.60 would end this process (a failed check in its task manager).
        """
        import ray

        todo = iter(enumerate(pieces))
        pending: dict[Any, int] = {}
        done, watch = 0, _Watch(self)
        try:
            while True:
                for index, piece in itertools.islice(todo, most - len(pending)):
                    pending[submit(piece)] = index
                if not pending:
                    return
                ready, _ = ray.wait(list(pending), num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)
                progress(done / len(pieces), f"{done:,} of {len(pieces):,} pieces, on Ray")
                for reference in ready:
                    index, result = pending.pop(reference), _result(reference)
                    done += 1
                    watch.heard()
                    yield index, result
                watch.look()
        finally:
            if pending:
                with contextlib.suppress(Exception):  # the cluster may have ended
                    self._ledger.stop.remote(job)

    def each(
        self,
        make: Piece,
        items: Sequence[tuple[int, Any]],
        progress: Callable[[], None],
        *,
        threads: int,
        gpus: float = 0.0,
    ) -> Generator[tuple[int, Any], None, None]:
        """Runs numbered items through workers that stay, and yields (number, result) of each as it comes.

        ``make`` gives the function that a worker calls with one item after the other; making it may take long. An item
        on which workers die again and again gives a :class:`~.base.Crashed`, one that raises its exception.

        Args:
            progress: called several times a second; when it raises, the workers end
            threads, gpus: of a worker

        Raises:
            EngineFailed: when the workers cannot go on
        """
        ray = self._connect()
        for at in range(0, len(items), ITEMS_AT_ONCE):
            job = uuid.uuid4().hex
            worker, references = packed(ray, make, threads=threads, job=job)
            assert not references
            given = {"worker": worker, "cpus": min(threads, self.widest), "gpus": gpus}
            try:
                yield from self._pool(dict(items[at : at + ITEMS_AT_ONCE]), given, threads, progress)
            finally:
                with contextlib.suppress(ray.exceptions.RayError):  # it may be gone
                    self._ledger.forget.remote(job)

    def _pool(self, left, given, threads, progress):
        """The items of one pool of workers, which is made anew when it fails as a whole."""
        ray = self._connect()
        runner = ray.remote(remote_bootstrap(ray).Runner).options(**self._here())
        for _ in range(RETRIES + 1):
            size = self._pool_size(len(left), threads, given["gpus"])
            rows = [(number, pickle.dumps(value)) for number, value in left.items()]
            payload = ray.cloudpickle.dumps({**given, "items": rows, "size": size})
            running = runner.remote()
            stream = running.each.options(num_returns="streaming").remote(self._library(), self._ledger, payload)
            try:
                for number, state, found in self._rows(stream, progress):
                    if left.pop(number, None) is not None:
                        yield number, _item(state, found)
                if not left:
                    return
                problem = EngineFailed("Ray Data has given too few results. What was finished is kept.")
            except ray.exceptions.RayError as error:
                problem = explained(error)
            finally:
                with contextlib.suppress(Exception):  # it may have ended meanwhile, and so may the cluster
                    ray.kill(running)
        raise problem

    def _rows(self, stream, progress):
        """What a streaming task yields, with a look at the watch and the progress in between."""
        import ray

        watch = _Watch(self)
        while True:
            ready, _ = ray.wait([stream], num_returns=1, timeout=SECONDS_BETWEEN_LOOKS, fetch_local=False)
            progress()
            if not ready:
                watch.look()
                continue
            try:
                reference = next(stream)
            except StopIteration:
                return
            yield ray.get(reference)
            watch.heard()

    def on_each_node(self, piece: Piece, progress: Progress = silent) -> dict[str, Any]:
        """What a piece returns on every node that has processors: its address and number -> result.

        Raises:
            EngineFailed: when a node does not answer
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray = self._connect()
        library, call = self._library(), ray.remote(remote_bootstrap(ray).call)
        job = uuid.uuid4().hex
        payload, references = packed(ray, piece, threads=1, job=job)

        def submit(node):
            strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            remote = call.options(num_cpus=0, max_retries=RETRIES, scheduling_strategy=strategy)
            return remote.remote(library, self._ledger, payload, *references)

        nodes, found = self._nodes(), {}
        for index, result in self._tasks(submit, nodes, progress, len(nodes), job):
            name = f"{nodes[index]['NodeManagerAddress']} ({nodes[index]['NodeID'][:6]})"
            if isinstance(result, Crashed):
                raise EngineFailed(f"The Ray node {name} cannot work. {result.reason}")
            found[name] = result
        return found

    @property
    def cpus(self) -> int:
        """Processors of the whole cluster."""
        return max(1, sum(int(node["Resources"].get("CPU", 0)) for node in self._nodes()))

    @property
    def gpus(self) -> int:
        """GPUs of the whole cluster."""
        return sum(int(node["Resources"].get("GPU", 0)) for node in self._nodes())

    def close(self) -> None:
        cluster, self._cluster, self._ledger, self._shipped = self._cluster, None, None, None
        if cluster is not None:
            cluster.close()

    def _connect(self):
        import ray

        if self._cluster is None:
            self._cluster = Cluster(self._address)
            options = {"max_restarts": RETRIES, "max_task_retries": RETRIES, **self._here()}
            self._ledger = ray.remote(remote_bootstrap(ray).Ledger).options(**options).remote()
        return ray

    def _here(self):
        """The ledger lives with the driver: the loss of another node does not concern it."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = ray.get_runtime_context().get_node_id()
        return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=True)}

    def _library(self):
        import ray

        assert self._cluster is not None
        if self._cluster.joined:
            if self._shipped is None:
                self._shipped = ray.put(library_of(nearby=False))
            return self._shipped
        return library_of(nearby=True)

    def _nodes(self):
        ray = self._connect()
        return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]

    @property
    def widest(self) -> int:
        """Processors of the largest node: no task can have more."""
        return max((int(node["Resources"]["CPU"]) for node in self._nodes()), default=1)

    def _pool_size(self, items, threads, gpus):
        by_gpu = int(self.gpus / gpus) if gpus else items
        return max(1, min(items, by_gpu, self.cpus // min(threads, self.widest)))

    def silence(self) -> float:
        """Seconds since a worker was last heard of."""
        import ray

        try:
            return ray.get(self._ledger.silence.remote(), timeout=30)
        except ray.exceptions.RayError:  # who would know is gone too
            return math.inf


class _Watch:
    """Ends a job that waits for workers which are no more, or never come."""

    def __init__(self, engine):
        self._engine, self._patience = engine, engine._patience
        self.heard()

    def heard(self):
        self._last = time.monotonic()

    def look(self):
        waited = time.monotonic() - self._last
        if waited < self._patience or self._engine.silence() < self._patience:
            return
        raise EngineFailed(
            f"For {waited:.0f} seconds no result has come from the Ray cluster, and none of its workers was at work. "
            "Check that it has free processors (`ray status`), and run it again: what was finished is kept."
        )


def patience() -> float:
    """Seconds that a job waits for a sign of life.

    Raises:
        InvalidInput: when ``ELFS_RAY_PATIENCE`` is no such number
    """
    text = os.environ.get(PATIENCE_VARIABLE)
    if not text:
        return PATIENCE
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return float(text)
    raise InvalidInput(f"{PATIENCE_VARIABLE} is '{text}'; it must be a number of seconds above 0.")


def _threads():
    import torch

    return torch.get_num_threads()


def _result(reference):
    """The result of a task; :class:`~.base.Crashed` where its process has died. Raises what the piece has raised."""
    import ray
    from ray import exceptions

    died = (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError)
    try:
        fine, value = ray.get(reference)
    except died as error:
        return Crashed(str(explained(error)))
    except exceptions.RayError as error:
        raise explained(error) from error
    if not fine:
        raise pickle.loads(value)
    return value


def _item(state, found):
    if state == "crashed":
        return Crashed("its worker died each time")
    return pickle.loads(found)


@contextlib.contextmanager
def _explained():
    from ray import exceptions

    try:
        yield
    except exceptions.RayError as error:
        raise explained(error) from error
