import fiftyone as fo
import pytest


@pytest.mark.parametrize("name", ["compute_embeddings", "run_elfs"])
def test_a_form_on_a_fresh_dataset_has_no_errors(dataset, errors_of, name):
    assert errors_of(name, dataset) == {}


def test_the_forms_of_a_finished_run_have_no_errors(finished, errors_of, tmp_path):
    dataset, _ = finished
    for name in ("compute_pseudo_labels", "compute_scores", "search_beta", "select_coreset", "delete_run", "run_elfs"):
        assert errors_of(name, dataset) == {}, name
    assert errors_of("export_coreset", dataset) == {"path": "Give an absolute path to write to."}
    assert errors_of("export_coreset", dataset, path=str(tmp_path / "new" / "x.csv")) == {}


def test_what_a_form_asks_follows_the_choices(dataset, form, errors_of):
    dataset.add_sample_field("clip", fo.VectorField)
    plain = form("run_elfs", dataset)
    assert "encoder" in plain and "beta" not in plain and "weights" not in plain
    assert plain["embeddings_field"].default == "elfs_embeddings"
    assert errors_of("run_elfs", dataset, embeddings_field="clip").keys() == {"embeddings_field"}  # it is not the run's
    field = form("run_elfs", dataset, source="field")
    assert "encoder" not in field and field["embeddings_field"].default == "clip"
    assert "beta_proxy" in plain and "repeats" in plain
    by_hand = form("run_elfs", dataset, beta_mode="manual")
    assert "beta" in by_hand and "beta_proxy" not in by_hand and "repeats" not in by_hand
    assert "weights" in form("run_elfs", dataset, encoder="timm:vit_base_patch16_224.dino")
    assert "weights" not in form("run_elfs", dataset, encoder="zoo:clip-vit-base32-torch")


def test_the_clusters_suit_the_view(dataset, form):
    assert form("run_elfs", dataset)["num_clusters"].default == 10
    assert form("run_elfs", dataset[:20])["num_clusters"].default == 4
    assert form("run_elfs", dataset[:3])["num_clusters"].default == 2


def test_the_runs_to_choose_from(finished, dataset, form):
    assert [choice.value for choice in form("select_coreset", finished[0])["key"].view.choices] == ["elfs"]
    assert form("select_coreset", dataset)["key"].view.choices == []


def test_the_found_beta_is_offered(finished, form):
    dataset, summary = finished
    auto = form("select_coreset", dataset, method="elfs")["beta_mode"].view.choices[0]
    assert f"{summary['beta']:.2g}" in auto.label


def test_the_run_offers_its_own_vectors(finished, form):
    assert form("compute_pseudo_labels", finished[0])["embeddings_field"].default == "elfs_embeddings"


def test_delete_says_what_it_removes(finished, form):
    dataset, _ = finished
    label = form("delete_run", dataset)["what"].view.label
    for what in ("field elfs,", "field elfs_embeddings", "tag coreset", "saved view Coreset", "cannot be undone"):
        assert what in label


def test_a_run_may_name_its_own_tag_and_view_again(finished, errors_of):
    assert errors_of("select_coreset", finished[0], tag="coreset", view_name="Coreset") == {}
    taken = errors_of("run_elfs", finished[0], key="other", tag="coreset", view_name="Coreset")
    assert set(taken) == {"tag", "view_name"}


def test_budgets_of_a_form(plugin):
    forms = plugin("operators.budget_forms")
    assert forms.budget_of({}) == 0.1
    assert forms.budget_of({"budget": 25, "budget_unit": "percent"}) == 0.25
    assert forms.budget_of({"budget": 100, "budget_unit": "percent"}) == 1.0
    assert type(forms.budget_of({"budget": 100, "budget_unit": "percent"})) is float
    assert forms.budget_of({"budget": 1.0, "budget_unit": "images"}) == 1
    assert type(forms.budget_of({"budget": 1.0, "budget_unit": "images"})) is int
    assert forms.budget_of({"budget": 0.3}) == 0.3
    assert forms.budget_of({"budget": 30}) == 30
    assert forms.budget_of({"budget": "10%"}) == forms.budget_of({"budget": "10%", "budget_unit": "percent"}) == 0.1
    for wrong in (True, [10], float("nan")):
        with pytest.raises(plugin("elfs_plugin.errors").InvalidInput, match="must be a number"):
            forms.budget_of({"budget": wrong})


def test_betas_of_a_form(plugin):
    forms = plugin("operators.budget_forms")
    assert forms.beta_of({}) == "auto"
    assert forms.beta_of({"beta": 0.3}) == 0.3
    assert forms.beta_of({"beta": 0}) == 0
    assert forms.beta_of({"beta": 0.3, "beta_mode": "auto"}) == "auto"
    assert forms.beta_of({"beta_mode": "manual"}) == 0.2


def test_estimating_the_clusters_takes_the_place_of_the_number(form, dataset):
    shown = form("run_elfs", dataset, clusters_mode="auto")
    assert "num_clusters" not in shown and "clusters_note" in shown
    shown = form("compute_pseudo_labels", dataset)
    assert "num_clusters" in shown and "clusters_note" not in shown
