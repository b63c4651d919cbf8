"""The jobs of a round on a real dataset, with a labelling tool of the tests' own."""

import fiftyone as fo
import pytest

from elfs_plugin import runs
from elfs_plugin.errors import ElfsError, InvalidInput, NameTaken
from elfs_plugin.runs.rounds import state
from elfs_plugin.runs.rounds.backends import registry
from elfs_plugin.runs.rounds.backends.base import Backend, Option, Returned

CLASSES = [str(digit) for digit in range(10)]


def truth(dataset):
    """{id: digit} from the file names."""
    ids, paths = dataset.values(["id", "filepath"])
    return {i: path.rsplit("_", 1)[1][0] for i, path in zip(ids, paths)}


class Tool(Backend):
    """Keeps what is sent in memory; the test says what its annotators did."""

    name, title, people, chunk = "tool", "The tool", True, 10
    options = (Option("url", "URL", default="http://here"), Option("secret", "Key", secret=True))

    def __init__(self, server):
        self.server = server

    def check(self, dataset, options):
        if self.server.get("down"):
            raise InvalidInput("The tool cannot be reached.", "url")

    def send(self, sending, progress):
        if self.server.get("fail_at") == sending.part.key:
            raise ElfsError("The tool refused it.")
        self.server.setdefault("sent", {}).setdefault(sending.part.key, []).extend(sending.ids)
        self.server.setdefault("prelabels", {}).update(sending.prelabels or {})
        self.server["options"] = dict(sending.options)
        return {"url": f"http://here/{sending.part.key}"}

    def take(self, dataset, part, ids, options):
        return self.server["back"](part, ids)


@pytest.fixture
def server(monkeypatch):
    memory = {}
    for module in ("sending", "returning"):  # first: a module that is imported now must find the real one to go back to
        monkeypatch.setattr(f"elfs_plugin.runs.rounds.{module}.backend", lambda name: Tool(memory))
    monkeypatch.setattr(registry, "backends", lambda: {"tool": lambda: Tool(memory)})
    monkeypatch.setattr(registry, "backend", lambda name: Tool(memory))
    return memory


@pytest.fixture(scope="module")
def finished(new_dataset, quick_clustering):
    dataset = new_dataset(300)
    runs.run_elfs(dataset, num_clusters=10, budget=30)
    return dataset


@pytest.fixture
def dataset(finished):
    """Each test has rounds and labels of its own; the run is the same."""
    yield finished
    finished.reload()
    if record(finished) is not None and record(finished).labelling:
        runs.forget_rounds(finished)
    finished.untag_samples(list(finished.distinct("tags")))
    if finished.has_sample_field("digit"):
        finished.delete_sample_field("digit")


def record(dataset):
    return runs.load_record(dataset, "elfs")


def first(dataset, **options):
    return runs.next_batch(
        dataset, **{"budget": 20, "classes": CLASSES, "labels_field": "digit", "golden": 10, **options}
    )


def ids_of(dataset, tag):
    return set(dataset.match_tags(tag).values("id"))


def all_of(dataset, wrong=(), left=()):
    """Annotators that label everything right, but for some."""
    known = truth(dataset)

    def back(part, ids):
        labels = {i: ("9" if known[i] == "0" else "0") if i in wrong else known[i] for i in ids if i not in left}
        return Returned(labels=labels)

    return back


def test_the_first_batch_covers_and_the_golden_set_is_drawn_once(dataset):
    told = first(dataset)
    assert (told["round"], told["chosen"], told["golden"]) == (0, 20, 10)
    assert told["sources"] == {"coverage": 20}
    batch, golden = ids_of(dataset, "batch:v0"), ids_of(dataset, "golden_qa")
    assert len(batch) == 30 and len(golden) == 10 and golden < batch
    assert ids_of(dataset, "to_annotate") == batch
    assert ids_of(dataset, "source:coverage") == batch - golden
    view = dataset.load_saved_view("batch_v0")
    assert view.values("elfs.turn") == list(range(30))
    assert view.values("elfs.status") == ["selected"] * 30 and view.values("elfs.round") == [0] * 30
    assert len(dataset.load_saved_view("pool")) == 270
    assert dataset.get_field("digit").document_type is fo.Classification
    assert dataset.count_values("digit.label") == {None: 300}
    again = runs.next_batch(dataset, budget=20)
    assert again["golden"] == 0 and not batch & ids_of(dataset, "batch:v1")
    assert len(ids_of(dataset, "golden_qa")) == 10


def test_three_rounds(dataset, server):
    known = truth(dataset)
    first(dataset)
    golden = ids_of(dataset, "golden_qa")
    server["back"] = all_of(dataset)
    for number in range(3):
        if number:
            told = runs.next_batch(dataset, budget=20, seed=number)
            assert told["sources"]["coverage"] == 6 and told["sources"]["targeted"] == 14
        runs.send_batch(dataset, to="tool")
        told = runs.take_back(dataset)
        assert told["round"] == number and told["state"] == "accepted" and told["waiting"] == 0
        assert told["labelled"] == (30 if number == 0 else 20)
        assert told["measured"]["n"] == 10 and told["measured"]["labels"] == 20 * (number + 1)
        assert told["pseudo_labels"]["images"] == 10 + 20 * (number + 1)
    labelled = dataset.match(fo.ViewField("digit.label") != None)  # noqa: E711
    assert len(labelled) == 70
    assert {i: label for i, label in zip(*labelled.values(["id", "digit.label"]))} == {
        i: known[i] for i in labelled.values("id")
    }
    assert ids_of(dataset, "to_annotate") == set()
    assert len(ids_of(dataset, "annotated:v2")) == 20
    # The golden set was never learnt from, and never chosen again.
    assert not golden & (ids_of(dataset, "batch:v1") | ids_of(dataset, "batch:v2"))
    assert [one.state for one in state.rounds_of(record(dataset))] == ["accepted"] * 3


def test_what_is_not_back_stays_sent_and_can_be_taken_later(dataset, server):
    first(dataset, golden=0)
    runs.send_batch(dataset, to="tool")
    ids = dataset.load_saved_view("batch_v0").values("id")
    server["back"] = all_of(dataset, left=ids[:5])
    told = runs.take_back(dataset)
    assert (told["labelled"], told["waiting"], told["state"]) == (15, 5, "returned")
    assert ids_of(dataset, "to_annotate") == set(ids[:5])
    assert set(dataset.select(ids[:5]).values("elfs.status")) == {"sent"}
    told = runs.take_back(dataset)  # twice: nothing changes
    assert (told["labelled"], told["before"], told["waiting"]) == (0, 15, 5)
    server["back"] = all_of(dataset)
    told = runs.take_back(dataset)
    assert (told["labelled"], told["before"], told["state"]) == (5, 15, "accepted")


def test_a_round_can_be_ended_and_what_is_left_goes_back_to_the_pool(dataset, server):
    first(dataset, golden=0)
    runs.send_batch(dataset, to="tool")
    ids = dataset.load_saved_view("batch_v0").values("id")
    server["back"] = all_of(dataset, left=ids[:5])
    told = runs.take_back(dataset, close=True)
    assert (told["labelled"], told["given_up"], told["state"]) == (15, 5, "accepted")
    assert set(dataset.select(ids[:5]).values("elfs.status")) == {None}
    assert ids_of(dataset, "batch:v0") == set(ids[5:])
    assert set(ids[:5]) <= set(dataset.load_saved_view("pool").values("id"))


def test_a_round_is_not_sent_twice(dataset, server):
    first(dataset)
    runs.send_batch(dataset, to="tool")
    with pytest.raises(InvalidInput, match="Round 0 has been sent to tool already"):
        runs.send_batch(dataset, to="tool")
    sent = [i for ids in server["sent"].values() for i in ids]
    assert len(sent) == len(set(sent)) == 30


def test_what_was_sent_in_part_goes_on_where_it_stopped(dataset, server):
    first(dataset)
    server["fail_at"] = "elfs_r0_1"
    with pytest.raises(ElfsError, match="refused"):
        runs.send_batch(dataset, to="tool", options={"secret": "abc"})
    assert [part.state for part in state.round_of(record(dataset)).parts] == ["sent", "planned", "planned"]
    assert dataset.count_values("elfs.status") == {"sent": 10, "selected": 20, None: 270}
    del server["fail_at"]
    runs.send_batch(dataset, to="tool", options={"secret": "abc"})
    assert [len(ids) for ids in server["sent"].values()] == [10, 10, 10]
    assert dataset.count_values("elfs.status") == {"sent": 30, None: 270}
    assert "abc" not in str(record(dataset).rounds) and server["options"]["secret"] == "abc"


def test_annotators_share_a_control_set_and_their_disagreement_is_told(dataset, server):
    first(dataset, golden=0)
    runs.send_batch(dataset, to="tool", annotators=["ann", "bob"], control=4, chunk=100)
    parts = state.round_of(record(dataset)).parts
    assert [(part.annotator, part.samples) for part in parts] == [("ann", 10), ("ann", 2), ("bob", 10), ("bob", 2)]
    own = [set().union(*(server["sent"][p.key] for p in parts if p.annotator == name)) for name in ("ann", "bob")]
    shared = own[0] & own[1]
    assert len(shared) == 4
    odd = next(iter(shared))
    known = truth(dataset)

    def back(part, ids):
        labels = {i: known[i] for i in ids}
        if part.annotator == "bob" and odd in labels:
            labels[odd] = "1" if known[odd] == "0" else "0"
        return Returned(labels=labels)

    server["back"] = back
    told = runs.take_back(dataset)
    assert told["control"] == {"images": 4, "agreed": 3, "waiting": 0} and told["disagreed"] == [odd]
    assert told["labelled"] == 19 and told["waiting"] == 1  # two against each other: no label
    assert any("contradict each other" in text for text in told["warnings"])
    assert any("differ on 1 of the 4 images of the control set" in text for text in told["warnings"])


def test_a_control_image_counts_when_all_annotators_have_answered(dataset, server):
    first(dataset, golden=0)
    runs.send_batch(dataset, to="tool", annotators=["ann", "bob", "eve"], control=4)
    parts = state.round_of(record(dataset)).parts
    control = state.round_of(record(dataset)).sent["control"]
    known = truth(dataset)
    odd = control[0]
    wrong = "1" if known[odd] == "0" else "0"
    answered = {"ann"}

    def back(part, ids):
        labels = {i: known[i] for i in ids} if part.annotator in answered else {}
        if part.annotator == "bob" and odd in labels:
            labels[odd] = wrong
        skipped = {control[1]} & labels.keys() if part.annotator == "eve" else set()
        return Returned(labels={i: label for i, label in labels.items() if i not in skipped}, skipped=skipped)

    server["back"] = back
    own = {p.annotator: set() for p in parts}
    for part in parts:
        own[part.annotator] |= set(server["sent"][part.key]) - set(control)
    told = runs.take_back(dataset)
    assert told["labelled"] == len(own["ann"]) and told["waiting"] == 20 - len(own["ann"])
    assert told["control"] == {"images": 0, "agreed": 0, "waiting": 4}
    assert set(dataset.select(control).values("elfs.status")) == {"sent"} and not dataset.select(control).count("digit")
    answered.add("bob")  # two against each other, and the third may decide
    told = runs.take_back(dataset)
    assert told["labelled"] == len(own["bob"]) and told["doubled"] == 0
    assert told["control"] == {"images": 4, "agreed": 3, "waiting": 4} and told["disagreed"] == [odd]
    assert set(dataset.select(control).values("elfs.status")) == {"sent"}
    answered.add("eve")
    told = runs.take_back(dataset)
    assert (told["waiting"], told["state"]) == (0, "accepted")
    assert told["control"] == {"images": 4, "agreed": 3, "waiting": 0} and told["disagreed"] == [odd]
    assert dataset.select(control).values("digit.label") == [known[i] for i in dataset.select(control).values("id")]


def test_of_a_round_that_is_ended_a_control_image_counts_by_the_answers_there_are(dataset, server):
    first(dataset, golden=0)
    runs.send_batch(dataset, to="tool", annotators=["ann", "bob"], control=4)
    control = state.round_of(record(dataset)).sent["control"]
    known = truth(dataset)
    server["back"] = lambda part, ids: Returned({i: known[i] for i in ids} if part.annotator == "ann" else {})
    told = runs.take_back(dataset, close=True)
    assert (told["labelled"], told["given_up"]) == (12, 8)
    assert dataset.select(control).count("digit") == 4


def test_suggestions_are_sent_counted_and_never_taken_for_labels(dataset, server):
    first(dataset, golden=0)
    server["back"] = all_of(dataset)
    runs.send_batch(dataset, to="tool")
    runs.take_back(dataset)
    runs.next_batch(dataset, budget=20)
    with pytest.raises(InvalidInput, match="No cluster has the name of a class"):
        runs.send_batch(dataset, to="tool", prelabels="clusters")
    runs.send_batch(dataset, to="tool", prelabels="model")
    assert len(server["prelabels"]) == 20
    batch = ids_of(dataset, "batch:v1")
    assert dataset.select(list(batch)).count("elfs.prelabel") == 20
    assert dataset.select(list(batch)).count("digit") == 0
    server["back"] = lambda part, ids: Returned()  # nobody has looked
    assert runs.take_back(dataset)["labelled"] == 0
    server["back"] = all_of(dataset)
    told = runs.take_back(dataset)
    wrong = sum(server["prelabels"][i] != label for i, label in truth(dataset).items() if i in batch)
    assert told["prelabels"] == {"shown": 20, "changed": wrong}


def test_unknown_classes_strangers_and_deleted_samples(dataset, server):
    first(dataset, golden=0)
    runs.send_batch(dataset, to="tool")
    ids = dataset.load_saved_view("batch_v0").values("id")
    known = truth(dataset)
    dataset.delete_samples(ids[0])
    server["back"] = lambda part, own: Returned(
        labels={i: "seven" if i == ids[1] else known[i] for i in own}, strangers=1, skipped={ids[2]} & set(own)
    )
    server_back = server["back"]
    server["back"] = lambda part, own: (
        lambda found: Returned({i: v for i, v in found.labels.items() if i != ids[2]}, found.skipped, found.strangers)
    )(server_back(part, own))
    told = runs.take_back(dataset)
    assert told["unknown"] == {"seven": 1} and told["strangers"] == 2 and told["deleted"] == 1
    assert told["skipped"] == 1 and told["labelled"] == 17
    assert dataset[ids[1]].elfs.status == "sent" and dataset[ids[2]].elfs.status == "skipped"
    assert {
        "seven" in text or "deleted" in text or "no part" in text or "no longer" in text for text in told["warnings"]
    }
    # The class is added with the next batch; then the label counts.
    runs.next_batch(dataset, budget=5, classes=[*CLASSES, "seven"])
    assert runs.take_back(dataset, round=0)["labelled"] == 1
    assert ids[2] not in ids_of(dataset, "batch:v1")


def test_labels_that_are_there_are_learnt_from_and_stay(dataset, server):
    known = truth(dataset)
    ids = dataset.values("id")
    dataset.add_sample_field("digit", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    dataset.set_values("digit", {i: fo.Classification(label=known[i]) for i in ids[:60]}, key_field="id")
    told = first(dataset, classes=None, golden=0)
    assert told["labelled"] == 60 and told["sources"]["targeted"] == 14
    batch = dataset.load_saved_view("batch_v0").values("id")
    assert not set(batch) & set(ids[:60])
    assert record(dataset).labelling["classes"] == sorted(set(known[i] for i in ids[:60]))
    runs.send_batch(dataset, to="tool")
    # Somebody labels one in the App meanwhile, otherwise than the annotators do.
    dataset.set_values("digit", {batch[0]: fo.Classification(label="3")}, key_field="id")
    server["back"] = lambda part, own: Returned(labels={i: "4" if i == batch[0] else known[i] for i in own})
    told = runs.take_back(dataset)
    assert told["kept"] == 1 and dataset[batch[0]].digit.label == "3"


def test_names_in_use_are_refused_and_others_can_be_given(dataset):
    dataset.limit(2).tag_samples("to_annotate")
    with pytest.raises(NameTaken, match="to_annotate.*'names'"):
        first(dataset)
    assert record(dataset).rounds == []
    first(dataset, names={"waiting": "todo", "batch": "lot {round}", "pool_view": "rest"})
    assert len(ids_of(dataset, "todo")) == 30 == len(ids_of(dataset, "lot 0"))
    assert dataset.has_saved_view("rest") and len(ids_of(dataset, "to_annotate")) == 2


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"budget": 0}, "budget"),
        ({"budget": 301}, "budget"),
        ({"classes": "only"}, "classes"),
        ({"classes": [1, 2]}, "classes"),
        ({"golden": 200}, "golden"),
        ({"golden": -1}, "golden"),
        ({"labels_field": "elfs"}, "labels_field"),
        ({"labels_field": "no field"}, "labels_field"),
        ({"labels_field": "filepath"}, "labels_field"),
        ({"names": {"nothing": "x"}}, "names"),
        ({"names": {"batch": "same"}}, "name_batch"),
        ({"share": 2}, "share"),
        ({"target": "nobody"}, "target"),
        ({"failures_tag": "none"}, "failures_tag"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(dataset, asked, field):
    before = dataset.get_field_schema(flat=True).keys()
    with pytest.raises((InvalidInput, NameTaken)) as error:
        first(dataset, **asked)
    assert error.value.field == field
    assert dataset.get_field_schema(flat=True).keys() == before and record(dataset).labelling is None


def test_rounds_need_a_batch_and_a_tool_that_answers(dataset, server):
    with pytest.raises(InvalidInput, match="no rounds yet"):
        runs.send_batch(dataset, to="tool")
    first(dataset)
    with pytest.raises(InvalidInput, match="has not been sent"):
        runs.take_back(dataset)
    server["down"] = True
    with pytest.raises(InvalidInput, match="cannot be reached"):
        runs.send_batch(dataset, to="tool")
    assert state.round_of(record(dataset)).parts == []


def test_the_labels_correct_the_pseudo_labels(dataset, server):
    known = truth(dataset)
    first(dataset, budget=80, golden=0)
    runs.send_batch(dataset, to="tool")
    server["back"] = all_of(dataset)
    runs.take_back(dataset)
    before = dict(zip(*dataset.values(["id", "elfs.pseudo_label.label"])))
    told = runs.learn_labels(dataset)
    assert told["labels"] == 80 and told["clusters"] == 10
    after = dict(zip(*dataset.values(["id", "elfs.pseudo_label.label"])))
    assert sum(after[i] == known[i] for i in known) / len(known) > 0.8
    assert set(before.values()) == {f"cluster {c}" for c in range(10)}
    assert sorted(dataset.values("elfs.rank")) == list(range(len(dataset)))
    assert dataset.count_values("elfs.zone")["coreset"] == len(dataset) // 10
    assert runs.next_batch(dataset, budget=10)["chosen"] == 10


def test_ended_rounds_leave_the_labels_and_nothing_else(dataset, server):
    before = record(dataset)
    first(dataset)
    runs.send_batch(dataset, to="tool")
    server["back"] = all_of(dataset)
    runs.take_back(dataset)
    dataset.save_view("mine", dataset.limit(1))
    runs.forget_rounds(dataset)
    assert dataset.count("digit") == 30 and dataset.count_sample_tags() == {}
    assert dataset.list_saved_views() == ["mine"]
    dataset.delete_saved_view("mine")
    assert dataset.count("elfs.status") == dataset.count("elfs.round") == 0
    after = record(dataset)
    assert (after.tags, after.saved, after.rounds, after.labelling) == (before.tags, before.saved, [], None)
    assert first(dataset, labels_field="digit", classes=None, golden=0)["labelled"] == 30
    with pytest.raises(InvalidInput, match="has no rounds"):
        runs.forget_rounds(dataset) and runs.forget_rounds(dataset)


def test_a_deleted_run_takes_its_marks_with_it_and_leaves_the_labels(dataset, server):
    first(dataset)
    runs.send_batch(dataset, to="tool")
    server["back"] = all_of(dataset)
    runs.take_back(dataset)
    runs.delete_run(dataset)
    assert dataset.count("digit") == 30
    assert dataset.count_sample_tags() == {} and dataset.list_saved_views() == []
    assert not dataset.has_sample_field("elfs")
