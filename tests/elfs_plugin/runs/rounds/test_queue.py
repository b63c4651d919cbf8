"""What waits for a label, and in which order."""

import json

import fiftyone as fo
import pytest

from elfs_plugin.errors import Busy, InvalidInput
from elfs_plugin.runs import jobs, journal
from elfs_plugin.runs.rounds import queue, state, views
from elfs_plugin.runs.run import Run
from tests.rounds import LABELS, label, write_round


@pytest.fixture
def batch(written):
    """A dataset whose round 0 has the samples of ranks 7, 3, 5 and 1, in this order; round 1 those of 0 and 2."""
    dataset, ids = written
    write_round(dataset, [ids[i] for i in (7, 3, 5, 1)])
    write_round(dataset, [ids[i] for i in (0, 2)], number=1)
    return dataset, ids


def waiting(dataset, ids, number=0):
    return [ids.index(i) for i in queue.waiting_view(Run(dataset, "elfs"), number).values("id")]


class TestWaiting:
    def test_they_come_in_the_order_of_choice_of_their_round(self, batch):
        dataset, ids = batch
        assert waiting(dataset, ids) == [7, 3, 5, 1]
        assert waiting(dataset, ids, None) == [0, 2]  # the last round
        assert len(json.dumps(queue.waiting_view(Run(dataset, "elfs"), 0)._serialize())) < 600  # no list of ids

    def test_what_is_labelled_or_skipped_leaves_at_once(self, batch):
        dataset, ids = batch
        view = queue.waiting_view(Run(dataset, "elfs"), 0)
        label(dataset, {ids[3]: "one"})
        assert view.values("id") == [ids[i] for i in (7, 5, 1)]
        assert queue.skip(dataset, "elfs", [ids[7]]) == 1
        assert waiting(dataset, ids) == [5, 1]

    def test_a_label_without_a_class_is_none_yet(self, batch):
        dataset, ids = batch
        dataset.set_values(LABELS, {ids[3]: fo.Classification(), ids[5]: fo.Classification(label="")}, key_field="id")
        assert waiting(dataset, ids) == [7, 3, 5, 1]
        assert queue.counts(Run(dataset, "elfs"), 0) == queue.Counts(0, 0, 4)

    def test_a_run_without_rounds_says_what_to_do_first(self, written):
        run = Run(written[0], "elfs")
        for call in (queue.waiting_view, queue.next_waiting, queue.counts):
            with pytest.raises(InvalidInput, match="no rounds yet. Use next_batch first"):
                call(run)
        with pytest.raises(InvalidInput, match="no rounds yet"):
            queue.skip(written[0], "elfs", written[1][:1])
        with pytest.raises(InvalidInput, match="no rounds yet"):
            queue.skip(written[0], "no_such_run", written[1][:1])
        assert "no_such_run" not in written[0].list_runs()


class TestNext:
    def test_it_goes_on_after_the_last_one_and_then_from_the_start(self, batch):
        dataset, ids = batch
        run = Run(dataset, "elfs")

        def after(rank, number=0):
            found = queue.next_waiting(run, None if rank is None else ids[rank], number)
            return None if found is None else ids.index(found)

        assert [after(rank) for rank in (None, 7, 3, 5, 1)] == [7, 3, 5, 1, 7]
        label(dataset, {ids[7]: "one", ids[5]: "two"})
        assert [after(rank) for rank in (None, 7, 3, 5, 1)] == [3, 3, 1, 1, 3]
        label(dataset, {ids[3]: "one"})
        assert (after(None), after(1)) == (1, None)  # it waits, and is the one that is looked at
        label(dataset, {ids[1]: "one"})
        assert after(None) is None
        assert after(11, 1) == after(None, None) == 0  # after a sample of no round

    def test_what_is_suggested_for_a_sample(self, written):
        dataset, ids = written
        run = write_round(dataset, ids[:3], prelabels={ids[0]: ("one", 0.9), ids[1]: ("two", None)})
        asked = (*ids[:3], "no id", "0" * 24)
        assert [queue.prelabel_of(run, i) for i in asked] == [("one", 0.9), ("two", None), None, None, None]

    def test_ids_that_are_none_are_passed_over(self, batch):
        assert queue.next_waiting(Run(batch[0], "elfs"), "no id", 0) == batch[1][7]


class TestSkipping:
    def test_it_is_counted_and_can_be_taken_back(self, batch):
        dataset, ids = batch
        label(dataset, {ids[5]: "two"})
        assert queue.skip(dataset, "elfs", [ids[3], ids[5], ids[3], ids[11]]) == 1
        dataset.reload()
        assert dataset[ids[3]]["elfs.status"] == "skipped" and dataset[ids[5]]["elfs.status"] == "sent"
        assert queue.counts(Run(dataset, "elfs"), 0) == queue.Counts(labelled=1, skipped=1, waiting=2)
        assert views.round_view(Run(dataset, "elfs"), "skipped", 0).values("id") == [ids[3]]
        assert queue.ask_again(dataset, "elfs", [ids[3]]) == 1
        assert waiting(dataset, ids) == [7, 3, 1]

    def test_all_that_are_skipped_in_a_round_can_be_asked_again(self, batch):
        dataset, ids = batch
        queue.skip(dataset, "elfs", [ids[3], ids[5], ids[0]])
        assert queue.ask_again(dataset, "elfs", round=0) == 2
        assert waiting(dataset, ids) == [7, 3, 5, 1] and waiting(dataset, ids, 1) == [2]
        with pytest.raises(InvalidInput, match="No image of round 0 is skipped"):
            queue.ask_again(dataset, "elfs", round=0)
        assert queue.ask_again(dataset, "elfs") == 1 and waiting(dataset, ids, 1) == [0, 2]
        with pytest.raises(InvalidInput, match="no round 7"):
            queue.ask_again(dataset, "elfs", round=7)

    def test_a_round_that_had_ended_is_open_again_and_its_images_are_tagged(self, written):
        dataset, ids = written
        run = write_round(dataset, ids[:3], state="accepted", status="sent")
        run.record.tags.append("to_annotate")
        journal.publish(dataset, run.record, journal.Draft(tagged={"to_annotate": [ids[5]]}))
        queue.skip(dataset, "elfs", [ids[1]])
        label(dataset, {ids[0]: "one", ids[2]: "two"})
        dataset.set_values("elfs.status", {ids[0]: "annotated", ids[2]: "annotated"}, key_field="id")
        assert not state.round_of(Run(dataset, "elfs").record).is_open
        assert queue.ask_again(dataset, "elfs") == 1
        one = state.round_of(Run(dataset, "elfs").record)
        assert one.state == "returned" and one.when["returned"] > 0
        assert dataset.match_tags("to_annotate").values("id") == [ids[1]]

    def test_a_label_counts_more_than_an_earlier_skip(self, batch):
        dataset, ids = batch
        queue.skip(dataset, "elfs", [ids[3]])
        label(dataset, {ids[3]: "one"})
        assert queue.counts(Run(dataset, "elfs"), 0) == queue.Counts(labelled=1, skipped=0, waiting=3)

    def test_all_rounds_are_counted_at_once(self, batch):
        dataset, ids = batch
        label(dataset, {ids[7]: "one", ids[0]: "two", ids[11]: "two"})
        run = Run(dataset, "elfs")
        assert queue.count_rounds(run) == {0: queue.Counts(1, 0, 3), 1: queue.Counts(1, 0, 1)}
        assert queue.counts(run) == queue.Counts(1, 0, 1)
        with pytest.raises(InvalidInput, match="no round 7"):
            queue.counts(run, 7)

    def test_a_run_without_rounds_has_no_counts(self, written):
        assert queue.count_rounds(Run(written[0], "elfs")) == {}

    def test_nothing_else_of_the_run_changes(self, batch, state_of):
        dataset, ids = batch
        before, paths = state_of(dataset), ["elfs.rank", "elfs.round", "elfs.turn", "elfs.status", LABELS]
        values = dataset.values(paths)
        queue.skip(dataset, "elfs", [ids[3]])
        queue.ask_again(dataset, "elfs", [ids[3]])
        assert state_of(dataset)._replace(stores=before.stores) == before  # the job was noted
        assert dataset.values(paths) == values

    def test_in_a_round_that_is_not_sent_it_is_chosen_again(self, batch):
        dataset, ids = batch
        write_round(dataset, [ids[10]], number=2, status="selected")
        queue.skip(dataset, "elfs", [ids[10], ids[0]])
        queue.ask_again(dataset, "elfs", [ids[10], ids[0]])
        dataset.reload()
        assert dataset[ids[10]]["elfs.status"] == "selected" and dataset[ids[0]]["elfs.status"] == "sent"

    @pytest.mark.parametrize("which", [[11], []])
    def test_samples_that_do_not_wait_are_refused(self, batch, which):
        dataset, ids = batch
        with pytest.raises(InvalidInput, match="None of these images waits for a label"):
            queue.skip(dataset, "elfs", [ids[i] for i in which])
        with pytest.raises(InvalidInput, match="None of these images is skipped"):
            queue.ask_again(dataset, "elfs", [ids[7], "no id"])
        assert jobs.read_job(dataset, "elfs") is None  # refused before any work

    def test_it_waits_for_no_other_job(self, batch):
        dataset, ids = batch
        with jobs.job(dataset, "elfs", "Searching β", {"beta": 1}), pytest.raises(Busy):
            queue.skip(dataset, "elfs", [ids[3]])
        assert waiting(dataset, ids) == [7, 3, 5, 1]


class TestViews:
    def test_the_batch_is_in_its_order(self, batch):
        dataset, ids = batch
        assert views.round_view(Run(dataset, "elfs"), number=0).values("id") == [ids[i] for i in (7, 3, 5, 1)]

    def test_what_was_changed_begins_with_the_surest_prelabel(self, written):
        dataset, ids = written
        sure = {ids[0]: ("one", 0.2), ids[1]: ("two", 0.9), ids[2]: ("two", 0.7), ids[3]: ("one", 0.5)}
        run = write_round(dataset, ids[:5], prelabels=sure)
        label(dataset, {ids[0]: "two", ids[1]: "two", ids[2]: "one", ids[4]: "one"})
        assert views.round_view(run, "changed").values("id") == [ids[2], ids[0]]

    def test_what_its_cluster_does_not_expect(self, written):
        # Even ranks are in cluster 2, odd ones in cluster 10; the higher the rank, the surer.
        dataset, ids = written
        run = write_round(dataset, ids[:8])
        label(dataset, {ids[i]: ("one", "two")[i % 2] for i in range(8)} | {ids[2]: "two", ids[5]: "one"})
        assert views.round_view(run, "unexpected").values("id") == [ids[5], ids[2]]
        label(dataset, {ids[2]: "one", ids[5]: "two"})
        assert views.round_view(run, "unexpected").values("id") == []

    def test_without_labels_nothing_is_unexpected(self, batch):
        assert len(views.round_view(Run(batch[0], "elfs"), "unexpected", 0)) == 0
        with pytest.raises(ValueError):
            views.round_view(Run(batch[0], "elfs"), "nothing")


def test_the_order_of_choice_is_indexed(batch):
    from elfs_plugin.runs import fields

    fields.ensure_indexes(batch[0], "elfs")
    keys = [[path for path, _ in index["key"]] for index in batch[0].get_index_information().values()]
    assert ["elfs.round", "elfs.turn"] in keys
