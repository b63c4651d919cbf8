"""The tab *Recommended*, without a browser."""

import json
import re

import pytest

from elfs_plugin import runs
from elfs_plugin.runs import jobs, record
from tests.panels.test_events import Panel

TAG = "elfs_recommended"


@pytest.fixture
def panel(plugin, written):
    return Panel(written[0]).fire("on_tab", value="recommended")


def chosen(dataset, budget=3, **given):
    """Chooses as the panel's first button does. Returns the ids in order of choice."""
    runs.choose_coreset(dataset, **{"method": "auto", "budget": budget, "tag": TAG, **given})
    run = runs.Run(dataset, "elfs")
    return runs.beside_view(run, given.get("tag", TAG), 0, 1, "chosen").values("id")


def numbers(panel):
    """The values beside their labels."""
    row = panel.find("chosen_numbers")["type"]["properties"]
    return {item["view"]["label"]: item["default"] for item in row.values()}


class TestAdvice:
    def test_it_names_a_method_the_reason_and_the_second(self, panel):
        assert "**Recommended: graph_coverage.** 1 of 12 images" in panel.text
        assert "Second: **prune4rel**" in panel.text and "Nothing chosen yet" in panel.text
        assert panel.fire("on_recommended_images", value=4).state["budget"] == 4
        assert "4 of 12 images (33.3%" in panel.text
        assert panel.view is None  # the grid stays

    def test_a_budget_that_does_not_fit_beside_the_cuts_is_told(self, panel):
        panel.fire("on_recommended_images", value=99)
        assert panel.state["budget"] == panel.state["images"] == 5  # of 12, of which β drops 7
        assert "The budget can be 1 to 5 images beside this β; it is 5 now." in panel.alerts

    def test_where_elfs_is_recommended_its_cuts_are_set_in_the_tab_for_them(self, panel):
        panel.state["learner"] = "network"
        panel.fire("on_recommended_images", value=4)
        assert "**Recommended: elfs.**" in panel.text
        assert panel.find("choose_second")["view"]["label"] == "Choose by graph_coverage"
        assert panel.press("choose_elfs").find("cuts") and panel.state["tab"] == "tune"

    def test_pseudo_labels_that_look_doubtful_count(self, panel, written):
        from elfs_plugin.runs import journal

        journal.save_results(written[0], "elfs", clusters={"warnings": ["Doubtful."]})
        panel.state["learner"] = "network"
        panel.fire("on_recommended_images", value=4)
        assert "**Recommended: graph_coverage.**" in panel.text and "look doubtful" in panel.text
        assert panel.find("choose_second") is None and panel.find("choose_elfs")


class TestChoosing:
    def test_the_first_button_starts_the_recommended_method(self, panel):
        panel.fire("on_recommended_images", value=4).press("choose_first")
        name, sent = panel.started[0]
        assert (name, panel.said) == ("select_coreset", [])
        wanted = {"method": "auto", "learner": "probe", "budget": 4, "budget_unit": "images", "progress": "panel"}
        assert sent == {"key": "elfs", **wanted, "tag": TAG, "view_name": TAG}

    def test_the_second_button_starts_the_second(self, panel):
        sent = panel.press("choose_second").started[0][1]
        assert (sent["method"], sent["tag"], sent["budget"]) == ("prune4rel", "elfs_prune4rel", 1)
        assert "learner" not in sent

    def test_a_tag_of_somebody_else_is_refused_before_anything_is_started(self, panel, written):
        written[0].limit(2).tag_samples(TAG)
        panel.press("choose_first")
        assert f"The tag '{TAG}' is already in use" in panel.said[0] and panel.started == []
        assert written[0].count_sample_tags() == {TAG: 2}

    def test_a_view_of_somebody_else_stays(self, panel, written):
        written[0].save_view(TAG, written[0].limit(2))
        assert panel.press("choose_first").started[0][1]["view_name"] == f"{TAG} (elfs)"

    def test_all_settings_are_a_form(self, panel):
        panel.press("choose_with")
        sent = panel.started[0][1]
        assert sent["operator_uri"] == "@elfs/coreset/select_coreset"
        assert sent["params"]["method"] == "auto" and sent["params"]["budget"] == 1

    def test_nothing_is_started_beside_a_running_job(self, panel, written):
        with jobs.job(written[0], "elfs", "Searching β", {"beta": 1}):
            panel.fire("on_tick")
            assert panel.find("choose_first")["view"]["disabled"]

    def test_a_choice_that_ends_is_the_one_to_look_at(self, panel, written):
        chosen(written[0])
        chosen(written[0], method="random", tag="by_chance")
        panel.state["chosen_tag"] = TAG
        assert panel.fire("on_load").find("chosen_tag")["default"] == TAG
        with jobs.job(written[0], "elfs", "Some words", {"only": 1}, kind="choice"):
            panel.fire("on_tick")
        assert panel.fire("on_tick").find("chosen_tag")["default"] == "by_chance"

    def test_choosing_again_replaces_its_own_and_nothing_else(self, panel, written):
        dataset, ids = written
        dataset.select(ids[:2]).tag_samples("mine")
        chosen(dataset, 3, view_name=TAG)
        before = set((runs.Run(dataset, "elfs").folder).glob("choice-*"))
        chosen(dataset, 2, view_name=TAG)
        assert dataset.count_sample_tags() == {"mine": 2, TAG: 2}
        after = set((runs.Run(dataset, "elfs").folder).glob("choice-*"))
        assert len(before) == len(after) == 1 and before != after


class TestBeside:
    """Ranks 2, 3 and 4 are in the cuts; ranks 1, 3 and 4 have the tag. Samples are in cluster 2 or 10 in turn."""

    @pytest.fixture
    def shown(self, panel, written, monkeypatch):
        dataset, ids = written
        chosen(dataset)
        dataset.untag_samples(TAG)
        dataset.select([ids[i] for i in (1, 3, 4)]).tag_samples(TAG)
        return panel.fire("on_commit", hard=2, budget=3, serial=1)

    @pytest.mark.parametrize(
        "part, places",
        [("only_chosen", [1]), ("only_elfs", [2]), ("both", [3, 4]), ("neither", [0, 5, 6, 7, 8, 9, 10, 11])],
    )
    def test_the_grid_shows_each_part(self, shown, ids, part, places):
        shown.press(f"beside_{part}")
        assert shown.ids == [ids[i] for i in places]
        assert shown.find(f"beside_{part}")["view"]["variant"] == "contained"

    def test_the_numbers_are_those_of_the_tags_as_they_are(self, shown, written):
        assert numbers(shown) == {
            "shared with ELFS": "2 (67%)",
            "by chance": "0.8 (25%)",
            "clusters without an image": "none",
        }
        written[0].select([written[1][4]]).untag_samples(TAG)
        assert numbers(shown.fire("on_load"))["clusters without an image"] == "1 of 2"
        assert "1 more have lost it or are gone" in shown.text
        written[0].untag_samples(TAG)
        assert f"No image has the tag `{TAG}` any more" in shown.fire("on_load").text
        assert shown.find("beside_both") is None

    def test_other_cuts_are_compared_at_once(self, shown):
        assert "β = 16.7%, 3 images" in shown.text
        shown.fire("on_recommended_images", value=1)
        assert numbers(shown)["shared with ELFS"] == "0 (0%)"

    def test_a_zone_follows_the_cuts_again_after_a_part_was_shown(self, shown, ids):
        shown.press("beside_neither").fire("on_commit", hard=1, budget=2, serial=2)
        assert shown.ids == ids[1:3]


@pytest.fixture
def ids(written):
    return written[1]


class TestChosen:
    def test_in_order_of_choice_with_reasons(self, panel, written):
        dataset, ids = written
        order = chosen(dataset)
        panel.fire("on_load").press("beside_chosen")
        assert panel.ids == order and sorted(order) == sorted(dataset.match_tags(TAG).values("id"))
        text = card(panel, order[1])
        assert re.search(rf"`{TAG}`: number 2 of 3: it stands for \d other images", text)
        other = next(i for i in ids if i not in order)
        by = re.search(rf"`{TAG}`: not chosen: (\w+) stands for it", card(panel, other)).group(1)
        panel.press("beside_group")
        assert panel.ids[0] == by in order and other in panel.ids

    def test_what_was_said_of_it_is_told(self, panel, written):
        chosen(written[0], 1)
        panel.fire("on_load")
        assert "**1 image by graph_coverage**" in panel.text
        assert "Recommended for" not in panel.text  # it is said above, for the same budget
        panel.fire("on_recommended_images", value=2)
        assert "Recommended for 1 of 12 images" in panel.text
        assert any("No image of cluster" in text for text in panel.alerts)

    def test_label_and_export_hand_on_what_was_chosen(self, panel, written):
        order = chosen(written[0])
        panel.fire("on_load").press("label_chosen")
        assert panel.ids == order
        panel.press("export_chosen")
        assert panel.started[0][1]["params"] == {"key": "elfs", "tag": TAG}

    def test_without_its_file_the_coreset_is_shown_without_reasons(self, panel, written):
        dataset, ids = written
        order = chosen(dataset)
        for path in runs.Run(dataset, "elfs").folder.glob("choice-*"):
            path.write_bytes(b"damaged")
        assert "stands for" not in card(panel, order[0])
        panel.press("beside_chosen")
        assert sorted(panel.ids) == sorted(order)
        panel.press("beside_group")
        assert "Nothing was kept" in panel.said[0]

    def test_the_record_is_read_once(self, panel, written, plugin, monkeypatch):
        chosen(written[0])
        panel.fire("on_load")
        module, read = plugin("elfs_plugin.runs.record"), []
        for name in ("run_documents", "run_document"):
            real = getattr(module, name)
            monkeypatch.setattr(module, name, lambda *given, real=real: read.append(given) or real(*given))
        panel.press("beside_both")
        assert len(read) == 1
        panel.fire("on_learner", value="network")
        assert len(read) == 2

    def test_requests_stay_small(self, panel, written):
        chosen(written[0])
        panel.fire("on_load").press("beside_only_elfs")
        assert len(json.dumps(panel.state)) < 1000 and panel.data == {}

    def test_deleting_the_run_takes_everything_along(self, panel, written):
        chosen(written[0], view_name=TAG)
        folder = runs.Run(written[0], "elfs").folder
        assert list(folder.glob("choice-*"))
        runs.delete_run(written[0])
        assert not folder.exists() and written[0].count_sample_tags() == {}
        assert record.list_runs(written[0]) == []


def card(panel, sample):
    """What the tab draws while a sample is selected."""
    panel.state["sample"] = None
    panel.fire("on_load")
    panel.state["sample"] = sample
    return panel.fire("on_learner", value=None).text
