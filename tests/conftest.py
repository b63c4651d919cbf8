"""FiftyOne for the tests alone: own database and plugins folder, no network; imported by the tests that need it only.

``pytest -m "not mongo"`` runs the arithmetic: neither FiftyOne nor MongoDB is started, and importing FiftyOne fails.
"""

import asyncio
import atexit
import contextlib
import gc
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from faults.mongod import Mongod
from tests import few_steps
from tests.few_steps import PLUGIN
from tests.helpers import datasets_of

gc.disable()  # until everything is imported, see pytest_collection_finish
TESTS = Path(__file__).resolve().parent
PROCESS = os.getpid()
HOME = Path(tempfile.mkdtemp(prefix="elfs-tests-"))
MEMORY = Path("/dev/shm")
"""A disk in memory, on Linux: there MongoDB need not wait for a real one, which saves a tenth of the time."""
LEAST_MEMORY = 4 << 30
(HOME / "plugins").mkdir()
(HOME / "plugins" / "elfs").symlink_to(TESTS.parent)
os.environ.update(
    FIFTYONE_DATABASE_NAME=f"elfs_test_{PROCESS}",
    FIFTYONE_DATABASE_VALIDATION="false",
    FIFTYONE_DO_NOT_TRACK="true",
    FIFTYONE_PLUGINS_DIR=str(HOME / "plugins"),
    FIFTYONE_SHOW_PROGRESS_BARS="false",
    ELFS_HOME=str(HOME / "elfs"),
    HF_HUB_OFFLINE="1",
)

MONGO = ("elfs_plugin/runs", "elfs_plugin/cli/test_demo.py", "elfs_plugin/cli/test_commands.py", "operators", "panels")
"""What imports FiftyOne as soon as it is read. Elsewhere the fixtures of a test say whether it needs FiftyOne."""


def pytest_configure(config):
    config.addinivalue_line("markers", "mongo: needs FiftyOne with its MongoDB")
    config.addinivalue_line("markers", "ray: starts a Ray cluster on this machine")
    config.addinivalue_line("markers", "app: needs the App in a browser, and MongoDB")
    if _without_mongo(config):
        sys.modules["fiftyone"] = None  # so that arithmetic that imports it fails
    elif not _only_hands_out(config) and "FIFTYONE_DATABASE_URI" not in os.environ:
        # FiftyOne shares the MongoDB that another process has started by it, and which that one may end: the user's, or
        # that of other tests.
        server = Mongod(_mongo_folder())
        atexit.register(server.stop)  # called before what was registered earlier, and after what comes later
        os.environ["FIFTYONE_DATABASE_URI"] = server.uri


def pytest_ignore_collect(collection_path, config):
    return True if _without_mongo(config) and _in_mongo(collection_path) else None


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    for item in items:
        if _in_mongo(item.path) or {"plugin", "new_dataset"} & set(item.fixturenames):
            item.add_marker("mongo")
        if "app_url" in item.fixturenames:
            item.add_marker("app")
        item.add_marker(pytest.mark.xdist_group(_group_of(item)))
    items.sort(key=lambda item: _length_of(_group_of(item)))


LONGEST = ("app", "label_studio", "ray")
"""The groups that take longest begin first, so that at the end no process waits for another."""


def _length_of(group):
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)


def _group_of(item):
    """The tests that run in one process: those of a module or class share its fixtures. Two browsers on two cores wait
    for each other, and so would two servers of Label Studio, or two clusters of Ray."""
    if item.get_closest_marker("ray"):
        return "ray"
    for fixture, name in (("app_url", "app"), ("label_studio", "label_studio")):
        if fixture in item.fixturenames:
            return name
    return item.parent.nodeid


@contextlib.contextmanager
def _no_event_loop(item):
    """A browser that was opened in this process leaves its event loop running, in which FiftyOne's executor returns a
    task. Tests without a browser see no loop."""
    if "app_url" in item.fixturenames:
        yield
        return
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    with _no_event_loop(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    with _no_event_loop(item):
        return (yield)


def pytest_collection_finish(session):
    """What the imports have made lives to the end: the garbage collector need not look at all of it again and again."""
    if hasattr(session.config, "workerinput") and session.items and "@" not in session.items[0].nodeid:
        raise pytest.UsageError("This pytest and this pytest-xdist together do not keep the tests of a group together.")
    gc.enable()
    gc.freeze()


def _only_hands_out(config):
    """Whether this process runs no tests, but hands them out to others."""
    return bool(getattr(config.option, "numprocesses", None)) and not hasattr(config, "workerinput")


def _without_mongo(config):
    return "not mongo" in config.option.markexpr


def _in_mongo(path):
    return any(path.is_relative_to(TESTS / place) for place in MONGO)


def _mongo_folder():
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= LEAST_MEMORY:
        return MEMORY / HOME.name / "mongo"
    return HOME / "mongo"


def pytest_sessionfinish():
    if sys.modules.get("fiftyone"):  # the database may be in a MongoDB of the user's, FIFTYONE_DATABASE_URI
        from fiftyone.core import odm

        odm.drop_database()


@atexit.register  # before FiftyOne is imported, hence called after FiftyOne has left its database
def _clean_up():
    if os.getpid() == PROCESS:  # not a fork
        shutil.rmtree(HOME, ignore_errors=True)
        shutil.rmtree(MEMORY / HOME.name, ignore_errors=True)


@pytest.fixture(scope="session")
def plugin():
    """Imports a module of the plugin by the name it has inside FiftyOne: ``plugin("elfs_plugin.runs")``."""
    import fiftyone.operators as foo

    assert foo.operator_exists("@elfs/coreset/run_elfs")
    return lambda module: importlib.import_module(f"{PLUGIN}.{module}")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The threads of such small networks wait for each other longer than they compute, above all on a busy machine.

    Tests that are about threads ask for more.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def quick_clustering(plugin):
    """Runs cluster and search β in few steps."""
    with few_steps.few_steps():
        yield


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Paths of scikit-learn's 1,797 digits as PNG files, their digits in the file names."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    data = load_digits()
    paths = []
    for index, (image, digit) in enumerate(zip(data.images, data.target)):
        paths.append(folder / f"{index:04}_{digit}.png")
        Image.fromarray((image * 15).astype(np.uint8)).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def new_dataset(digits):
    """A factory of datasets of digits, see :func:`~tests.helpers.datasets_of`; deleted after the module."""
    with datasets_of(digits) as make:
        yield make


@pytest.fixture(scope="session")
def finished(digits, plugin):
    """A dataset with a finished run 'elfs' of 80 digits, to be read only, by all tests; and the run's summary."""
    from elfs_plugin import runs

    with datasets_of(digits) as make:
        dataset = make()
        with few_steps.few_steps():
            summary = runs.run_elfs(dataset, num_clusters=5, budget=20, tag="coreset", view_name="Coreset")
        yield dataset, summary


@pytest.fixture
def dataset(new_dataset):
    """A fresh dataset of 80 digits."""
    found = new_dataset()
    yield found
    if not found.deleted:
        found.delete()


@pytest.fixture
def written(new_written):
    """A dataset with a run, see :func:`new_written`, and the ids in order of rank."""
    return new_written()


@pytest.fixture
def new_written(new_dataset):
    """A factory of datasets of 12 (or so many) digits with a run 'elfs' whose values are plain to see. It returns the
    dataset and the ids in order of rank.

    Sample i has the AUM i - 6, hence the rank i; it is in cluster 2 (even) or cluster 10 (odd); its neighbours are the
    samples i + 1, i + 2, i + 3 (from the start again after the last), 0.99, 0.9 and 0.8 similar.
    """
    import fiftyone as fo

    from elfs_plugin.runs import fields, graph, journal, ranking, record

    def make(n=12):
        dataset = new_dataset(n)
        ids = dataset.values("id")
        run = record.RunRecord("elfs", owns_field=True, embeddings_field="vectors")
        rows = np.arange(n)
        dataset.add_sample_field("vectors", fo.VectorField)
        dataset.set_values("vectors", list(np.eye(2)[rows % 2] + 0.01 * rows[:, None]))
        run.stages = {
            "pseudo_labels": {"clusters": 2, "labelled": n, "since": time.time()},
            "scores": {"score": "aum", "scored": n, "proxy": {}},
        }
        ranking.new_ranking(run)
        near = (rows[:, None] + np.array([1, 2, 3])) % n
        run.graph = graph.save(record.run_folder(dataset, "elfs"), ids, near, np.tile([0.99, 0.9, 0.8], (n, 1)))
        scores = SimpleNamespace(**{name: np.zeros(n) for name in fields.SCORES} | {"aum": rows - 6.0})
        draft = journal.Draft(results={"histogram": {"counts": [n]}, "failures": {}})
        draft.put(*fields.label_columns("elfs", ids, np.where(rows % 2, 10, 2), rows / n, np.ones(n)))
        draft.put(*fields.score_columns("elfs", ids, scores, rows))
        draft.step("indexes")
        journal.publish(dataset, run, draft)
        return dataset, ids

    return make


@pytest.fixture
def bad_files(tmp_path):
    """Files that cannot be read as images -> a word of the reason that is given for each."""
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    whole = tmp_path / "whole.jpg"
    Image.fromarray(noise).save(whole)
    content = whole.read_bytes()
    files = {
        "corrupt.png": (b"\x89PNG\r\n\x1a\n" + bytes(range(200)), "image"),
        "truncated.jpg": (content[: len(content) // 2], "truncated"),
        "empty.png": (b"", "empty"),
        "missing.png": (None, "not found"),
        "text.png": (b"this is a text file", "not an image"),
    }
    for name, (data, _) in files.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    return {str(tmp_path / name): reason for name, (_, reason) in files.items()}


@pytest.fixture
def without_rights():
    """A block in which permissions of files count, also for root, whom they do not stop otherwise."""

    @contextlib.contextmanager
    def become():
        root = os.geteuid() == 0
        if root:
            os.setegid(65534)
            os.seteuid(65534)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)
                os.setegid(0)

    return become


@pytest.fixture
def open_folder():
    """A temporary folder that every user may enter and read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
        for path in Path(folder).rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)


Written = namedtuple("Written", "schema indexes tags saved_views runs app_config info stores")


@pytest.fixture(scope="session")
def state_of():
    """A function from a dataset to everything on it that a run could change, to be compared before and after."""
    import fiftyone.operators.store as foos

    def read(dataset):
        dataset.reload()
        stores = {
            name: sorted(foos.ExecutionStore.create(name, dataset_id=dataset._doc.id).list_keys()) for name in ("elfs",)
        }
        schema = {path: str(kind) for path, kind in dataset.get_field_schema(flat=True).items()}
        return Written(
            schema,
            sorted(dataset.list_indexes()),
            sorted(dataset.count_sample_tags().items()),
            sorted(dataset.list_saved_views()),
            sorted(dataset.list_runs()),
            dataset.app_config.to_dict(),
            dict(dataset.info),
            stores,
        )

    return read


@pytest.fixture(scope="session")
def label_studio():
    """A real Label Studio, see :class:`~tests.label_studio.LabelStudioServer`."""
    from tests.label_studio import label_studio_server

    with label_studio_server() as server:
        yield server
