"""FiftyOne is imported by the fixtures: pytest reads this file before FiftyOne's database is there when it is given a
path below this folder."""

import pytest

from tests.few_steps import few_steps
from tests.helpers import datasets_of


@pytest.fixture(autouse=True, scope="module")
def _quick(quick_clustering):
    """All operators cluster in a few steps."""


@pytest.fixture(scope="session")
def operator(plugin):
    """An operator by its short name."""
    import fiftyone.operators as foo

    return lambda name: foo.get_operator(f"@elfs/coreset/{name}")


@pytest.fixture(scope="session")
def execute(plugin):
    """Executes an operator by its short name with its form's validation, and returns FiftyOne's result."""
    import fiftyone as fo
    import fiftyone.operators as foo

    def run(name, collection, **params):
        target = "dataset" if isinstance(collection, fo.Dataset) else "view"
        return foo.execute_operator(f"@elfs/coreset/{name}", {target: collection, "params": params})

    return run


@pytest.fixture(scope="session")
def form(operator):
    """The inputs of an operator's form as the App would show it: name -> property."""
    from fiftyone.operators.executor import ExecutionContext

    def resolve(name, collection, delegated=False, **params):
        request = {"params": params, "delegated": delegated}
        if collection is not None:
            request.update(dataset_name=collection._dataset.name, view=collection.view()._serialize())
        chosen = operator(name)
        return chosen.resolve_input(ExecutionContext(request, operator_uri=chosen.uri)).type.properties

    return resolve


@pytest.fixture(scope="session")
def errors_of(form):
    """The error messages that a form shows: name -> message."""

    def resolve(name, collection, **params):
        found = form(name, collection, **params)
        return {field: prop.error_message for field, prop in found.items() if prop.invalid}

    return resolve


@pytest.fixture(scope="session")
def delegate(plugin):
    """Queues an operator, executes the queue as a worker does, and returns the finished operation's document."""
    import fiftyone.operators as foo
    from fiftyone.operators.delegated import DelegatedOperationService

    def run(name, dataset, **params):
        queued = foo.execute_operator(
            f"@elfs/coreset/{name}", {"dataset": dataset, "params": params, "request_delegation": True}
        )
        service = DelegatedOperationService()
        service.execute_queued_operations(dataset_name=dataset.name)
        return service.get(queued.result["id"] if isinstance(queued.result, dict) else queued.result.id)

    return run


@pytest.fixture(scope="session")
def finished(digits, operator):
    """A dataset with a finished run 'elfs' of 80 digits, to be read only, by all tests; and the run's summary."""
    with datasets_of(digits) as make:
        dataset = make()
        with few_steps():
            summary = operator("run_elfs")(dataset, num_clusters=5, budget=20, tag="coreset", view_name="Coreset")
        yield dataset, summary


@pytest.fixture
def scored(dataset):
    """A dataset with a run 'elfs' up to the scores."""
    from elfs_plugin import runs

    runs.compute_embeddings(dataset)
    runs.compute_pseudo_labels(dataset, num_clusters=5)
    runs.compute_scores(dataset)
    return dataset
