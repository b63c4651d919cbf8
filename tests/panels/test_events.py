"""The panel's events without a browser, through FiftyOne's executor: what they set, send and say."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import fiftyone
import fiftyone.operators as foo
import pytest

from elfs_plugin import runs
from elfs_plugin.runs import jobs, journal, record

N = 12


class Panel:
    """Plays the browser: keeps the state, counts the messages, collects what is drawn and said."""

    def __init__(self, dataset, **around):
        """``around``: what comes with every event: ``current_sample``, the image that is open; ``selected`` ones."""
        self.dataset, self.around, self.state, self.data, self.drawn_last = dataset, around, {}, {}, {}
        self.patched = set()  # names of the state that were ever sent
        self.grid = None  # the view that the grid has
        self.fire("on_load")

    def fire(self, method, **params):
        if method == "on_tick":  # the clock of this page, with what the page shows
            params = {**self.clock, **params}
        request = {"__method__": method, "panel_id": "panel", "panel_state": dict(self.state), **params}
        context = {**self.around, "dataset": self.dataset, "params": request}
        if self.grid is not None:
            context["view"] = fiftyone.DatasetView._build(self.dataset, self.grid)
        # In a thread of its own: beside a driven browser runs an event loop, and FiftyOne would only schedule there.
        with ThreadPoolExecutor(1) as thread:
            result = thread.submit(foo.execute_operator, "@elfs/coreset/coreset_panel", context).result()
        self.said, self.view, self.drawn, self.started, self.sent = [], None, {}, [], []
        for message in result.executor.to_json()["requests"]:
            name, sent = message["operator_uri"].rpartition("/")[2], message["params"]
            self.sent.append(name)
            if name == "patch_panel_state":
                self.state.update(sent["state"])
                self.patched.update(sent["state"])
            elif name == "patch_panel_data":
                self.data.update(sent["data"])
            elif name == "notify":
                self.said.append(sent["message"])
            elif name == "set_view":
                self.view = self.grid = sent["view"]
            elif name == "show_panel_output":
                self.drawn = self.drawn_last = sent["output"]["type"]["properties"]
            else:
                self.started.append((name, sent))
        return self

    def press(self, name):
        """Presses a button as the browser does: with the parameters that it was drawn with."""
        button = self.find(name)["view"]
        assert not button.get("disabled"), name
        return self.fire(button["operator"].rpartition("#")[2], **(button.get("params") or {}))

    def find(self, name, among=None):
        """The part of what is drawn that has this name, or None."""
        among = self.drawn_last if among is None else among
        for own, item in among.items():
            if own == name:
                return item
            inside = self.find(name, item["type"].get("properties") or {})
            if inside:
                return inside
        return None

    @property
    def cut(self):
        """The cut that the live histogram is drawn with."""
        return self.find("cuts")["view"]["cut"]

    @property
    def clock(self):
        names = [name for name in self.drawn_last if name.startswith("timer_")]
        return self.drawn_last[names[0]]["view"]["params"] if names else {}

    @property
    def ids(self):
        """Ids of the samples that the grid shows, in order."""
        import fiftyone as fo

        return fo.DatasetView._build(self.dataset, self.view).values("id")

    @property
    def alerts(self):
        views = [item["view"] for item in self.drawn.values()]
        return [view["label"] for view in views if view["name"] == "AlertView"]

    @property
    def text(self):
        """Everything that is drawn, as text."""
        return json.dumps(self.drawn, ensure_ascii=False)


@pytest.fixture
def panel(plugin, written):
    return Panel(written[0])


@pytest.fixture
def ids(written):
    return written[1]


def cut_of(panel):
    return panel.state["hard"], panel.state["budget"]


class TestCuts:
    def test_starts_at_the_usual_beta_for_a_tenth(self, panel):
        # One of 12 images is 8%: β is 0.6 there, so 7 are too hard.
        assert cut_of(panel) == (7, 1)

    def test_a_commit_is_one_view_and_an_echo(self, panel, ids):
        panel.fire("on_show_coreset")
        panel.fire("on_commit", hard=2, budget=3, serial=5)
        assert cut_of(panel) == (2, 3)
        assert panel.ids == ids[2:5]
        cut = panel.cut
        assert (cut["hard"], cut["budget"], cut["serial"]) == (2, 3, 5)
        assert panel.data == {}  # the browser would send it back with every request

    @pytest.mark.parametrize(
        "sent, taken", [((-3, 4), (0, 4)), ((9, 9), (3, 9)), ((0, 0), (0, 1)), ((50, 50), (0, 12)), ((11, 1), (11, 1))]
    )
    def test_cuts_stay_in_range(self, panel, sent, taken):
        panel.fire("on_commit", hard=sent[0], budget=sent[1], serial=1)
        assert cut_of(panel) == taken

    def test_sliders_are_drawn_beside_a_component_that_is_not_heard_of(self, panel):
        assert panel.find("cuts") and not panel.find("beta_percent")
        panel.fire("on_tick")
        # The page shows one of the two: only the browser knows whether it has the component.
        assert panel.find("cuts") and panel.find("beta_percent") and panel.find("histogram")
        assert panel.state["beta_percent"] == pytest.approx(100 * 7 / N, abs=1e-3)
        assert panel.fire("on_tick").drawn == {}
        panel.state.update(beta_percent=25.0)
        panel.fire("on_slide", path="beta_percent")
        assert cut_of(panel) == (3, 1)
        panel.state.update(budget_percent=50.0)
        panel.fire("on_slide", path="budget_percent")
        assert cut_of(panel) == (3, 6)

    def test_a_late_word_of_the_component_takes_the_sliders_away(self, panel):
        panel.fire("on_tick")
        assert panel.find("cuts")["view"]["heard"] is False  # so that it speaks again
        panel.fire("on_component_ready")
        assert panel.find("cuts")["view"]["heard"] is True and not panel.find("beta_percent")
        assert panel.fire("on_tick").drawn == {}

    def test_what_does_not_fit_changes_no_other_number_and_is_told(self, panel):
        panel.fire("on_tick").fire("on_commit", hard=4, budget=3, serial=1).fire("on_tick")
        panel.state["live"] = False
        panel.fire("on_images", value=99_999)
        assert cut_of(panel) == (4, 8)
        assert "The budget can be 1 to 8 images beside this β; it is 8 now." in panel.alerts
        assert panel.state["images"] == 8
        panel.state.update(beta_percent=90.0)
        panel.fire("on_slide", path="beta_percent", value=90.0)
        assert cut_of(panel) == (4, 8)
        assert "β can be at most 33.3% beside this budget." in panel.alerts
        panel.fire("on_images", value=2)
        assert cut_of(panel) == (4, 2) and panel.find("limit") is None

    def test_a_released_handle_shows_the_coreset_until_all_are_asked_for(self, panel, ids):
        assert panel.fire("on_commit", hard=2, budget=3, serial=1).ids == ids[2:5]
        panel.press("show_hard")
        assert panel.fire("on_commit", hard=4, budget=3, serial=2).ids == ids[:4]
        panel.press("show_all")
        assert panel.fire("on_commit", hard=5, budget=3, serial=3).view is None

    def test_back_to_the_saved_cuts(self, panel, ids):
        panel.fire("on_commit", hard=2, budget=3, serial=1).press("save_coreset")
        assert panel.find("back")["view"]["disabled"]
        panel.fire("on_commit", hard=6, budget=1, serial=2).press("back")
        assert cut_of(panel) == (2, 3) and panel.ids == ids[2:5]

    @pytest.mark.parametrize(
        "method, sent", [("on_load", {}), ("on_commit", {"hard": 2, "budget": 3, "serial": 5}), ("on_show_hard", {})]
    )
    def test_an_event_changes_the_state_once_and_before_it_is_drawn(self, panel, method, sent):
        panel.fire("on_commit", hard=1, budget=2, serial=1).fire("on_show_coreset").fire(method, **sent)
        assert panel.sent.count("patch_panel_state") == 1
        assert panel.sent[-2:] == ["patch_panel_state", "show_panel_output"]

    @pytest.mark.parametrize(
        "method, name, chosen",
        [
            ("on_tab", "tab", "compare"),
            ("on_learner", "learner", "network"),
            ("on_find_member", "find_member", "mine"),
            ("on_tag", "tag", "mine"),
            ("on_one", "one", "tag:mine"),
            ("on_other", "other", "tag:mine"),
            ("on_compared_methods_budget", "methods_budget", "6"),
            ("on_truth_field", "truth_field", "digit"),
        ],
    )
    def test_what_the_browser_set_is_not_sent_back(self, panel, method, name, chosen):
        """The answer can arrive after a newer choice and would undo it: the App has gone between two tabs for ever."""
        panel.state[name] = chosen  # as the App does before it tells the panel
        panel.patched.clear()
        panel.fire(method, value=chosen)
        assert name not in panel.patched
        assert panel.state[name] == chosen

    def test_the_run_that_is_shown_is_not_picked_again(self, panel, ids):
        panel.fire("on_commit", hard=4, budget=5, serial=1).fire("on_cluster", value="cluster 10")
        panel.fire("on_pick_run", value="elfs")  # the App reports what a list is drawn with
        assert cut_of(panel) == (4, 5)
        assert panel.state["cluster"] == "cluster 10"
        assert panel.view is None

    def test_both_searches_say_what_their_beta_is_for(self, panel, written):
        for method, proxy, purpose in (
            ("on_find_beta", "mlp", "for a model on these embeddings"),
            ("on_find_beta_on_images", "resnet8", "for a network that learns from the images alone"),
        ):
            panel.fire(method)
            operator, params = panel.started[0]
            assert (operator, params["proxy"], params["budget"]) == ("search_beta", proxy, 1)
            numbers = {"betas": [0.0, 0.5], "accuracies": [[0.5], [0.7]], "mean": [0.5, 0.7], "spread": [0.0, 0.0]}
            curve = {"budget": 1, **numbers, "chosen": 0.5, "smallest": 0.5, "reason": "Why.", "proxy": proxy}
            journal.save_results(written[0], "elfs", beta=curve)
            assert f"Searched {purpose}. Why." in panel.fire("on_load").text

    def test_requests_stay_small(self, panel):
        panel.fire("on_component_ready")
        for method in ("on_show_hard", "on_show_border", "on_order"):
            panel.fire(method, value="easiest")
        panel.fire("on_commit", hard=2, budget=3, serial=5)
        assert len(json.dumps(panel.state)) < 1000


class TestPictures:
    def test_zones_by_rank(self, panel, ids):
        panel.fire("on_commit", hard=4, budget=5, serial=1)
        assert panel.fire("on_show_hard").ids == ids[:4]
        assert panel.fire("on_show_easy").ids == ids[9:]
        assert panel.fire("on_order", value="easiest").ids == ids[:8:-1]
        assert panel.fire("on_cluster", value="cluster 10").ids == [ids[11], ids[9]]
        assert panel.fire("on_pick_zone", zone="coreset").ids == [ids[7], ids[5]]

    def test_borderline_is_both_sides_of_both_cuts(self, panel, plugin, ids, monkeypatch):
        monkeypatch.setattr(plugin("panels.cuts"), "BORDER", 1)
        panel.fire("on_commit", hard=4, budget=5, serial=1)
        assert panel.fire("on_show_border").ids == [ids[i] for i in (3, 4, 8, 9)]

    def test_a_list_that_reports_its_own_default_changes_nothing(self, panel):
        assert panel.fire("on_order", value="hardest").view is None
        assert panel.fire("on_cluster", value="all").view is None

    def test_a_new_view_without_a_selection_draws_nothing(self, panel, ids):
        assert panel.fire("on_change_selected").sent == []
        panel.state["sample"] = ids[0]
        assert "show_panel_output" in panel.fire("on_change_selected").sent

    def test_card_of_the_selected_image(self, panel, ids):
        panel.fire("on_commit", hard=4, budget=5, serial=1)
        panel.state["sample"] = ids[1]
        panel.fire("on_change_selected")
        assert "card" not in panel.drawn  # nothing is selected any more
        panel.state["sample"] = ids[1]
        panel.fire("on_component_ready")
        assert "too hard: AUM rank 8.3% is below β = 33.3%" in panel.text
        for text in ("hard, cluster 2, 0.99", "hard, cluster 10, 0.90", "coreset, cluster 2, 0.80"):
            assert text in panel.text
        assert panel.fire("on_show_neighbors").ids == [ids[i] for i in (1, 2, 3, 4)]


class TestSaving:
    def test_saves_what_is_shown(self, panel, written):
        dataset, order = written
        panel.fire("on_commit", hard=2, budget=3, serial=1)
        panel.state["tag"] = "mine"
        panel.press("save_coreset")
        assert panel.said == ["3 images tagged 'mine' and saved as the view 'mine'"]
        assert dataset.match_tags("mine").sort_by("elfs.rank").values("id") == order[2:5]

    def test_somebody_else_has_saved_since(self, panel, written):
        dataset, order = written
        runs.select_coreset(dataset, budget=5, beta=0, tag="elfs_coreset", view_name="elfs_coreset")
        panel.fire("on_commit", hard=2, budget=3, serial=1)
        panel.fire("on_save")
        assert "Somebody else has saved another coreset (5 images, β = 0.0%)" in panel.said[0]
        assert len(dataset.match_tags("elfs_coreset")) == 5
        assert cut_of(panel) == (0, 5)
        panel.fire("on_commit", hard=2, budget=3, serial=2)
        panel.fire("on_save")
        assert len(dataset.match_tags("elfs_coreset")) == 3

    def test_a_tag_in_use_is_refused(self, panel, written):
        written[0].limit(2).tag_samples("taken")
        panel.state["tag"] = "taken"
        panel.fire("on_tag", value="taken")
        assert any("already in use" in text for text in panel.alerts)  # beside the field, before anything is written
        panel.press("save_coreset")
        assert "already in use" in panel.said[0]
        assert written[0].count_sample_tags() == {"taken": 2}
        assert "selection" not in record.load_record(written[0], "elfs").stages
        panel.state["tag"] = "free"
        assert not any("already in use" in text for text in panel.fire("on_tag", value="free").alerts)

    @pytest.mark.parametrize("tag, view", [("日本語", "日本語 (elfs)"), ("///", "/// (elfs)"), ("Mine", "Mine (elfs)")])
    def test_a_tag_that_no_view_can_be_named_like(self, panel, written, tag, view):
        """No Latin letter or digit, or the name of a view that somebody else has saved."""
        dataset = written[0]
        dataset.save_view("mine", dataset.limit(1))
        panel.fire("on_commit", hard=2, budget=3, serial=1)
        panel.state["tag"] = tag
        panel.press("save_coreset")
        assert panel.said == [f"3 images tagged '{tag}' and saved as the view '{view}'"]
        assert len(dataset.match_tags(tag)) == len(dataset.load_saved_view(view)) == 3
        assert len(dataset.load_saved_view("mine")) == 1

    def test_a_cluster_without_an_image_is_told_before_and_after(self, panel, written):
        text = "The coreset has no image of cluster 10 (6 images). A smaller β or a larger budget may bring some in."
        panel.fire("on_commit", hard=2, budget=1, serial=1)
        assert text in panel.alerts
        panel.press("save_coreset")
        assert panel.said == [f"1 image tagged 'elfs_coreset' and saved as the view 'elfs_coreset'. {text}"]
        panel.fire("on_commit", hard=2, budget=2, serial=2)
        assert not any("no image of" in alert for alert in panel.alerts)

    def test_the_clock_does_not_tell_of_a_save_once_more(self, panel):
        clock, before = panel.clock, dict(panel.state)
        panel.press("save_coreset")
        assert len(panel.said) == 1
        panel.state = before  # the clock's request left before the answer came
        panel.fire("on_tick", **clock)
        assert panel.said == [] and panel.drawn

    def test_two_tabs_of_one_browser(self, panel, written):
        """They share the state; what a page showed comes with its buttons and its clock."""
        other = Panel(written[0])
        other.fire("on_commit", hard=1, budget=5, serial=1).press("save_coreset")
        panel.state = dict(other.state)
        panel.fire("on_tick")
        assert any(text.startswith("Somebody else has saved another coreset (5 images") for text in panel.alerts)
        assert panel.fire("on_tick").drawn == {}
        panel.press("save_coreset")
        assert panel.said[0].startswith("Somebody else has saved another coreset (5 images, β = 8.3%)")
        assert cut_of(panel) == (1, 5)
        panel.fire("on_commit", hard=2, budget=3, serial=2).press("save_coreset")
        assert panel.said == ["3 images tagged 'elfs_coreset' and saved as the view 'elfs_coreset'"]

    def test_a_tab_that_shows_a_job_of_the_other_one_sees_its_end(self, panel, written):
        with jobs.job(written[0], "elfs", "Searching β", {"beta": 1}):
            panel.fire("on_tick")
            assert panel.find("save_coreset")["view"]["disabled"]
            assert "Searching β is at work on this run: saving waits until it is done." in panel.alerts
        done = jobs.read_job(written[0], "elfs")
        panel.state.update(running=False, seen=done["started"])  # the other tab was the first to see it
        panel.fire("on_tick")
        assert not panel.find("save_coreset")["view"]["disabled"]


def test_the_tag_of_another_method_is_not_offered_to_be_replaced(plugin, written):
    runs.choose_coreset(written[0], method="random", budget=3, tag="by_chance")
    assert Panel(written[0]).state["tag"] == "elfs_coreset"


class TestJobsThatEnd:
    """What follows goes by the kind of the job, never by the words that the user is told."""

    @pytest.mark.parametrize("kind, hard", [("beta", 6), ("comparison", 7), (None, 7)])
    def test_a_search_moves_the_cut(self, panel, written, kind, hard):
        with jobs.job(written[0], "elfs", "Some words", {"only": 1}, kind=kind):
            panel.fire("on_tick")
        numbers = {"betas": [0.0, 0.5], "accuracies": [[0.5], [0.7]], "mean": [0.5, 0.7], "spread": [0.0, 0.0]}
        curve = {"budget": 1, **numbers, "chosen": 0.5, "smallest": 0.5, "reason": "Why."}
        journal.save_results(written[0], "elfs", beta=curve)
        panel.fire("on_tick")
        assert panel.said == ["Some words: done"]
        assert cut_of(panel) == (hard, 1)

    @pytest.mark.parametrize("kind, opened", [("visualization", True), ("beta", False)])
    def test_a_plot_is_opened(self, panel, written, kind, opened):
        with jobs.job(written[0], "elfs", "Some words", {"only": 1}, kind=kind):
            panel.fire("on_tick")
        run = record.load_record(written[0], "elfs")
        run.brain_keys = ["elfs_pca"]
        record.save_record(written[0], run)
        panel.fire("on_tick")
        assert ("open_panel" in panel.sent) is opened

    @pytest.mark.parametrize("kind, gone", [("update", True), ("repair", False)])
    def test_an_update_has_made_the_curve_one_of_older_scores(self, panel, written, kind, gone):
        with jobs.job(written[0], "elfs", "Some words", {"only": 1}, kind=kind):
            panel.fire("on_tick")
        panel.fire("on_tick")
        assert ("was for the older ones" in panel.text) is gone


class TestCompare:
    def ticked(self, panel):
        boxes = panel.find("compared")["type"]["properties"]
        return [box["view"]["label"] for box in boxes.values() if box["default"]]

    def test_the_cuts_of_the_panel_reach_the_operator_in_whole_images(self, panel, written):
        panel.fire("on_commit", hard=2, budget=3, serial=1).press("save_coreset")
        panel.fire("on_commit", hard=5, budget=4, serial=2).fire("on_tab", value="compare")
        assert self.ticked(panel) == ["cuts now", "tag elfs_coreset"]
        panel.press("compare")
        name, sent = panel.started[0]
        assert (name, panel.said) == ("compare_coresets", [])
        assert sent["members"] == ["elfs@beta=0.42,budget=4", "tag:elfs_coreset"]
        assert runs.member_ids(written[0], sent["members"][0]) == written[1][5:9]

    def test_what_was_ticked_stays_and_what_is_saved_later_is_offered(self, panel, written):
        panel.fire("on_commit", hard=2, budget=3, serial=1).press("save_coreset")
        panel.fire("on_tab", value="compare")
        boxes = panel.find("compared")["type"]["properties"]
        box = next(name for name, item in boxes.items() if item["view"]["label"] == "tag elfs_coreset")
        panel.state["compared"] = {box: False}  # as the browser sets it
        runs.choose_coreset(written[0], method="random", budget=3, tag="by_chance")
        panel.fire("on_tab", value="compare")
        assert self.ticked(panel) == ["cuts now", "tag by_chance"]

    def test_two_forms_that_are_not_confused(self, panel):
        panel.fire("on_tab", value="compare")
        for button, operator in (("choose_coreset", "select_coreset"), ("methods_start", "compare_methods")):
            panel.press(button)
            assert panel.started[0][1]["operator_uri"] == f"@elfs/coreset/{operator}"

    def test_too_few_are_told(self, panel):
        panel.fire("on_tab", value="compare")
        panel.press("compare")
        assert panel.said == ["Tick two to 10 coresets to compare; 1 are ticked."] and panel.started == []

    def test_many_are_found_by_their_name(self, panel, written):
        dataset, ids = written
        for number in range(30):
            dataset.save_view(f"view {number}", dataset.select(ids[0]))
        panel.fire("on_tab", value="compare")
        assert len(panel.find("compared")["type"]["properties"]) == 24 and panel.find("more_choices")
        panel.state["find_member"] = "view 29"
        panel.fire("on_find_member", value="view 29")
        labels = [box["view"]["label"] for box in panel.find("compared")["type"]["properties"].values()]
        assert labels[-1] == "view view 29" and len(labels) <= 3

    def test_no_part_of_the_panel_holds_a_list_that_the_user_edits(self, panel, written):
        """The App makes such a list anew whenever it draws the panel: it closes, and loses what was typed."""
        for tab in ("tune", "recommended", "clusters", "compare", "budget", "audit"):
            panel.fire("on_tab", value=tab)
            assert '"multiple": true' not in panel.text


class TestMethods:
    @pytest.fixture
    def compared(self, written):
        found = {
            "methods": ["elfs", "random"],
            "budgets": [2, 6],
            "seeds": [0, 1, 2],
            "size_of_pool": N,
            "warnings": ["zcore: part of this is chance."],
            "left_out": {},
            "sentences": ["2 images: elfs is better.", "6 images: none."],
            "verdicts": [["better than", ""], ["", ""]],
            "accuracy_mean": [[0.5, None], [0.4, 0.6]],
            "accuracy_sd": [[0.1, None], [0.1, 0.1]],
            "difference_mean": [[0.1, None], [0.0, 0.0]],
            "difference_sd": [[0.01, None], [0.0, 0.0]],
            "overlap": [[0.5, None], [0.2, 0.4]],
            "seconds": [[1, 1, 1], [0, 0, 0]],
        }
        for name in ("coverage", "imbalance", "near_duplicates"):
            found[f"{name}_mean"] = [[0.25, 0.2], [0.3, 0.2]]
        journal.save_results(written[0], "elfs", methods=found)
        return Panel(written[0]).fire("on_tab", value="compare")

    def test_nothing_yet_offers_the_form(self, panel):
        panel.fire("on_tab", value="compare")
        assert "Which method to trust" in panel.text
        panel.fire("on_compare_methods")
        assert panel.started[0][1]["operator_uri"] == "@elfs/coreset/compare_methods"

    def test_the_table_is_of_one_budget_best_first(self, compared):
        assert [row["method"] for row in compared.data["methods_2"]] == ["elfs", "random"]
        assert compared.data["methods_2"][0]["minus"] == "+10.0"
        assert "zcore: part of this is chance." in compared.alerts and "elfs is better" in compared.text
        compared.fire("on_compared_methods_budget", value="6")
        assert [row["method"] for row in compared.data["methods_2"]] == ["random", "elfs"]  # no number comes last
        assert compared.data["methods_2"][1]["accuracy"] == "-"

    def test_csv_is_handed_to_the_browser(self, compared):
        from urllib.parse import unquote

        compared.fire("on_compared_methods_csv")
        name, sent = compared.started[0]
        assert (name, sent["filename"]) == ("browser_download", "elfs_methods.csv")
        lines = unquote(sent["url"].partition(",")[2]).splitlines()
        assert lines[0].startswith("budget,method") and len(lines) == 5


class TestHealth:
    @pytest.mark.parametrize("separation, green", [(0.9, True), (0.3, False), (None, False)])
    def test_the_green_check_needs_clusters_that_stand_apart(self, written, separation, green):
        found = {"clusters": 2, "empty": 0, "tiny": 0, "smallest": 6, "largest": 6, "confidence": 0.9, "agreement": 0.9}
        found |= {"separation": separation, "warnings": [], "per_cluster": []}
        journal.save_results(written[0], "elfs", clusters=found)
        panel = Panel(written[0]).fire("on_tab", value="clusters")
        assert ("well separated" in panel.text) == green == (panel.find("health_fine") is not None)
        assert "Stable is not the same as right" in panel.find("health_unknown")["view"]["label"]

    @pytest.mark.parametrize("owned", [True, False])
    def test_the_clusters_say_of_what_they_are(self, written, owned):
        dataset, _ = written
        found = {"clusters": 2, "empty": 0, "tiny": 0, "smallest": 6, "largest": 6, "confidence": 0.9, "agreement": 0.9}
        journal.save_results(dataset, "elfs", clusters=found)
        run = record.load_record(dataset, "elfs")
        run.owns_embeddings, run.stages["embeddings"] = owned, {"encoder": "lite0", "seen_labels": True}
        record.save_record(dataset, run)
        text = "lite0, trained on class labels" if owned else "vectors of a field"
        assert f"Embeddings: {text}" in Panel(dataset).fire("on_tab", value="clusters").text


class TestWhatCanHappenToARun:
    """Each has a sentence and a next step, and never an error page."""

    def test_deleted_while_it_is_shown(self, panel, written):
        runs.delete_run(written[0])
        panel.fire("on_tab", value="clusters")
        assert "The run 'elfs' has been deleted." in panel.said[0]
        assert panel.alerts == ["No ELFS run on this dataset yet"]
        for method in ("on_commit", "on_show_hard", "on_save", "on_find_beta", "on_compare", "on_curve_click"):
            panel.fire(method, hard=1, budget=1, x=0.2)
            assert "failed" not in panel.drawn

    def test_rank_field_deleted(self, panel, written):
        written[0].delete_sample_field("elfs.rank")
        panel.fire("on_load")
        assert panel.alerts == ["The field 'elfs.rank' has been deleted or renamed."]
        assert panel.drawn["mend_0"]["view"]["label"] == "Compute scores again"
        panel.fire("on_next_step", operator="compute_scores")
        assert panel.started[0][1]["operator_uri"] == "@elfs/coreset/compute_scores"

    def test_whole_field_deleted(self, panel, written):
        written[0].delete_sample_field("elfs")
        panel.fire("on_load")
        assert "has been deleted or renamed" in panel.alerts[0]
        assert "mend_0" in panel.drawn

    def test_samples_added_and_deleted(self, panel, written, digits):
        import fiftyone as fo

        dataset, order = written
        dataset.add_samples([fo.Sample(filepath=str(path)) for path in digits[20:23]])
        dataset.delete_samples(order[:2])
        panel.fire("on_load")
        assert any(text.startswith("2 of the 12 scored images are gone") for text in panel.alerts)
        assert any("3 images" in text for text in panel.alerts)
        assert panel.drawn["mend_0"]["view"]["label"] == "Update run"
        assert panel.find("cuts")  # and it works on
        assert panel.fire("on_show_all").ids == order[2:]

    def test_made_by_a_newer_version(self, panel, written):
        config = written[0].get_run_info("elfs").config
        config.format = record.FORMAT + 1
        written[0].update_run_config("elfs", config)
        panel.fire("on_load")
        assert any("newer version" in text for text in panel.alerts)

    def test_in_progress(self, panel, written):
        with jobs.job(written[0], "elfs", "Searching β", {"beta": 1}) as reporter:
            reporter.stage("beta")
            panel.fire("on_load")
            assert panel.state["running"] and "cancel" in panel.drawn
            assert panel.data["progress"] == 0.0  # the App's bar takes nothing but a number
            assert panel.data["stage"].startswith("0% · beta (1/1) · ") and panel.data["stage"].endswith(" so far")
            panel.fire("on_tick")
            assert panel.drawn == {} and panel.data["progress"] == 0.0
            panel.fire("on_find_beta")
            assert "A job is running" in panel.said[0]
            panel.fire("on_cancel")
            assert "Cancelling" in panel.said[0]
        panel.fire("on_tick")
        assert not panel.state["running"]

    def test_a_job_that_died(self, panel, written):
        states = jobs.store(written[0])
        states.set(
            "job_elfs",
            {
                "key": "elfs",
                "operation": "Running ELFS",
                "state": "running",
                "started": time.time(),
                "message": "",
                "overall": 0.3,
            },
        )
        panel.fire("on_load")
        assert panel.alerts[0] == "The last job did not finish"
        assert "resumes from the last finished stage" in panel.text

    def test_pressed_while_a_run_is_written_anew(self, panel, written):
        """The buttons of a page that was drawn before; each gives the sentence, and the page is drawn anew."""
        run = record.load_record(written[0], "elfs")
        del run.stages["scores"]
        record.save_record(written[0], run)
        shown = panel.drawn_last
        with jobs.job(written[0], "elfs", "Running ELFS", {"dynamics": 1}):
            for name in ("show_hard", "show_coreset", "show_all", "save_coreset", "find_beta", "use_usual", "plot"):
                panel.drawn_last = shown
                panel.press(name)
                assert panel.said == ["The run is being written anew; wait until it is done."], name
                assert "cancel" in panel.drawn and "failed" not in panel.drawn
            for method in ("on_commit", "on_slide", "on_compare", "on_stability", "on_audit", "on_budget_click"):
                panel.fire(method, hard=1, budget=1, x=1)
                assert panel.said == ["The run is being written anew; wait until it is done."], method

    def test_a_first_run_is_written(self, plugin, dataset):
        with jobs.job(dataset, "elfs", "Running ELFS", {"dynamics": 1}):
            panel = Panel(dataset)
            for method in ("on_show_coreset", "on_save", "on_commit"):
                panel.fire(method, hard=1, budget=1)
                assert panel.said == ["The run is being written anew; wait until it is done."]

    def test_an_error_while_values_vanish_is_no_riddle(self, panel, written, plugin, monkeypatch):
        def gone(*_args, **_options):
            raise KeyError("scores")

        monkeypatch.setattr(plugin("panels.cache"), "_read", gone)
        monkeypatch.setattr(plugin("panels.cache"), "_rankings", {})
        with jobs.job(written[0], "elfs", "Running ELFS", {"dynamics": 1}):
            panel.fire("on_save")
            assert panel.said == ["The run is being written anew; wait until it is done."]
            assert "written anew" in panel.text and "KeyError" not in panel.text

    def test_a_finding_that_asks_nothing_is_mended_at_once(self, panel, written, plugin, monkeypatch):
        import fiftyone.operators as foo

        integrity, done = plugin("elfs_plugin.runs.integrity"), []
        found = [
            integrity.Finding("unfinished", "Half is written.", "repair_run", "Finish writing"),
            integrity.Finding("names_out_of_date", "One name is out of date."),
        ]
        monkeypatch.setattr(
            plugin("elfs_plugin.runs"),
            "check_run",
            lambda run: integrity.RunHealth(run.key, [] if done else found, False),
            raising=False,
        )

        class Repair:
            def run(self, ctx, collection, sinks):
                done.append((ctx.params["key"], collection.name))

        given = foo.get_operator
        monkeypatch.setattr(foo, "get_operator", lambda uri: Repair() if uri.endswith("repair_run") else given(uri))
        panel.fire("on_load")
        assert panel.alerts[:2] == ["Half is written.", "One name is out of date."]
        assert panel.find("cuts") and panel.find("mend_1") is None  # the rest of the run is shown
        panel.press("mend_0")
        assert done == [("elfs", written[0].name)]
        assert panel.said == ["Finish writing: done"] and "Half is written." not in panel.alerts

    def test_a_curve_of_older_scores_is_not_denied(self, panel, written):
        numbers = {"betas": [0.0, 0.5], "accuracies": [[0.5], [0.7]], "mean": [0.5, 0.7], "spread": [0.0, 0.0]}
        curve = {"budget": 1, **numbers, "chosen": 0.5, "smallest": 0.5, "reason": "Why."}
        assert "No β has been searched yet" in panel.text
        journal.save_results(written[0], "elfs", beta=curve)
        panel.fire("on_load")
        journal.save_results(written[0], "elfs", beta=None)  # as an update does
        panel.fire("on_load")
        assert "No β has been searched yet" not in panel.text and "was for the older ones" in panel.text

    def test_results_are_lost(self, panel, written):
        journal.save_results(written[0], "elfs", histogram=None, failures=None)
        for tab in ("tune", "recommended", "clusters", "compare", "budget", "audit"):
            panel.fire("on_tab", value=tab)
            assert "failed" not in panel.drawn
            assert any("results" in text for text in panel.alerts)

    @pytest.mark.parametrize(
        "lost, text, step",
        [
            (("scores",), "This run has pseudo-labels, but no scores yet", "compute_scores"),
            (("scores", "pseudo_labels"), "This run has no pseudo-labels yet", "compute_pseudo_labels"),
        ],
    )
    def test_not_finished_yet(self, panel, written, lost, text, step):
        run = record.load_record(written[0], "elfs")
        for stage in lost:
            del run.stages[stage]
        record.save_record(written[0], run)
        panel.fire("on_load")
        assert panel.alerts == [text]
        button = panel.drawn["todo_steps"]["type"]["properties"]["todo_next"]["view"]
        assert button["params"] == {"operator": step}
        panel.fire("on_next_step", operator=step)
        assert panel.started[0][1]["operator_uri"] == f"@elfs/coreset/{step}"

    def test_no_run_and_no_dataset(self, plugin, dataset):
        assert Panel(dataset).alerts == ["No ELFS run on this dataset yet"]

    def test_an_unknown_error_is_a_sentence(self, panel, plugin, monkeypatch):
        def broken(*_):
            raise RuntimeError("disk on fire")

        monkeypatch.setattr(plugin("panels.tune").Tune, "_render_show", broken)
        panel.fire("on_load")
        assert panel.alerts == ["This cannot be shown"]
        assert "disk on fire" in panel.text


def test_two_tabs_of_the_browser_keep_their_own_cuts(plugin, written):
    one, other = Panel(written[0]), Panel(written[0])
    one.fire("on_commit", hard=1, budget=2, serial=1)
    other.fire("on_commit", hard=3, budget=4, serial=1)
    assert (cut_of(one.fire("on_show_hard")), cut_of(other.fire("on_show_hard"))) == ((1, 2), (3, 4))


def test_another_dataset_starts_afresh(panel, dataset):
    panel.dataset = dataset
    panel.fire("on_change_dataset")
    assert panel.alerts == ["No ELFS run on this dataset yet"]
    assert panel.state["key"] is None


def test_a_tab_that_there_is_no_more_opens_the_first(panel):
    panel.state["tab"] = "of another version"
    assert panel.fire("on_load").find("cuts") and "failed" not in panel.drawn
    assert panel.find("tab")["default"] == "tune"


def test_the_tabs_are_those_of_the_parts(plugin, panel):
    module = plugin("panels.coreset_panel")
    drawn = [(choice["value"], choice["label"]) for choice in panel.find("tab")["view"]["choices"]]
    assert drawn == [(part.tab.name, part.tab.label) for part in module.PARTS]


def test_no_two_parts_of_the_panel_share_a_name(plugin):
    """They are one object in the end: the later one's method would silently be taken for the earlier one's."""
    base = plugin("panels.part").Part
    parts = [part for part in plugin("panels.coreset_panel").CoresetPanel.__mro__ if issubclass(part, base)]
    owners = {}
    for part in parts:
        for name in vars(part):
            if not name.startswith("__") and name != "tab" and part is not base:
                owners.setdefault(name, []).append(part.__name__)
    assert {name: found for name, found in owners.items() if len(found) > 1} == {}


@pytest.fixture(scope="module")
def analysed(new_dataset, quick_clustering):
    """A run with every analysis there is."""
    dataset = new_dataset(60)
    dataset.set_values("digit", [path.rpartition("_")[2][0] for path in dataset.values("filepath")])
    runs.run_elfs(dataset, num_clusters=4, budget=15, beta=0.1, tag="first")
    runs.compare_coresets(dataset, ["tag:first", "elfs@beta=0.3,budget=10"], seeds=2)
    runs.compare_methods(dataset, budgets=[6, 12], methods=["ccs", "k_center"], seeds=3)
    runs.measure_stability(dataset, seeds=2)
    runs.budget_curve(dataset, budgets=[6, 30], repeats=1)
    runs.audit(dataset, truth_field="digit", seeds=1)
    return dataset


def test_every_tab_shows_its_results(plugin, analysed):
    panel = Panel(analysed)
    found = runs.load_results(analysed, "elfs")
    words = {
        "tune": "Save coreset",
        "recommended": "Choose by graph_coverage",
        "clusters": "cluster",
        "compare": found["methods"]["sentences"][0],
        "budget": found["budget_curve"]["sentence"],
        "audit": found["audit"]["sentence"],
    }
    for tab, text in words.items():
        panel.fire("on_tab", value=tab)
        assert "failed" not in panel.drawn and text in panel.text
    assert len(panel.fire("on_tab", value="compare").data["methods_3"]) == 3
    assert [row["name"] for row in panel.data["compared_2"]] == ["tag first", "elfs: β 30%, 10 images"]
    assert found["stability"]["sentence"] in panel.text
