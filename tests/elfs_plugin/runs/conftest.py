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


@pytest.fixture
def written(new_dataset):
    """A dataset of 12 digits with a run 'elfs' whose values are plain to see, and the ids in order of rank.

    Sample i has the AUM i - 6, hence the rank i; it is in cluster 2 (even) or cluster 10 (odd); its neighbours are the
    samples i + 1, i + 2, i + 3 (from the start again after the last), 0.99, 0.9 and 0.8 similar.
    """
    import time
    from types import SimpleNamespace

    import fiftyone as fo
    import numpy as np

    from elfs_plugin.runs import fields, graph, ranking, record

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
    record.save_record(dataset, run)
    fields.ensure_group(dataset, "elfs", owned=False)
    fields.write_pseudo_labels(dataset, "elfs", ids, np.where(rows % 2, 10, 2), rows / n, np.ones(n))
    scores = SimpleNamespace(**{name: np.zeros(n) for name in fields.SCORES} | {"aum": rows - 6.0})
    fields.write_scores(dataset, "elfs", ids, scores, rows)
    record.save_results(dataset, "elfs", histogram={"counts": [n]}, failures={})
    near = (rows[:, None] + np.array([1, 2, 3])) % n
    graph.save(record.run_folder(dataset, "elfs"), ids, near, np.tile([0.99, 0.9, 0.8], (n, 1)))
    return dataset, ids
