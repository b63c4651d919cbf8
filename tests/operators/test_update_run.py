import fiftyone as fo

from elfs_plugin.runs import jobs


def test_the_form_says_what_has_changed_and_the_operator_does_it(
    finished, new_dataset, operator, execute, form, digits
):
    dataset = new_dataset(40)
    operator("run_elfs")(dataset, num_clusters=3, budget=10, beta=0)
    dataset.add_samples([fo.Sample(filepath=str(path)) for path in digits[40:43]])
    dataset.delete_samples(dataset.values("id")[:2])
    assert "3 images added, 2 deleted" in form("update_run", dataset)["what"].view.label
    summary = execute("update_run", dataset).result
    assert (summary["added"], summary["deleted"], summary["samples"]) == (3, 2, 41)
    assert jobs.read_job(dataset, "elfs")["kind"] == "update"


def test_delegated(new_dataset, operator, delegate):
    dataset = new_dataset(40)
    operator("run_elfs")(dataset, num_clusters=3, budget=10, beta=0)
    dataset.delete_samples(dataset.values("id")[:4])
    document = delegate("update_run", dataset)
    assert document.run_state == "completed", document.result.error
    assert sorted(dataset.values("elfs.rank")) == list(range(36))


def test_a_run_is_needed(dataset, errors_of):
    assert "There is no ELFS run" in errors_of("update_run", dataset)["key"]
