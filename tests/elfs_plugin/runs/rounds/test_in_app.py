"""FiftyOne's own annotation as a place to send a batch to."""

import fiftyone as fo
import pytest

from elfs_plugin import runs
from elfs_plugin.errors import InvalidInput
from elfs_plugin.runs.own import own_dataset
from elfs_plugin.runs.rounds.backends.base import Sending
from elfs_plugin.runs.rounds.backends.in_app import InApp, label_schema
from elfs_plugin.runs.rounds.backends.registry import backends
from elfs_plugin.runs.rounds.state import SentPart
from tests.rounds import write_round


def send(dataset, ids, classes=("cat", "dog"), field="human", **given):
    part = SentPart("elfs_r0_0", len(ids))
    part.receipt = InApp().send(Sending(dataset, ids, part, field, list(classes), **given), lambda *_: None)
    return part


@pytest.fixture
def labelled(dataset):
    dataset.add_sample_field("human", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    return dataset


class TestSchema:
    def test_few_classes_are_buttons_and_many_a_list(self):
        assert label_schema(None, ["a", "b"]) == {
            "type": "classification",
            "component": "radio",
            "classes": ["a", "b"],
            "attributes": [],
        }
        assert label_schema(None, list("abcdef"))["component"] == "dropdown"

    def test_nothing_of_a_schema_that_is_there_is_lost(self):
        known = {
            "type": "classification",
            "component": "radio",
            "classes": ["z", "b"],
            "default": "z",
            "attributes": [{"name": "confidence", "type": "float", "component": "text"}],
        }
        found = label_schema(known, ["a", "b"])
        assert found == {**known, "classes": ["z", "b", "a"]}
        assert label_schema(found, ["a", "b"]) == found
        assert label_schema({**known, "component": "dropdown"}, ["a"])["component"] == "dropdown"

    def test_free_text_cannot_offer_classes(self):
        assert label_schema({"type": "classification", "component": "text"}, ["a"])["component"] == "radio"

    def test_what_cannot_be_labelled_is_refused(self):
        with pytest.raises(InvalidInput, match="read-only"):
            label_schema({"read_only": True}, ["a"])
        with pytest.raises(InvalidInput, match="at most 1,000 classes, and there are 1,001"):
            label_schema(None, [str(i) for i in range(1001)])


class TestSend:
    def test_the_field_is_offered_with_its_classes_before_others(self, labelled):
        other = {"type": "str", "component": "text"}
        labelled.add_sample_field("note", fo.StringField)
        labelled.set_label_schemas({"note": other})
        labelled.activate_label_schemas("note")
        ids = labelled.values("id")[:3]
        part = send(labelled, ids)
        send(labelled, ids)  # as after an interruption
        labelled.reload()
        assert labelled.label_schemas["note"] == other
        assert labelled.label_schemas["human"]["classes"] == ["cat", "dog"]
        assert labelled.active_label_schemas == ["human", "note"]
        assert part.receipt == {"field": "human"}

    def test_a_change_that_another_process_made_meanwhile_stays(self, labelled):
        mine, theirs = own_dataset(labelled), own_dataset(labelled)
        theirs.add_sample_field("note", fo.StringField)
        theirs.set_label_schemas({"note": {"type": "str", "component": "text"}})
        send(mine, mine.values("id")[:3])
        assert set(own_dataset(labelled).label_schemas) == {"note", "human"}

    def test_prelabels_are_never_written_into_the_field(self, labelled):
        ids = labelled.values("id")[:3]
        part = send(labelled, ids, prelabels=dict.fromkeys(ids, "cat"))
        assert labelled.count("human") == 0
        assert InApp().take(labelled, part, ids, {}).labels == {}

    def test_prelabels_are_shown_beside_and_cannot_be_changed(self, written):
        dataset, ids = written
        write_round(dataset, ids[:3], prelabels={ids[0]: ("one", 0.9)})
        send(dataset, ids[:3])
        assert own_dataset(dataset).active_label_schemas == ["human"]  # none were asked for
        for _ in range(2):
            send(dataset, ids[:3], prelabels={ids[0]: "one"})
        found = own_dataset(dataset)
        assert found.active_label_schemas == ["human", "elfs.prelabel"]
        assert found.label_schemas["elfs.prelabel"]["read_only"] is True
        runs.delete_run(dataset)
        assert own_dataset(dataset).active_label_schemas == ["human"]

    def test_a_field_that_cannot_hold_the_labels_is_refused(self, labelled):
        ids = labelled.values("id")[:3]
        with pytest.raises(InvalidInput, match="no field 'gone' of classifications") as caught:
            send(labelled, ids, field="gone")
        assert caught.value.field == "labels_field"
        with pytest.raises(InvalidInput, match="no field 'filepath' of classifications"):
            send(labelled, ids, field="filepath")
        field = labelled.get_field("human")
        field.read_only = True
        field.save()
        with pytest.raises(InvalidInput, match="read-only"):
            send(labelled, ids)
        assert labelled.label_schemas == {}


class TestTake:
    def test_what_has_a_class_now_counts_and_nothing_else(self, labelled):
        ids = labelled.values("id")
        part = send(labelled, ids[:4])
        named = {ids[0]: "dog", ids[1]: None, ids[9]: "cat"}
        values = {i: fo.Classification(label=name) for i, name in named.items()}
        labelled.set_values("human", values, key_field="id")
        found = InApp().take(labelled, part, ids[:4], {})
        assert (found.labels, found.strangers, found.by, found.skipped) == ({ids[0]: "dog"}, 0, {}, set())
        assert InApp().take(labelled, part, ids[:4], {}).labels == found.labels  # it can be asked again
        [standing] = InApp().standing(labelled, part, ids[:4], {})
        assert (standing.done, standing.total, standing.who) == (1, 4, "FiftyOne App")

    def test_samples_that_are_deleted_and_fields_that_are_gone(self, labelled):
        ids = labelled.values("id")
        part = send(labelled, ids[:3])
        labelled.set_values("human", {i: fo.Classification(label="cat") for i in ids[:3]}, key_field="id")
        labelled.delete_samples(ids[:1])
        assert set(InApp().take(labelled, part, ids[:3], {}).labels) == set(ids[1:3])
        labelled.delete_sample_field("human")
        assert InApp().take(labelled, part, ids[:3], {}).labels == {}

    def test_what_was_never_sent_cannot_be_taken(self, labelled):
        with pytest.raises(InvalidInput, match="has not been sent"):
            InApp().take(labelled, SentPart("elfs_r0_0", 1), labelled.values("id")[:1], {})


def test_it_is_the_first_that_is_listed():
    assert next(iter(backends())) == "in_app"


def test_videos_are_refused():
    dataset = fo.Dataset()
    try:
        dataset.media_type = "video"
        with pytest.raises(InvalidInput, match="video"):
            InApp().check(dataset, {})
    finally:
        dataset.delete()
