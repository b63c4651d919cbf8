"""FiftyOne for the tests alone: own database and plugins folder, no network; set before FiftyOne is imported."""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

REPOSITORY = Path(__file__).resolve().parent.parent
HOME = Path(tempfile.mkdtemp(prefix="elfs-tests-"))
(HOME / "plugins").mkdir()
(HOME / "plugins" / "elfs").symlink_to(REPOSITORY)
os.environ.update(
    FIFTYONE_DATABASE_NAME=f"elfs_test_{os.getpid()}",
    FIFTYONE_DATABASE_VALIDATION="false",
    FIFTYONE_DO_NOT_TRACK="true",
    FIFTYONE_PLUGINS_DIR=str(HOME / "plugins"),
    FIFTYONE_SHOW_PROGRESS_BARS="false",
    ELFS_HOME=str(HOME / "elfs"),
    HF_HUB_OFFLINE="1",
)

import importlib  # noqa: E402
from collections import namedtuple  # noqa: E402

import fiftyone as fo  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from tests.few_steps import shorten  # noqa: E402

PLUGIN = "fiftyone.plugins.orgs.elfs.coreset"
"""The package name under which FiftyOne imports this repository."""


def pytest_sessionfinish():
    from fiftyone.core import odm

    odm.drop_database()
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def plugin():
    """Imports a module of the plugin by the name it has inside FiftyOne: ``plugin("elfs_plugin.runs")``."""
    import fiftyone.operators as foo

    assert foo.operator_exists("@elfs/coreset/run_elfs")
    return lambda module: importlib.import_module(f"{PLUGIN}.{module}")


@pytest.fixture(scope="module")
def one_thread():
    """On a busy machine the threads of such small networks wait for each other longer than they compute.

    A module of tests asks for it by ``pytestmark = pytest.mark.usefixtures("one_thread")``.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def quick_clustering(plugin, one_thread):
    """Few steps of clustering and of the β search, in both copies of the library (FiftyOne loads its own)."""
    with pytest.MonkeyPatch.context() as patch:
        for package in (f"{PLUGIN}.elfs_plugin", "elfs_plugin"):
            shorten(package, patch.setattr)
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
    """A factory of datasets of the first ``n`` digits (then ``extra`` paths); deleted after the module."""
    made = []

    def make(n=80, extra=()):
        dataset = fo.Dataset(f"elfs-test-{os.getpid()}-{len(fo.list_datasets())}-{os.urandom(4).hex()}")
        made.append(dataset)
        dataset.add_samples([fo.Sample(filepath=str(path)) for path in (*digits[:n], *extra)])
        return dataset

    yield make
    for dataset in made:
        if not dataset.deleted:
            dataset.delete()


@pytest.fixture(scope="module")
def finished(new_dataset, quick_clustering):
    """A dataset with a finished run 'elfs' of 80 digits, to be read only; and the run's summary."""
    from elfs_plugin import runs

    dataset = new_dataset()
    summary = runs.run_elfs(dataset, num_clusters=5, budget=20, tag="coreset", view_name="Coreset")
    return dataset, summary


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
    """A factory of datasets of 12 digits with a run 'elfs' whose values are plain to see. It returns the dataset and
    the ids in order of rank.

    Sample i has the AUM i - 6, hence the rank i; it is in cluster 2 (even) or cluster 10 (odd); its neighbours are the
    samples i + 1, i + 2, i + 3 (from the start again after the last), 0.99, 0.9 and 0.8 similar.
    """
    from elfs_plugin.runs import fields, graph, journal, ranking, record

    def make():
        n = 12
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
