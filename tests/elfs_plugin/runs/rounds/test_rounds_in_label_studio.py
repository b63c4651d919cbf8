"""Rounds through a real Label Studio: the jobs, and annotators who label there as people do."""

import random

import pytest

from elfs_plugin import runs
from elfs_plugin.errors import ElfsError, InvalidInput
from elfs_plugin.runs.rounds import state

CLASSES = [str(digit) for digit in range(10)]
WRONG, LEFT_OUT = 0.05, 0.1


@pytest.fixture(scope="module")
def dataset(new_dataset, quick_clustering):
    dataset = new_dataset(200)
    runs.run_elfs(dataset, num_clusters=10, budget=20, beta=0.1)
    return dataset


def last_round(dataset):
    return state.round_of(runs.load_record(dataset, "elfs"))


def truth(dataset):
    """{id: digit} from the file names."""
    ids, paths = dataset.values(["id", "filepath"])
    return {i: path.rsplit("_", 1)[1][0] for i, path in zip(ids, paths)}


def annotate(label_studio, dataset, seed):
    """Labels the last round with some mistakes, and leaves some out; a right suggestion is accepted. Returns what was
    submitted, {id: class}."""
    (part,) = last_round(dataset).parts
    tasks, known = label_studio.owner.tasks(part.receipt["project"]), truth(dataset)
    order = sorted(tasks)
    random.Random(seed).shuffle(order)
    wrong, left = max(1, round(WRONG * len(order))), round(LEFT_OUT * len(order))
    submitted = {i: known[i] for i in order[left:]}
    submitted.update({i: CLASSES[(int(known[i]) + 1) % 10] for i in order[left : left + wrong]})
    for i, label in submitted.items():
        suggested = [one for one in tasks[i]["predictions"] if one["result"][0]["value"]["choices"] == [label]]
        more = {"parent_prediction": suggested[0]["id"]} if suggested else {}
        label_studio.owner.submit(tasks[i], label, **more)
    return submitted


def labels(dataset):
    dataset.reload()
    return dict(zip(*dataset.exists("digit").values(["id", "digit.label"])))


def test_three_rounds(label_studio, dataset):
    tool = {"to": "labelstudio", "options": label_studio.options}
    taken = {}
    for number, budget in enumerate((30, 20)):
        first = {"classes": CLASSES, "labels_field": "digit", "golden": 10} if number == 0 else {}
        assert runs.next_batch(dataset, budget=budget, seed=number, **first)["round"] == number
        sent = runs.send_batch(dataset, **tool, prelabels="model" if number else None)
        assert sent["sent"] == (20 if number else 40)
        with pytest.raises(InvalidInput, match=f"Round {number} has been sent to labelstudio already"):
            runs.send_batch(dataset, **tool)
        tasks = label_studio.owner.tasks(last_round(dataset).parts[0].receipt["project"])
        assert len(tasks) == sent["sent"]
        assert sum(bool(task["predictions"]) for task in tasks.values()) == (20 if number else 0)
        assert runs.take_back(dataset, options=label_studio.options)["labelled"] == 0  # suggestions are no labels
        submitted = annotate(label_studio, dataset, number)
        told = runs.take_back(dataset, options=label_studio.options)
        left = sent["sent"] - len(submitted)
        assert (told["labelled"], told["waiting"], told["state"]) == (len(submitted), left, "returned") and left
        taken.update(submitted)
        assert labels(dataset) == taken
        again = runs.take_back(dataset, options=label_studio.options)
        assert (again["labelled"], again["before"], again["waiting"]) == (0, len(submitted), left)
        assert labels(dataset) == taken
        golden = set(dataset.match_tags("golden_qa").values("id"))
        assert told["measured"]["n"] == len(golden & set(taken)) and told["pseudo_labels"]["images"] == len(taken)
        if number:
            wrong = sum(
                submitted[i] != task["predictions"][0]["result"][0]["value"]["choices"][0]
                for i, task in tasks.items()
                if i in submitted
            )
            assert told["prelabels"] == {"shown": len(submitted), "changed": wrong}
    assert label_studio.key not in str(runs.load_record(dataset, "elfs").rounds)
    _a_deleted_project(label_studio, dataset, taken)


def _a_deleted_project(label_studio, dataset, taken):
    """It costs its round, which can be ended; the next one goes on."""
    tool = {"to": "labelstudio", "options": label_studio.options}
    runs.next_batch(dataset, budget=10, seed=2)
    runs.send_batch(dataset, **tool)
    project = last_round(dataset).parts[0].receipt["project"]
    label_studio.owner.call("DELETE", f"/api/projects/{project}")
    with pytest.raises(ElfsError, match=f"The project of elfs_r2_0 .number {project}. is not on .*deleted"):
        runs.take_back(dataset, options=label_studio.options)
    assert last_round(dataset).state == "sent" and labels(dataset) == taken
    told = runs.take_back(dataset, options=label_studio.options, close=True)
    assert (told["state"], told["given_up"]) == ("accepted", 10)
    assert any("elfs_r2_0" in warning and "deleted" in warning for warning in told["warnings"])
    assert runs.next_batch(dataset, budget=10, seed=3)["chosen"] == 10
    runs.send_batch(dataset, **tool)
    submitted = annotate(label_studio, dataset, 3)
    assert runs.take_back(dataset, options=label_studio.options)["labelled"] == len(submitted)
    assert labels(dataset) == {**taken, **submitted}
