"""The tab *Label*, without a browser."""

import fiftyone as fo
import fiftyone.operators as foo
import pytest

from elfs_plugin.runs import jobs
from elfs_plugin.runs.rounds import queue, state
from elfs_plugin.runs.rounds.backends.in_app import InApp
from elfs_plugin.runs.run import Run
from tests.panels.test_events import Panel
from tests.rounds import CLASSES, LABELS, label, write_round

REQUEST = "@voxel51/annotation/request_annotations"
STEPS = ("choose", "send", "take_back", "learn")
IN_APP = {"sent": {"to": "in_app"}, "parts": [state.SentPart("elfs_r0", 4, state="sent", receipt={"field": LABELS})]}


@pytest.fixture
def panel(plugin, written):
    return opened(written[0])


def opened(dataset, **around):
    return Panel(dataset, **around).fire("on_tab", value="label")


@pytest.fixture
def batch(written):
    """Round 0 with the samples of ranks 7, 3, 5 and 1, in this order, labelled in the App."""
    dataset, ids = written
    write_round(dataset, [ids[i] for i in (7, 3, 5, 1)], **IN_APP)
    return dataset, ids


def rows(panel):
    """The table's rows as the browser has them."""
    [name] = [name for name in panel.drawn_last if name.startswith("rounds_")]
    return panel.data[name]


def prominent(panel):
    """Names of the filled buttons of the next step."""
    rows = [panel.find(name) or {"type": {"properties": {}}} for name in ("label_queue", "label_steps")]
    buttons = {name: item["view"] for row in rows for name, item in row["type"]["properties"].items()}
    return [name for name, view in buttons.items() if view.get("variant") == "contained"]


def opens(panel):
    """The id of the image that is opened."""
    found = [sent["id"] for name, sent in panel.started if name == "open_sample"]
    assert len(found) <= 1
    return found[0] if found else None


class TestEmpty:
    def test_it_says_what_rounds_are_and_offers_the_first(self, panel):
        assert "No rounds of labelling yet" in panel.alerts and "golden set" in panel.text
        assert prominent(panel) == ["label_choose"]
        assert panel.find("label_send") is None and panel.find("label_parts") is None
        sent = panel.press("label_choose").started[0][1]
        assert (sent["operator_uri"], sent["params"]) == ("@elfs/coreset/next_batch", {"key": "elfs"})
        assert panel.said == []


class TestBesideAnImage:
    def test_it_begins_where_an_image_is_labelled(self, batch):
        dataset, ids = batch
        for place, tab in ((7, "label"), (2, "tune")):
            assert (Panel(dataset, current_sample=ids[place]).state.get("tab") or "tune") == tab
        label(dataset, {ids[7]: CLASSES[0]})  # its label was the first thing to be made
        assert Panel(dataset, current_sample=ids[7]).state["tab"] == "label"


class TestSteps:
    @pytest.mark.parametrize(
        "entries, first, operator",
        [
            ({"state": "selected"}, "send", "send_batch"),
            ({"state": "sent", "sent": {"to": "label_studio"}}, "take_back", "take_back"),
            ({"state": "accepted"}, "learn", "learn_labels"),
            ({"state": "accepted", "measured": {"accuracy": 0.5}}, "choose", "next_batch"),
        ],
    )
    def test_one_button_is_the_next_step_and_the_others_are_there(self, plugin, written, entries, first, operator):
        dataset, ids = written
        write_round(dataset, ids[:4], **entries)
        panel = opened(dataset)
        assert prominent(panel) == [f"label_{first}"]
        assert all(panel.find(f"label_{name}") for name in STEPS)
        sent = panel.press(f"label_{first}").started[0][1]
        assert sent["operator_uri"] == f"@elfs/coreset/{operator}"
        of_a_round = first in ("send", "take_back")
        assert sent["params"] == ({"key": "elfs", "round": 0} if of_a_round else {"key": "elfs"})

    def test_nothing_is_begun_beside_a_running_job(self, plugin, batch):
        panel = opened(batch[0])
        with jobs.job(batch[0], "elfs", "Searching β", {"beta": 1}):
            panel.fire("on_tick")
            assert all(panel.find(f"label_{name}")["view"]["disabled"] for name in STEPS)

    @pytest.mark.parametrize("kind", ["next_batch", "send_batch", "take_back", "learn_labels"])
    def test_when_a_job_on_the_rounds_ends_the_last_round_is_shown(self, plugin, batch, kind):
        dataset, ids = batch
        write_round(dataset, ids[8:10], number=1)
        panel = opened(dataset)
        panel.fire("on_label_round", value="0").press("look_again")
        with jobs.job(dataset, "elfs", "Some words", {"only": 1}, kind=kind):
            panel.fire("on_tick")
        panel.fire("on_tick")
        assert panel.find("label_round_2")["default"] == "1" and panel.state["standing"] is None

    def test_a_run_that_is_gone_is_told(self, plugin, batch):
        from elfs_plugin import runs

        panel = opened(batch[0])
        button = panel.find("label_next")["view"]
        runs.delete_run(batch[0])
        panel.fire(button["operator"].rpartition("#")[2], **button["params"])
        assert panel.said and opens(panel) is None


class TestQueue:
    def test_the_next_image_is_opened_and_the_grid_shows_what_waits(self, plugin, batch):
        dataset, ids = batch
        panel = opened(dataset)
        assert prominent(panel) == ["label_next"] and "4 images wait for a label" in panel.text
        assert panel.find("label_left")["default"] == "4 of 4"
        assert opens(panel.press("label_next")) == ids[7]
        assert panel.ids == [ids[i] for i in (7, 3, 5, 1)]
        label(dataset, {ids[7]: "one"})  # the grid and the page do not know
        panel.fire("on_change_current_sample")
        assert panel.find("label_left")["default"] == "3 of 4" and rows(panel)[0]["labelled"] == "1"
        shown = panel.press("look_again").view
        assert panel.ids == [ids[i] for i in (3, 5, 1)] and panel.press("look_again").view != shown

    def test_it_is_opened_to_be_annotated_but_a_prelabel_is_shown_first(self, plugin, written):
        dataset, ids = written
        write_round(dataset, ids[:2], prelabels={ids[0]: ("one", 0.9)}, **IN_APP)
        panel, modes = opened(dataset), []
        for i in ids[:2]:
            [sent] = [sent for name, sent in panel.press("label_next").started if name == "open_sample"]
            modes.append((sent["id"] == i, sent["mode"]))
            label(dataset, {i: "one"})
        assert modes == [(True, "explore"), (True, "annotate")]

    def test_the_prelabel_of_the_open_image_is_told(self, plugin, written):
        dataset, ids = written
        write_round(dataset, ids[:3], prelabels={ids[0]: ("one", 0.9), ids[1]: ("two", None)}, **IN_APP)
        told = []
        for i in ids[:3]:
            found = opened(dataset, current_sample=i).fire("on_load").find("label_prelabel")
            told.append(found and found["default"])
        assert told == ["one (90%)", "two", None]

    def test_beside_an_open_image_only_the_next_one_is_opened(self, plugin, batch):
        dataset, ids = batch
        panel = opened(dataset, current_sample=ids[7])
        label(dataset, {ids[7]: "one"})
        assert opens(panel.press("label_next")) == ids[3]
        assert panel.view is None

    def test_skip_goes_on_to_the_next(self, plugin, batch):
        dataset, ids = batch
        panel = opened(dataset, current_sample=ids[7]).press("label_skip")
        assert panel.said == ["1 image skipped"] and opens(panel) == ids[3]
        assert queue.counts(Run(dataset, "elfs")) == queue.Counts(0, 1, 3)
        assert panel.find("label_left")["default"] == "3 of 4" and rows(panel)[0]["skipped"] == "1"
        assert panel.fire("on_tick").said == []  # its end is not told once more

    def test_selected_images_are_skipped_together(self, plugin, batch):
        dataset, ids = batch
        panel = opened(dataset, selected=[ids[7], ids[5], ids[0]]).press("label_skip")
        assert panel.said == ["2 images skipped"] and opens(panel) is None
        assert "clear_selected_samples" in panel.sent and panel.view is None  # the grid shows something else
        panel = opened(dataset).press("label_next")
        assert panel.ids == [ids[3], ids[1]]
        panel.around = {"selected": [ids[3]]}
        panel.press("label_skip")
        assert panel.ids == [ids[1]]

    def test_the_form_of_another_plugin_is_offered_where_it_is_installed(self, plugin, batch, monkeypatch):
        dataset, ids = batch
        panel = opened(dataset)
        assert panel.find("label_request") is None
        monkeypatch.setattr(foo, "operator_exists", lambda uri: uri == REQUEST)
        panel = opened(dataset).press("label_request")
        assert panel.ids == [ids[i] for i in (7, 3, 5, 1)]
        assert panel.started[-1][1]["operator_uri"] == REQUEST

    def test_without_an_image_nothing_is_skipped(self, plugin, batch):
        panel = opened(batch[0]).press("label_skip")
        assert "select some in the grid" in panel.said[0]
        assert queue.counts(Run(batch[0], "elfs")).skipped == 0

    def test_when_none_waits_labels_are_taken_back(self, plugin, batch):
        dataset, ids = batch
        panel = opened(dataset)
        label(dataset, dict.fromkeys([ids[i] for i in (7, 3, 5, 1)], "one"))
        assert "No other image of round 0" in panel.press("label_next").said[0] and panel.view is None
        assert prominent(panel.fire("on_load")) == ["label_take_back"] and panel.find("label_next") is None


class TestAskingAgain:
    def test_all_that_are_skipped_wait_again(self, plugin, batch):
        dataset, ids = batch
        assert opened(dataset).find("label_ask_again") is None  # nothing is skipped
        queue.skip(dataset, "elfs", [ids[3], ids[5]])
        panel = opened(dataset).press("label_ask_again")
        assert panel.said == ["2 images wait for a label again"]
        assert panel.ids == [ids[i] for i in (7, 3, 5, 1)] and panel.state["shown"] == "waiting 0"
        assert panel.find("label_ask_again") is None and panel.find("label_left")["default"] == "4 of 4"

    def test_of_selected_ones_those_that_are_skipped(self, plugin, batch):
        dataset, ids = batch
        queue.skip(dataset, "elfs", [ids[3], ids[5]])
        panel = opened(dataset, selected=[ids[5], ids[7]]).press("label_ask_again")
        assert panel.said == ["1 image waits for a label again"] and "clear_selected_samples" in panel.sent
        assert panel.find("label_left")["default"] == "3 of 4"

    def test_the_open_image_alone_and_it_stays_open(self, plugin, batch):
        dataset, ids = batch
        queue.skip(dataset, "elfs", [ids[3], ids[5]])
        panel = opened(dataset, current_sample=ids[3]).press("label_ask_again")
        assert panel.said == ["1 image waits for a label again"] and panel.view is None

    def test_selected_ones_that_are_not_skipped_change_nothing(self, plugin, batch):
        dataset, ids = batch
        queue.skip(dataset, "elfs", [ids[3]])
        panel = opened(dataset, selected=[ids[7]]).press("label_ask_again")
        assert "None of these images is skipped" in panel.said[0]
        assert queue.counts(Run(dataset, "elfs")).skipped == 1


class TestRounds:
    def test_the_table_has_a_row_for_each(self, plugin, batch):
        dataset, ids = batch
        label(dataset, {ids[7]: "one"})
        measured = {"accuracy": 0.612, "standard_error": 0.034, "n": 50, "labels": 4}
        write_round(dataset, [ids[i] for i in (7, 3, 5, 1)], **{**IN_APP, "state": "accepted", "measured": measured})
        write_round(dataset, ids[8:10], number=1, sent={"to": "no_longer_there"})
        assert rows(opened(dataset)) == [
            {
                "round": "0",
                "state": "accepted",
                "chosen": "4",
                "to": "FiftyOne App",
                "labelled": "1",
                "skipped": "0",
                "waiting": "3",
                "golden": "61.2 ± 3.4",
            },
            {
                "round": "1",
                "state": "sent",
                "chosen": "2",
                "to": "no_longer_there",
                "labelled": "0",
                "skipped": "0",
                "waiting": "2",
                "golden": "-",
            },
        ]

    def test_the_curve_is_drawn_with_its_spread_once_it_is_measured(self, plugin, batch):
        dataset, ids = batch
        assert opened(dataset).find("golden") is None
        measured = {"accuracy": 0.6, "standard_error": 0.03, "n": 50, "labels": 4, "random": 0.5}
        write_round(dataset, ids[:4], measured=measured)
        traces = opened(dataset).find("golden")["view"]["data"]
        assert (traces[0]["x"], traces[0]["y"], traces[0]["error_y"]["array"]) == ([4], [0.6], [0.03])
        assert traces[1]["y"] == [0.5]

    def test_a_round_tells_what_happened(self, plugin, batch):
        dataset, ids = batch
        given = {"reason": "Half of it near failures.", "returned": {"labelled": 3, "changed_prelabels": 2, "by": {}}}
        write_round(dataset, ids[:4], **{**IN_APP, **given})
        text = opened(dataset).text
        assert "4 images by coverage** (4 coverage)." in text and "Half of it near failures." in text
        assert "Sent to FiftyOne App." in text and "labelled 3, changed prelabels 2." in text

    def test_another_round_can_be_looked_at(self, plugin, batch):
        dataset, ids = batch
        write_round(dataset, ids[8:10], number=1)
        panel = opened(dataset)
        assert panel.find("label_part_batch")["view"]["params"]["round"] == 1
        panel.fire("on_label_round", value="0").press("label_part_batch")
        assert panel.ids == [ids[i] for i in (7, 3, 5, 1)]
        assert panel.find("label_part_batch")["view"]["variant"] == "contained"

    @pytest.mark.parametrize("part, ranks", [("changed", [2]), ("unexpected", [2]), ("skipped", [6])])
    def test_what_is_worth_a_look_is_shown_in_the_grid(self, plugin, written, part, ranks):
        dataset, ids = written
        write_round(dataset, ids[:8], prelabels={ids[0]: ("one", 0.5), ids[2]: ("one", 0.5)}, **IN_APP)
        panel = opened(dataset)
        assert "has no such images" in panel.press(f"label_part_{part}").said[0] and panel.view is None
        label(dataset, {ids[0]: "one", ids[2]: "two", ids[4]: "one", ids[1]: "two"})
        queue.skip(dataset, "elfs", [ids[6]])
        assert panel.press(f"label_part_{part}").ids == [ids[i] for i in ranks]


class TestStanding:
    def test_the_back_end_is_asked_only_when_the_button_is_pressed(self, plugin, batch, monkeypatch):
        dataset, ids = batch
        asked = []
        tool = plugin("elfs_plugin.runs.rounds.backends.in_app").InApp
        ask = tool.standing
        monkeypatch.setattr(tool, "standing", lambda *given: asked.append(given) or ask(*given))
        label(dataset, {ids[7]: "one"})
        panel = opened(dataset)
        panel.fire("on_tick")
        assert asked == [] and panel.find("standing") is None
        panel.press("look_again")
        assert len(asked) == 1 and list(asked[0][3]) == [ids[i] for i in (7, 3, 5, 1)]
        found = panel.find("standing_0")
        assert (found["view"]["label"], found["default"]) == ("FiftyOne App", "1 of 4")

    def test_a_tool_that_does_not_answer_is_told(self, plugin, batch, monkeypatch):
        tool = plugin("elfs_plugin.runs.rounds.backends.in_app").InApp
        wrong = plugin("elfs_plugin.errors").InvalidInput

        def fail(*given):
            raise wrong("The server does not answer.")

        monkeypatch.setattr(tool, "standing", fail)
        panel = opened(batch[0]).press("look_again")
        assert panel.said == ["The server does not answer."]
        assert opened(batch[0]).find("label_next")  # the tab stays

    def test_a_part_that_was_not_sent_yet_has_nothing_done(self, plugin, written):
        dataset, ids = written
        parts = [
            state.SentPart("p0", 2, "ann"),
            state.SentPart("p1", 2, "ben", "sent", {"field": LABELS, "ids": ids[2:4]}),
        ]
        write_round(dataset, ids[:4], sent={"to": "in_app"}, parts=parts)
        label(dataset, {ids[0]: "one", ids[2]: "two"})
        panel = opened(dataset)
        assert "ann: 2 images, planned" in panel.text and "ben: 2 images, sent" in panel.text
        panel.press("look_again")
        found = [panel.find(f"standing_{at}") for at in (0, 1)]
        assert [(one["view"]["label"], one["default"]) for one in found] == [("ann", "0 of 2"), ("ben", "1 of 2")]


def test_the_classes_of_the_batch_are_offered_by_the_app(batch):
    """What the panel's tab counts on: a sent field is one that the App can label."""
    from elfs_plugin.runs.rounds.backends.base import Sending

    dataset, ids = batch
    InApp().send(Sending(dataset, ids[:1], IN_APP["parts"][0], LABELS, CLASSES), lambda *_: None)
    found = fo.load_dataset(dataset.name)
    assert found.active_label_schemas[0] == LABELS and found.label_schemas[LABELS]["classes"] == CLASSES
