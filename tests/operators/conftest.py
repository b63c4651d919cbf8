import fiftyone as fo
import fiftyone.operators as foo
import pytest


@pytest.fixture(autouse=True, scope="module")
def _quick(quick_clustering):
    """All operators cluster in a few steps."""


@pytest.fixture(scope="session")
def operator(plugin):
    """An operator by its short name."""
    return lambda name: foo.get_operator(f"@elfs/coreset/{name}")


@pytest.fixture(scope="session")
def execute(plugin):
    """Executes an operator by its short name with its form's validation, and returns FiftyOne's result."""

    def run(name, collection, **params):
        target = "dataset" if isinstance(collection, fo.Dataset) else "view"
        return foo.execute_operator(f"@elfs/coreset/{name}", {target: collection, "params": params})

    return run


@pytest.fixture(scope="session")
def delegate(plugin):
    """Queues an operator, executes the queue as a worker does, and returns the finished operation's document."""
    from fiftyone.operators.delegated import DelegatedOperationService

    def run(name, dataset, **params):
        queued = foo.execute_operator(
            f"@elfs/coreset/{name}", {"dataset": dataset, "params": params, "request_delegation": True}
        )
        service = DelegatedOperationService()
        service.execute_queued_operations(dataset_name=dataset.name)
        return service.get(queued.result["id"] if isinstance(queued.result, dict) else queued.result.id)

    return run
