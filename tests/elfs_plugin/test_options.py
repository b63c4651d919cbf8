import pytest

from elfs_plugin.clustering.pseudo_labels import ClusteringConfig
from elfs_plugin.errors import InvalidInput
from elfs_plugin.options import ClusteringOptions, ElfsOptions, ScoringOptions, SearchOptions
from elfs_plugin.proxy.train import ProxyConfig


def test_plain_names_find_their_parts():
    options = ElfsOptions.of(
        budget=0.1,
        num_clusters="7",
        neighbors=5.0,
        preset="quick",
        proxy="mlp",
        score="el2n",
        epochs=3,
        seed=4.0,
        beta="20%",
        beta_proxy="resnet8",
        repeats=2,
        grid=[0, 0.1],
        image_size=16,
        encoder=None,
    )
    assert options.clustering == ClusteringOptions("7", 5, "quick")
    assert options.scoring == ScoringOptions("mlp", "el2n", 3, 16)
    assert options.search == SearchOptions("resnet8", 2, [0, 0.1], 16, "beta_proxy")
    assert (options.seed, options.beta, options.searches, options.encoder) == (4, 0.2, False, None)
    assert options.scoring.hard == "high" and options.scoring.config() == ProxyConfig.mlp(epochs=3)


def test_the_stages_are_those_that_are_needed():
    everything = ["embeddings", "cluster_count", "neighbors", "pseudo_labels", "dynamics", "beta", "selection"]
    assert ElfsOptions.of(budget=1).stages == everything
    given = ElfsOptions.of(budget=1, num_clusters=3, encoder=None, beta=0)
    assert given.stages == ["neighbors", "pseudo_labels", "dynamics", "selection"]
    assert given.on_images() == []
    assert ElfsOptions.of(budget=1, proxy="mlp", beta_proxy="resnet8").on_images() == ["beta"]
    assert ElfsOptions.of(budget=1, proxy="resnet8").on_images() == ["dynamics", "beta"]


def test_a_configuration_is_taken_as_it_is():
    config = ClusteringConfig(heads=2)
    assert ClusteringOptions(3, preset=config).config is config
    assert ClusteringOptions(3, preset="published").config == ClusteringConfig.published()
    assert ClusteringOptions(3).config == ClusteringConfig.default()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"budgt": 3}, "budgt"),
        ({"preset": "slow"}, "preset"),
        ({"score": "hardness"}, "score"),
        ({"proxy": "svm"}, "proxy"),
        ({"beta_proxy": "svm"}, "beta_proxy"),
        ({"beta": "much"}, "beta"),
        ({"epochs": 0}, "epochs"),
        ({"seed": -1}, "seed"),
        ({"field": "x"}, "field"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(wrong, field):
    with pytest.raises(InvalidInput) as error:
        ElfsOptions.of(**{"budget": 3, **wrong})
    assert error.value.field == field


def test_a_budget_must_be_given():
    with pytest.raises(InvalidInput, match="Give a budget"):
        ElfsOptions.of(num_clusters=3)


def test_what_the_number_of_samples_does_not_allow():
    options = ElfsOptions.of(budget=30, num_clusters=5, beta=0.1)
    assert options.check(100) == 30
    with pytest.raises(InvalidInput, match="Only 20 of the 100 images can be used"):
        options.check(20, 100)
    with pytest.raises(InvalidInput, match="5 clusters"):
        options.check(4)
    with pytest.raises(InvalidInput, match="no samples"):
        options.check(0)
    with pytest.raises(InvalidInput) as error:
        ElfsOptions.of(budget=0.95, num_clusters=5, beta=0.1).check(100)
    assert error.value.field == "beta"
