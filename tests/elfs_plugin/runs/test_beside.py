import pytest

from elfs_plugin import runs
from elfs_plugin.errors import InvalidInput
from elfs_plugin.runs.run import Run


@pytest.fixture
def tagged(written):
    """Ranks 1, 3 and 4 have the tag; the dataset's run, and the ids in order of rank."""
    dataset, ids = written
    dataset.select([ids[i] for i in (1, 3, 4)]).tag_samples("mine")
    return Run(dataset, "elfs"), ids


def test_counts(tagged):
    found = runs.compare_beside(tagged[0], "mine", 2, 4)
    assert (found.chosen, found.shared, found.by_chance) == (3, 2, 1.0)
    assert (found.clusters, found.clusters_without) == (2, 0)
    nobody = runs.compare_beside(tagged[0], "nobody", 2, 4)
    assert (nobody.chosen, nobody.shared, nobody.clusters_without) == (0, 0, 2)


def test_samples_without_a_rank_are_in_neither_part_of_elfs(tagged):
    run, ids = tagged
    run.dataset.set_values("elfs.rank", {ids[3]: None, ids[5]: None}, key_field="id")
    places = {part: [ids.index(i) for i in runs.beside_view(run, "mine", 2, 4, part).values("id")] for part in PARTS}
    assert places == {"only_chosen": [3, 1], "only_elfs": [2], "both": [4], "neither": [0, 6, 7, 8, 9, 10, 11]}
    assert runs.compare_beside(run, "mine", 2, 4).shared == 1


PARTS = ("only_chosen", "only_elfs", "both", "neither")


def test_the_parts_are_all_scored_samples(tagged):
    run, ids = tagged
    found = [i for part in PARTS for i in runs.beside_view(run, "mine", 2, 4, part).values("id")]
    assert sorted(found) == sorted(ids)


def test_views_hold_no_ids_but_for_the_order_of_a_short_choice(written, monkeypatch):
    dataset, ids = written
    runs.choose_coreset(dataset, method="graph_coverage", budget=4, tag="mine")
    run = Run(dataset, "elfs")
    for part in PARTS:
        assert not any(i in str(runs.beside_view(run, "mine", 2, 4, part)._serialize()) for i in ids)
    first = runs.beside_view(run, "mine", 2, 4, "chosen").values("id")
    dataset.select(first[1]).untag_samples("mine")
    assert runs.beside_view(run, "mine", 2, 4, "chosen").values("id") == [first[0], *first[2:]]
    monkeypatch.setattr("elfs_plugin.runs.beside.IN_ORDER", 3)
    unordered = runs.beside_view(run, "mine", 2, 4, "chosen")
    assert not any(i in str(unordered._serialize()) for i in ids) and len(unordered) == 3


def test_newest_first_and_none_of_elfs(written):
    dataset, _ = written
    for tag in ("one", "two"):
        runs.choose_coreset(dataset, method="random", budget=2, tag=tag)
    runs.select_coreset(dataset, budget=2, beta=0, tag="elfs_coreset")
    assert runs.tags_by_method(Run(dataset, "elfs")) == ["two", "one"]


def test_refusals(tagged):
    with pytest.raises(InvalidInput, match="Unknown part 'half'"):
        runs.beside_view(tagged[0], "mine", 2, 4, "half")
    with pytest.raises(InvalidInput, match="Nothing was kept"):
        runs.group_view(tagged[0], "mine", tagged[1][0])


def test_the_card_tells_of_the_newest_choices(written):
    dataset, ids = written
    for tag in ("one", "two", "three", "four"):
        runs.choose_coreset(dataset, method="graph_coverage", budget=2, tag=tag)
    card = runs.card(Run(dataset, "elfs"), ids[0], 2, 4)
    assert list(card["choices"]) == ["four", "three", "two"]
    assert all(text.startswith(("number ", "not chosen: ")) for text in card["choices"].values())


def test_labelled_images_and_the_end_of_a_whole_run_are_kept_too(written, new_dataset, quick_clustering):
    dataset, ids = written
    dataset.select(ids[:2]).tag_samples("labelled")
    runs.choose_coreset(dataset, method="graph_coverage", budget=2, tag="mine", locked_tag="labelled")
    assert "labelled already" in runs.card(Run(dataset, "elfs"), ids[0], 2, 4)["choices"]["mine"]
    other = new_dataset(40)
    runs.run_elfs(other, num_clusters=4, budget=8, method="graph_coverage", tag="kept")
    order = runs.beside_view(Run(other, "elfs"), "kept", 0, 1, "chosen").values("id")
    assert sorted(order) == sorted(other.match_tags("kept").values("id"))
    assert runs.card(Run(other, "elfs"), order[2], 0, 1)["choices"]["kept"].startswith("number 3 of 8: it stands for")
