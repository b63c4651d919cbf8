"""The four operators of the labelling rounds, as forms, through FiftyOne's executor, from Python and delegated."""

import csv
import inspect
import re

import fiftyone as fo
import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs
from elfs_plugin.runs import jobs
from elfs_plugin.runs.rounds import state

ROUNDS = ("next_batch", "send_batch", "take_back", "learn_labels")
CLASSES = [str(digit) for digit in range(10)]
FIRST = {"budget": 20, "classes": CLASSES, "labels_field": "digit", "golden": 10}


def new_run(new_dataset, operator):
    dataset = new_dataset(200)
    operator("run_elfs")(dataset, num_clusters=10, budget=20, beta=0.1)
    return dataset


def end_rounds(dataset):
    dataset.reload()
    if record(dataset).labelling:
        runs.forget_rounds(dataset)
    dataset.untag_samples(list(dataset.distinct("tags")))
    dataset.delete_saved_views()
    for field in ("digit", "ground_truth"):
        if dataset.has_sample_field(field):
            dataset.delete_sample_field(field)


@pytest.fixture(scope="module")
def scored(new_dataset, operator):
    return new_run(new_dataset, operator)


@pytest.fixture
def dataset(scored):
    """Each test has rounds and labels of its own; the run is the same."""
    yield scored
    end_rounds(scored)


@pytest.fixture(scope="module")
def changing(new_dataset, operator):
    return new_run(new_dataset, operator)


@pytest.fixture
def learning(changing):
    """The same, with a run whose pseudo-labels the tests correct."""
    yield changing
    end_rounds(changing)


def record(dataset):
    return runs.load_record(dataset, "elfs")


def last_round(dataset):
    return state.round_of(record(dataset))


def truth(dataset):
    """{id: digit} from the file names."""
    ids, paths = dataset.values(["id", "filepath"])
    return {i: path.rsplit("_", 1)[1][0] for i, path in zip(ids, paths)}


def fill(folder, dataset, left=0):
    """Fills in the lists of the last round, but for the last rows of each."""
    known = truth(dataset)
    for part in last_round(dataset).parts:
        path = folder / f"{part.key}.csv"
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows[: len(rows) - left]:
            row["label"] = known[row["id"]]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def label_in_app(dataset, number):
    """Labels a round as the App does: into the field."""
    known = truth(dataset)
    ids = dataset.load_saved_view(f"batch_v{number}").values("id")
    dataset.set_values("digit", {i: fo.Classification(label=known[i]) for i in ids}, key_field="id")


def refusal(operator, name, dataset, **params):
    with pytest.raises(ExecutionError) as caught:
        operator(name)(dataset, **params)
    assert "Traceback" not in str(caught.value) and "unexpected" not in str(caught.value)
    return str(caught.value)


# Three rounds


def test_three_rounds_by_lists(learning, operator, tmp_path):
    dataset = learning
    for number in range(3):
        first = FIRST if number == 0 else {"budget": 20, "seed": number}
        chosen = operator("next_batch")(dataset, **first)
        assert (chosen["round"], chosen["chosen"], chosen["golden"]) == (number, 20, 0 if number else 10)
        assert chosen["sources"] == ({"coverage": 6, "targeted": 14} if number else {"coverage": 20})
        sent = operator("send_batch")(dataset, to="files", tool_path=str(tmp_path))
        assert sent["sent"] == (20 if number else 30)
        fill(tmp_path, dataset)
        back = operator("take_back")(dataset)
        assert (back["round"], back["labelled"], back["state"]) == (number, sent["sent"], "accepted")
        assert back["measured"]["labels"] == 20 * (number + 1) and back["measured"]["n"] == 10
    dataset.reload()
    known = truth(dataset)
    ids, labels = dataset.exists("digit").values(["id", "digit.label"])
    assert len(ids) == 70 and labels == [known[i] for i in ids]
    assert dataset.count_sample_tags()["annotated:v2"] == 20
    learnt = operator("learn_labels")(dataset)
    assert learnt["labels"] == 60  # the golden set's are not learnt from
    # The next batch follows from the corrected pseudo-labels, and takes nothing that is labelled.
    operator("next_batch")(dataset, budget=5)
    dataset.reload()
    assert dataset.match_tags("batch:v3").count("digit.label") == 0


def test_three_rounds_in_the_app(learning, execute):
    dataset = learning
    for number in range(3):
        execute("next_batch", dataset, **(FIRST if number == 0 else {"budget": 20}), progress="dialog")
        execute("send_batch", dataset, progress="dialog")
        dataset.reload()
        assert dataset.active_label_schemas[0] == "digit"
        assert dataset.label_schemas["digit"]["classes"] == CLASSES
        label_in_app(dataset, number)
        execute("take_back", dataset, progress="dialog")
        assert last_round(dataset).state == "accepted"
    dataset.reload()
    assert dataset.count("digit") == 70
    assert [one.returned["labelled"] for one in state.rounds_of(record(dataset))] == [30, 20, 20]
    execute("learn_labels", dataset)
    assert record(dataset).stages["pseudo_labels"]["learnt"]["labels"] == 60


def test_the_same_by_python_by_the_executor_and_delegated(dataset, operator, execute, delegate, tmp_path):
    seen = []
    for at, way in enumerate(("python", "executor", "delegated")):

        def run(name, way=way, **params):
            if way == "python":
                return operator(name)(dataset, **params)
            if way == "executor":
                return execute(name, dataset, **params).result
            document = delegate(name, dataset, **params)
            assert document.run_state == "completed", document.result.error
            return document.result.result

        folder = tmp_path / str(at)
        folder.mkdir()
        told = [run("next_batch", **FIRST)]
        run("send_batch", to="files", options={"path": str(folder)})
        fill(folder, dataset, left=2)
        told.append(run("take_back"))
        told.append(run("next_batch", budget="10%", share=0.5))
        dataset.reload()
        ids = [dataset.load_saved_view(f"batch_v{number}").values("id") for number in range(2)]
        seen.append((told, ids, dataset.count_sample_tags()))
        runs.forget_rounds(dataset)
        dataset.reload()
        dataset.delete_sample_field("digit")
    assert seen[0] == seen[1] == seen[2]


# Forms


def test_without_a_run(new_dataset, errors_of, operator):
    empty = new_dataset(2)
    for name in ROUNDS:
        assert errors_of(name, empty).keys() == {"key"}
        assert "There is no ELFS run 'elfs'" in refusal(operator, name, empty)
        assert "No dataset is open" in errors_of(name, None)["refused"]


def test_without_rounds(dataset, errors_of, form, operator):
    for name, where in (("send_batch", "round"), ("take_back", "round"), ("learn_labels", "key")):
        assert errors_of(name, dataset) == {where: "The run 'elfs' has no rounds yet. Use next_batch first."}
        assert "has no rounds yet" in refusal(operator, name, dataset)
    assert errors_of("next_batch", dataset) == {
        "classes": "Name the classes that annotators choose from, two at least."
    }
    shown = form("next_batch", dataset, classes="cat, dog")
    assert not [name for name, prop in shown.items() if prop.invalid]
    defaults = {name: shown[name].default for name in ("budget", "golden", "labels_field")}
    assert defaults == {"budget": 100, "golden": 10, "labels_field": "ground_truth"}
    assert "share" not in shown and "name_batch" not in shown
    named = form("next_batch", dataset, classes="cat, dog", other_names=True)
    assert named["name_batch"].default == "batch:v{round}"


def test_the_classes_of_a_field_need_not_be_named(dataset, errors_of, form):
    dataset.add_sample_field("digit", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    known = truth(dataset)
    ids = dataset.values("id")[:150]
    dataset.set_values("digit", {i: fo.Classification(label=known[i]) for i in ids}, key_field="id")
    assert errors_of("next_batch", dataset, labels_field="digit") == {}
    assert form("next_batch", dataset, labels_field="digit")["budget"].default == 50
    assert "it is 51" in errors_of("next_batch", dataset, labels_field="digit", budget=51)["budget"]


def test_where_there_are_labels_the_first_batch_is_a_mix(dataset, errors_of, form, operator):
    shown = form("next_batch", dataset, labels_field="digit", classes=CLASSES)
    assert shown["what"].view.label.startswith("No image is labelled yet, so all of this batch covers")
    assert not {"share", "target", "class_budgets"} & shown.keys()
    known, ids = truth(dataset), dataset.values("id")
    dataset.add_sample_field("digit", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    one = next(iter(known))
    dataset.set_values("digit", {one: fo.Classification(label=known[one])}, key_field="id")
    shown = form("next_batch", dataset, labels_field="digit", classes=CLASSES)
    assert f"All labels so far are of the class '{known[one]}'" in shown["what"].view.label and "share" not in shown
    dataset.set_values("digit", {i: fo.Classification(label=known[i]) for i in ids[:60]}, key_field="id")
    shown = form("next_batch", dataset, labels_field="digit")
    assert "60 images have a label in 'digit' already, of 10 classes" in shown["what"].view.label
    assert (shown["share"].default, shown["target"].default) == (0.3, "uncertainty")
    assert "failures_tag" in form("next_batch", dataset, labels_field="digit", target="failures")
    asked = {"share": 0.5, "target": "rare", "class_budgets": "1=4"}
    assert errors_of("next_batch", dataset, labels_field="digit", **asked) == {}
    told = operator("next_batch")(dataset, **{**FIRST, "golden": 0}, **asked)
    assert told["sources"] == {"coverage": 10, "targeted": 10} and told["labelled"] == 60
    assert last_round(dataset).asked["class_budgets"] == {"1": 4}


def test_what_is_out_or_golden_teaches_nothing_yet(dataset, form, operator):
    operator("next_batch")(dataset, **FIRST)
    assert "No image is labelled yet" in form("next_batch", dataset)["what"].view.label
    operator("send_batch")(dataset)
    label_in_app(dataset, 0)
    assert "No image is labelled yet" in form("next_batch", dataset)["what"].view.label
    operator("take_back")(dataset)
    assert "covers" not in form("next_batch", dataset)["what"].view.label


@pytest.mark.parametrize(
    ("params", "where", "words"),
    [
        ({"budget": 0}, "budget", "it is 0"),
        ({"budget": 201}, "budget", "from 1 to 200; it is 201"),
        ({"budget": 1.5, "budget_unit": "images"}, "budget", "must be a whole number"),
        ({"budget": 101, "budget_unit": "percent"}, "budget", "at most 100%"),
        ({"budget": "many"}, "budget", "'many' is no budget"),
        ({"budget_unit": "boxes"}, "budget_unit", "Unknown budget_unit 'boxes'"),
        ({"classes": "one"}, "classes", "two at least"),
        ({"classes": ["one", "one "]}, "classes", "two at least"),
        ({"classes": [1, 2]}, "classes", "must be a list of texts"),
        ({"golden": 101}, "golden", "0 to 100 samples"),
        ({"golden": -1}, "golden", "0 to 100 samples"),
        ({"golden": "few"}, "golden", "must be a whole number"),
        ({"labels_field": "filepath"}, "labels_field", "cannot hold one class for each image"),
        ({"labels_field": "elfs"}, "labels_field", "holds what ELFS has written"),
        ({"labels_field": "$x"}, "labels_field", "field name"),
        ({"other_names": True, "name_batch": "same"}, "name_batch", "needs {round} in it"),
        ({"other_names": True, "name_waiting": " "}, "name_waiting", "must be a text"),
        ({"other_names": True, "name_waiting": "used"}, "other_names", "already in use"),
        ({"other_names": "yes"}, "other_names", "either True or False"),
        ({"names": {"batch": "same"}}, "other_names", "needs {round} in it"),
        ({"names": {"bach": "x {round}"}}, "other_names", "Did you mean 'batch'"),
        ({"names": "all"}, "refused", "names must be a dict"),
        ({"seed": -1}, "seed", "The seed must be a whole number"),
        ({"tool_url": "x"}, "refused", "no parameter 'tool_url'"),
    ],
)
def test_a_wrong_first_batch_is_refused_beside_the_input(dataset, errors_of, operator, state_of, params, where, words):
    dataset.limit(2).tag_samples("used")
    before = state_of(dataset)
    params = {"classes": CLASSES, **params}
    assert words in errors_of("next_batch", dataset, **params)[where]
    assert re.search(re.escape(words), refusal(operator, "next_batch", dataset, **params))
    assert state_of(dataset) == before


def test_tags_in_use_are_told_in_the_form_and_other_names_help(dataset, errors_of, operator):
    dataset.limit(2).tag_samples("to_annotate")
    dataset.save_view("pool", dataset.limit(1))
    assert "'to_annotate' is already in use" in errors_of("next_batch", dataset, **FIRST)["other_names"]
    names = {"waiting": "todo", "pool_view": "rest"}
    one_by_one = {f"name_{name}": value for name, value in names.items()}
    assert errors_of("next_batch", dataset, **FIRST, **one_by_one, other_names=True) == {}
    # What was typed before the box was cleared does not count.
    assert "other_names" in errors_of("next_batch", dataset, **FIRST, **one_by_one, other_names=False)
    both = refusal(operator, "next_batch", dataset, **FIRST, **one_by_one, names=names)
    assert "not both" in both
    operator("next_batch")(dataset, **FIRST, **one_by_one)
    dataset.reload()
    assert dataset.count_sample_tags()["todo"] == 30 and dataset.count_sample_tags()["to_annotate"] == 2
    assert dataset.has_saved_view("rest") and len(dataset.load_saved_view("pool")) == 1
    assert errors_of("next_batch", dataset) == {}  # the names are kept


def test_budgets_in_images_and_percent(dataset, operator, execute, form):
    assert form("next_batch", dataset, classes="a,b", budget_unit="percent")["budget"].default == 10
    base = {"classes": CLASSES, "golden": 0, "labels_field": "digit"}
    execute("next_batch", dataset, **base, budget=10, budget_unit="percent")
    assert last_round(dataset).chosen == 20
    for params, chosen in (
        ({"budget": 18, "budget_unit": "images"}, 18),
        ({"budget": 0.25}, 40),  # of the 162 that are left
        ({"budget": "50%"}, 61),
        ({}, 61),  # all that are left, fewer than 100
    ):
        assert operator("next_batch")(dataset, **params)["chosen"] == chosen, params
    assert "labelled or in a batch already" in refusal(operator, "next_batch", dataset)


def test_a_chosen_round(dataset, errors_of, form, operator):
    operator("next_batch")(dataset, **FIRST)
    shown = form("next_batch", dataset)
    assert "Round 1. Labels come to 'digit'; classes: 0, 1, 2" in shown["what"].view.label
    assert "labels_field" not in shown and "failures_tag" not in shown
    assert not [name for name, prop in shown.items() if prop.invalid]
    send = form("send_batch", dataset)
    assert [choice.label for choice in send["round"].view.choices] == ["Round 0 (selected)"]
    assert send["to"].default == "in_app" and not [name for name in send if name.startswith("tool_")]
    assert errors_of("send_batch", dataset) == {}
    assert "has not been sent to be labelled yet" in errors_of("take_back", dataset)["round"]
    assert "has not been sent to be labelled yet" in refusal(operator, "take_back", dataset, round=0)
    assert "no round 7 (rounds: 0 to 0)" in errors_of("send_batch", dataset, round=7)["round"]
    assert "round must be a whole number" in errors_of("send_batch", dataset, round="last")["round"]
    assert "labels of two classes at least are needed" in refusal(operator, "learn_labels", dataset)


@pytest.mark.parametrize(
    ("params", "where", "words"),
    [
        ({"share": 1.5}, "share", "less than 1"),
        ({"share": "half"}, "share", "must be a number"),
        ({"target": "banana"}, "target", "Unknown target 'banana'. Use one of: uncertainty, failures, rare"),
        ({"target": "failures", "failures_tag": "gone"}, "failures_tag", "No image has the tag 'gone'"),
        ({"failures_tag": "wrong"}, None, "would have no effect: it is for target='failures'"),
        ({"labels_field": "other"}, "key", "have labels_field 'digit'; it stays"),
        ({"golden": 5}, "key", "have golden 10; it stays"),
        ({"names": {"waiting": "todo"}}, "key", "names of this run's rounds are given already"),
        ({"classes": [5]}, "classes", "must be a list of texts"),
        ({"class_budgets": {"1": -2}}, None, "class"),
        ({"class_budgets": "1"}, "class_budgets", "given as cat=20, dog=10; '1' is none"),
        (
            {"class_budgets": "1=5, 2=6", "budget": 10},
            "class_budgets",
            "11 images together, more than the budget of 10",
        ),
        ({"class_budgets": [1]}, "class_budgets", "must be a dict"),
    ],
)
def test_a_wrong_later_batch_is_refused(dataset, execute, errors_of, operator, params, where, words):
    operator("next_batch")(dataset, **FIRST)
    found = errors_of("next_batch", dataset, **params)
    if where == "share" and words == "less than 1":  # FiftyOne's own check of the number
        with pytest.raises(ExecutionError, match="Path: share. Reason: .*less than 1"):
            execute("next_batch", dataset, **params)
    elif where:
        assert words in found[where]
    assert words in refusal(operator, "next_batch", dataset, **params)
    assert len(state.rounds_of(record(dataset))) == 1


def test_classes_can_be_added(dataset, operator):
    operator("next_batch")(dataset, **{**FIRST, "classes": "cat, dog"})
    operator("next_batch")(dataset, budget=5, classes=["dog", "fox, red"])
    assert record(dataset).labelling["classes"] == ["cat", "dog", "fox, red"]


def test_targets_and_failures_by_a_tag(dataset, operator, form, plugin):
    targets = plugin("elfs_plugin.rounds.targets").TARGETS
    assert list(plugin("operators.next_batch").TARGETS) == list(targets)
    operator("next_batch")(dataset, **FIRST)
    operator("send_batch")(dataset)
    label_in_app(dataset, 0)
    operator("take_back")(dataset)
    dataset.match_tags("batch:v0").limit(3).tag_samples("wrong")
    assert "failures_tag" in form("next_batch", dataset, target="failures")
    for number, params in enumerate(
        ({"target": "failures", "failures_tag": "wrong"}, {"target": "rare", "share": 0}, {"class_budgets": {"1": 4}}),
        start=1,
    ):
        told = operator("next_batch")(dataset, budget=10, **params)
        assert told["chosen"] == 10 and told["round"] == number
    dataset.untag_samples("wrong")


@pytest.mark.parametrize("name", ROUNDS)
def test_an_operator_takes_what_its_job_does(operator, name):
    """A form asks for some of it in another way: a budget with its unit, names and options one by one."""
    own = {"budget_unit", "tool_", "name_", "other_names"}
    job = inspect.signature(getattr(runs, name)).parameters.keys() - {"dataset", "key", "sinks"}
    assert set(operator(name).takes) - own == job


@pytest.mark.parametrize("name", ROUNDS)
def test_no_value_makes_a_form_of_rounds_fail(dataset, form, operator, plugin, caplog, name):
    known = plugin("operators.parameters")._known(operator(name).takes)
    operator("next_batch")(dataset, **FIRST)
    if name == "take_back":
        operator("send_batch")(dataset)
    odd = ("banana", "a.b", "$x", "", "\ud800", -1, 2.5, True, [], ["a", "a"], [1], {}, {"a": 1}, {"path": []}, None)
    for at, parameter in enumerate(known):
        for value in odd[at % 5 :: 5]:
            for mode in ({}, {"to": "files"}) if name == "send_batch" else ({},):
                assert form(name, dataset, **{**mode, parameter: value})
                raw = [found.exc_info[1] for found in caplog.records if found.exc_info]
                assert not raw, (parameter, value, raw)


# Tools and their options


def test_the_options_are_those_of_the_chosen_tool(dataset, form, errors_of, operator, tmp_path):
    operator("next_batch")(dataset, **FIRST)
    files = form("send_batch", dataset, to="files")
    assert {name for name in files if name.startswith("tool_")} == {
        f"tool_{name}" for name in ("path", "format", "overwrite", "labels", "skip_word")
    }
    assert files["tool_path"].error_message.endswith("needs: Folder.")
    studio = form("send_batch", dataset, to="labelstudio")
    assert {name for name in studio if name.startswith("tool_")} == {"tool_url", "tool_api_key"}
    assert studio["tool_api_key"].view.componentsProps == {"field": {"type": "password"}}
    assert studio["chunk"].default == 500 and "chunk" not in files
    assert "from 1 to" in errors_of("send_batch", dataset, to="labelstudio", chunk=0)["chunk"]
    assert "Not kept" in studio["tool_api_key"].view.description and studio["tool_api_key"].default is None
    # What was typed for another tool before is passed over in a form, and told in a call.
    typed = {"to": "files", "tool_path": str(tmp_path), "tool_url": "http://nowhere"}
    assert errors_of("send_batch", dataset, **typed) == {}
    assert "tool_url='http://nowhere' would have no effect" in refusal(operator, "send_batch", dataset, **typed)
    assert "no parameter 'tool_pth'" in errors_of("send_batch", dataset, to="files", tool_pth="x")["refused"]


@pytest.mark.parametrize(
    ("params", "where", "words"),
    [
        ({"to": "label_studio"}, "to", "Unknown to 'label_studio'"),
        ({"to": "files", "options": {"pth": "x"}}, "to", "has no option 'pth'"),
        ({"to": "files", "options": "x"}, "refused", "options must be a dict"),
        ({"to": "files", "options": {"path": "/tmp", "overwrite": "perhaps"}}, "tool_overwrite", "true or false"),
        ({"to": "cvat", "options": {"url": "http://x", "task_size": "many"}}, "tool_task_size", "a whole number"),
        ({"to": "files", "tool_path": "/tmp", "annotators": "ann, ann"}, "annotators", "the same name"),
        ({"to": "files", "tool_path": "/tmp", "annotators": [1]}, "annotators", "must be a list of texts"),
        ({"to": "files", "tool_path": "/tmp", "annotators": "a,b", "control": -1}, "control", "from 0"),
        ({"to": "files", "tool_path": "/tmp", "control": 3}, None, "name two at least"),
        ({"to": "files", "tool_path": "/tmp", "annotators": "a,b", "control": 31}, None, "fewer than a control set"),
        ({"annotators": "ann"}, None, "does not deal batches out"),
        ({"to": "files", "tool_path": "relative"}, None, "absolute"),
        ({"to": "files", "tool_path": "/tmp", "tool_format": "xml"}, None, "Unknown format 'xml'"),
        ({"to": "files", "tool_path": "/tmp", "chunk": -1}, None, "chunk"),
        ({"prelabels": "nothing"}, None, "no field 'nothing'"),
        ({"prelabels": "model"}, None, "labels of two classes"),
        ({"prelabels": "clusters"}, None, "No cluster has the name of a class"),
        ({"to": "labelstudio", "tool_url": "http://127.0.0.1:9", "tool_api_key": "k"}, None, "127.0.0.1:9"),
    ],
)
def test_a_wrong_sending_is_refused_and_nothing_is_sent(dataset, errors_of, operator, params, where, words):
    operator("next_batch")(dataset, **FIRST)
    found = errors_of("send_batch", dataset, **params)
    assert (words in found[where]) if where else not found
    assert words in refusal(operator, "send_batch", dataset, **params)
    assert last_round(dataset).state == "selected" and not last_round(dataset).parts


def test_a_sent_round(dataset, errors_of, form, operator, tmp_path):
    operator("next_batch")(dataset, **FIRST)
    operator("send_batch")(dataset, to="files", tool_path=tmp_path, tool_overwrite=False)
    again = "Round 0 has been sent to files already. Take it back, or choose the next batch."
    assert errors_of("send_batch", dataset) == errors_of("send_batch", dataset, round=0) == {"round": again}
    assert again in refusal(operator, "send_batch", dataset)
    back = form("take_back", dataset)
    assert back["tool_path"].default == str(tmp_path) and back["close"].default is False
    assert errors_of("take_back", dataset) == {}
    assert "either True or False" in errors_of("take_back", dataset, close="yes")["close"]
    assert "no option 'url'" in refusal(operator, "take_back", dataset, options={"url": "x"})
    assert "tool_url='x' would have no effect" in refusal(operator, "take_back", dataset, tool_url="x")
    # An older round that waits is offered beside newer ones that were sent.
    operator("next_batch")(dataset, budget=5)
    operator("next_batch")(dataset, budget=5)
    operator("send_batch")(dataset, round=2, to="in_app")
    assert form("send_batch", dataset)["round"].default == 1
    assert operator("send_batch")(dataset)["round"] == 1


def test_taken_back_in_pieces_and_ended(dataset, form, operator, tmp_path):
    operator("next_batch")(dataset, **FIRST)
    operator("send_batch")(dataset, to="files", tool_path=str(tmp_path), annotators=["ann", "bob"], control=4)
    assert [part.annotator for part in last_round(dataset).parts].count("bob") >= 1
    fill(tmp_path, dataset, left=1)
    told = operator("take_back")(dataset)
    assert told["state"] == "returned" and told["waiting"] > 0 and told["control"]["agreed"] > 0
    assert operator("take_back")(dataset)["labelled"] == 0
    assert [choice.label for choice in form("take_back", dataset)["round"].view.choices] == ["Round 0 (returned)"]
    ended = operator("take_back")(dataset, close=True)
    assert (ended["given_up"], ended["state"]) == (told["waiting"], "accepted")


def test_what_was_sent_in_part_is_finished_with_the_same_options(dataset, form, errors_of, operator, tmp_path):
    operator("next_batch")(dataset, **FIRST)
    (tmp_path / "elfs_r0_1.csv").write_text("somebody's\n")
    assert "elfs_r0_1.csv" in refusal(
        operator, "send_batch", dataset, to="files", tool_path=str(tmp_path), chunk=20, tool_skip_word="pass"
    )
    assert [part.state for part in last_round(dataset).parts] == ["sent", "planned"]
    shown = form("send_batch", dataset)
    assert shown["to"].default == "files" and shown["tool_skip_word"].default == "pass" and "prelabels" not in shown
    assert errors_of("send_batch", dataset) == {}
    assert "in part; send the rest there" in errors_of("send_batch", dataset, to="in_app")["to"]
    (tmp_path / "elfs_r0_1.csv").unlink()
    assert operator("send_batch")(dataset)["to"] == "files"
    assert [part.state for part in last_round(dataset).parts] == ["sent", "sent"]
    assert last_round(dataset).sent["options"]["skip_word"] == "pass"


def test_secrets_reach_the_tool_and_are_not_kept(dataset, operator, execute, plugin, monkeypatch):
    seen = []
    studio = plugin("elfs_plugin.runs.rounds.backends.label_studio").LabelStudioBackend
    monkeypatch.setattr(studio, "check", lambda self, dataset, options: seen.append(dict(options)))
    monkeypatch.setattr(studio, "send", lambda self, sending, progress: {"url": "http://here", "project": 1})
    returned = plugin("elfs_plugin.runs.rounds.backends.base").Returned
    monkeypatch.setattr(studio, "take", lambda self, dataset, part, ids, options: seen.append(options) or returned())
    for number, params in enumerate(
        ({"tool_url": "http://here", "tool_api_key": "s3cret"}, {"options": {"url": "http://here", "api_key": 12345}})
    ):
        operator("next_batch")(dataset, **(FIRST if number == 0 else {"budget": 5}))
        execute("send_batch", dataset, to="labelstudio", **params)
        execute("take_back", dataset, tool_api_key="s3cret")
    assert [options["api_key"] for options in seen] == ["s3cret"] * 3 + ["12345"] + ["s3cret"] * 2
    assert {options["url"] for options in seen} == {"http://here"}
    kept = str([vars(record(dataset)), dataset._doc.to_dict(), runs.load_results(dataset, "elfs")])
    kept += str(jobs.read_job(dataset, "elfs"))
    assert "s3cret" not in kept and "12345" not in kept and "http://here" in kept
