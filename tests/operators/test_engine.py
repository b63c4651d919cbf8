"""The choice of an engine in the operators, and a job that a worker of FiftyOne runs on Ray."""

import contextlib
import threading
import time
from types import SimpleNamespace

import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin.runs import jobs

OPTIONS = dict(num_clusters=5, budget=20, budget_unit="images", encoder="pixels", method="elfs")


@pytest.fixture
def small(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("ELFS_RAY_CPUS", "2")
    monkeypatch.setenv("ELFS_RAY_STORE_MB", "100")


@pytest.mark.ray
def test_a_delegated_job_on_ray_chooses_the_same_images(dataset, delegate, small):
    for key, engine in (("here", "local"), ("there", "ray")):
        document = delegate("run_elfs", dataset, key=key, tag=key, engine=engine, **OPTIONS)
        assert document.run_state == "completed", document.result.error
    ours, theirs = (dataset.match_tags(key).values("id") for key in ("there", "here"))
    assert sorted(ours) == sorted(theirs) and len(ours) == 20
    assert dataset.values("there.aum") == dataset.values("here.aum")
    assert dataset.values("there_embeddings")[0].tolist() == dataset.values("here_embeddings")[0].tolist()
    import ray

    assert not ray.is_initialized()


def test_forms_offer_an_engine_only_where_ray_is_installed(dataset, form, plugin, monkeypatch):
    pytest.importorskip("ray")
    assert form("run_elfs", dataset)["engine"].type.values == ["default", "local", "ray"]
    assert form("run_elfs", dataset)["engine"].default == "default"
    assert "address" not in form("run_elfs", dataset)
    assert "address" in form("run_elfs", dataset, engine="ray")
    assert "engine" not in form("select_coreset", dataset)
    monkeypatch.setattr(plugin("elfs_plugin.engine.names"), "available", lambda: ["local"])
    assert "engine" not in form("run_elfs", dataset)


@pytest.fixture
def run_by(operator, plugin, monkeypatch):
    """(name, address) of the engine by which an operator runs, for parameters as a form sends them."""
    chosen, choose = operator("compute_embeddings"), plugin("elfs_plugin.engine.choose")

    def run(ctx, collection, sinks):
        engine = choose.current()
        return engine.name, getattr(engine, "_address", None)

    monkeypatch.setattr(chosen, "run", run)
    return lambda **params: chosen._run_by_engine(SimpleNamespace(params=params), None, [])


def test_an_address_that_was_typed_before_another_engine_was_chosen_does_not_count(operator, dataset, run_by):
    pytest.importorskip("ray")
    for engine in ("local", "default"):
        assert run_by(engine=engine, address="there:1") == ("local", None)
        with pytest.raises(ExecutionError, match="An address is for the engine 'ray'"):
            operator("run_elfs")(dataset, engine=engine, address="there:1", **OPTIONS)
    assert run_by(engine="ray", address="there:1") == run_by(address="there:1") == ("ray", "there:1")


def test_the_default_is_as_the_worker_is_set(run_by, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("ELFS_ENGINE", "ray")
    assert run_by(engine="default") == run_by() == ("ray", None)
    assert run_by(engine="local") == ("local", None)


def test_what_needs_no_engine_does_not_ask_for_one(operator, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("ELFS_ENGINE", "ray")
    monkeypatch.setenv("ELFS_RAY_ADDRESS", "nowhere")  # refused where an engine is made
    for name, refused in (("compute_embeddings", True), ("select_coreset", False)):
        chosen = operator(name)
        monkeypatch.setattr(chosen, "run", lambda *given: "done")
        with pytest.raises(Exception, match="is HOST:PORT") if refused else contextlib.nullcontext():
            assert chosen._run_by_engine(SimpleNamespace(params={}), None, []) == "done"


def test_what_cannot_be_is_refused(dataset, errors_of, operator, plugin, monkeypatch):
    pytest.importorskip("ray")
    found = errors_of("run_elfs", dataset, engine="ray", address="ray://there:1")
    assert "HOST:PORT of its head" in found["address"]
    with pytest.raises(ExecutionError, match="Unknown engine 'spark'"):
        operator("run_elfs")(dataset, engine="spark", **OPTIONS)
    with pytest.raises(ExecutionError, match="There is no parameter 'engine'"):
        operator("select_coreset")(dataset, engine="ray", budget=0.5)
    monkeypatch.setattr(plugin("elfs_plugin.engine.names"), "available", lambda: ["local"])
    with pytest.raises(ExecutionError, match="needs Ray, which is not installed"):
        operator("run_elfs")(dataset, engine="ray", **OPTIONS)


@pytest.mark.ray
def test_a_job_on_ray_is_cancelled_from_the_panel(dataset, delegate, small):
    def cancel():
        end = time.monotonic() + 60
        while time.monotonic() < end and not jobs.request_cancel(dataset, "elfs"):
            time.sleep(0.05)

    waiting = threading.Thread(target=cancel)
    waiting.start()
    document = delegate("compute_embeddings", dataset, encoder="pixels", engine="ray")
    waiting.join()
    assert document.run_state == "failed" and "Cancelled. What was finished is kept" in document.result.error
    assert jobs.read_job(dataset, "elfs")["state"] == "cancelled"
    import ray

    assert not ray.is_initialized()
