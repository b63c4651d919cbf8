import pytest

from elfs_plugin import runs
from elfs_plugin.errors import InvalidInput
from elfs_plugin.runs import graph, journal, record


def test_a_scored_image(written):
    dataset, order = written
    card = runs.card(runs.Run(dataset, "elfs"), order[2], 3, 4)
    assert (card["id"], card["filepath"], card["status"]) == (order[2], dataset[order[2]].filepath, "scored")
    assert (card["rank"], card["percentile"], card["zone"]) == (2, 2 / 12, "hard")
    assert card["sentence"] == "too hard: AUM rank 16.7% is below β = 25.0%"
    assert card["scores"] == {"aum": -4.0, "forgetting": 0.0, "el2n": 0.0, "dual": 0.0}
    assert (card["cluster"], card["confidence"], card["agreement"]) == ("cluster 2", 2 / 12, 1.0)


def test_its_neighbours_and_near_duplicates(written):
    dataset, order = written
    card = runs.card(runs.Run(dataset, "elfs"), order[2], 3, 4)
    assert [row["id"] for row in card["neighbors"]] == order[3:6]
    assert [row["similarity"] for row in card["neighbors"]] == pytest.approx([0.99, 0.9, 0.8], abs=1e-3)
    assert [(row["rank"], row["zone"], row["cluster"]) for row in card["neighbors"]] == [
        (3, "coreset", "cluster 10"),
        (4, "coreset", "cluster 2"),
        (5, "coreset", "cluster 10"),
    ]
    assert [row["id"] for row in card["near_duplicates"]] == [order[3]]
    # The same image under another cut: what is similar to it is no longer in the coreset.
    assert runs.card(runs.Run(dataset, "elfs"), order[2], 4, 4)["near_duplicates"] == []
    looser = runs.card(runs.Run(dataset, "elfs"), order[2], 4, 4, near_duplicate=0.85)
    assert [row["id"] for row in looser["near_duplicates"]] == [order[4]]


@pytest.mark.parametrize(("rank", "zone"), [(2, "hard"), (3, "coreset"), (6, "coreset"), (7, "easy")])
def test_the_zone_follows_the_cut(written, rank, zone):
    dataset, order = written
    assert runs.card(runs.Run(dataset, "elfs"), order[rank], 3, 4)["zone"] == zone


def test_a_deleted_neighbour_is_left_out(written):
    dataset, order = written
    dataset.delete_samples([order[3]])
    assert [row["id"] for row in runs.card(runs.Run(dataset, "elfs"), order[2], 3, 4)["neighbors"]] == order[4:6]


def test_a_run_without_stored_neighbours_says_how_to_get_them(written):
    dataset, order = written
    graph.remove_others(record.run_folder(dataset, "elfs"), "")
    card = runs.card(runs.Run(dataset, "elfs"), order[2], 3, 4)
    assert (card["rank"], card["neighbors"]) == (2, [])
    assert "ELFS: Compute pseudo-labels" in card["note"]


def test_images_that_take_no_part(written, digits):
    import fiftyone as fo

    dataset, order = written
    new, bad = dataset.add_samples([fo.Sample(filepath=str(path)) for path in digits[20:22]])
    journal.save_results(dataset, "elfs", failures={bad: "truncated image"})
    dataset.set_values("elfs.rank", {order[0]: None}, key_field="id")
    dataset.delete_samples([order[1]])
    cards = {i: runs.card(runs.Run(dataset, "elfs"), i, 3, 4) for i in (new, bad, order[0], order[1], "no id")}
    assert [card["status"] for card in cards.values()] == ["unscored", "failed", "labelled", "deleted", "deleted"]
    assert "Update run" in cards[new]["sentence"]
    assert cards[bad]["sentence"] == "Left out of the run: truncated image."
    assert cards[order[0]]["cluster"] == "cluster 2" and "Compute scores" in cards[order[0]]["sentence"]
    assert "no longer in the dataset" in cards[order[1]]["sentence"]
    assert all(card["rank"] is None and card["neighbors"] == [] for card in cards.values())
    scored = runs.card(runs.Run(dataset, "elfs"), order[5], 3, 4)
    assert {frozenset(card) for card in cards.values()} == {frozenset(scored)}


def test_a_finished_run_has_everything(finished):
    dataset, summary = finished
    hardest = runs.rank_view(runs.Run(dataset, "elfs"), 0, 1).first()
    card = runs.card(runs.Run(dataset, "elfs"), hardest.id, summary["hard"], summary["coreset"])
    assert card["rank"] == 0 and len(card["neighbors"]) == 5
    similarities = [row["similarity"] for row in card["neighbors"]]
    assert similarities == sorted(similarities, reverse=True)
    zones = dict(zip(*dataset.values(["id", "elfs.zone"])))
    assert all(row["zone"] == zones[row["id"]] for row in card["neighbors"])


def test_without_a_run_there_is_no_card(dataset):
    with pytest.raises(InvalidInput, match="There is no ELFS run 'elfs'"):
        runs.card(runs.Run(dataset, "elfs"), dataset.first().id, 3, 4)
