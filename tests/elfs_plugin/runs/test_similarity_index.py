"""Runs on vectors of FiftyOne's similarity indexes, made by FiftyOne and kept by real back ends."""

import socket

import fiftyone as fo
import fiftyone.brain as fob
import fiftyone.core.utils as fou
import numpy as np
import pytest
from fiftyone.brain.internal.core import lancedb, qdrant, sklearn

from elfs_plugin import runs, scratch
from elfs_plugin.errors import InvalidInput
from elfs_plugin.runs import index_vectors, similarity_index
from elfs_plugin.runs import vectors as vectors_of_runs
from tests.helpers import blobs

pytestmark = [
    pytest.mark.usefixtures("quick_clustering"),
    pytest.mark.filterwarnings("ignore:table_names:DeprecationWarning"),  # FiftyOne's call of LanceDB
    pytest.mark.filterwarnings("ignore:Failed to obtain server version"),  # Qdrant's client, where no server is
]

VECTORS, CLUSTERS = blobs()
VALUES = ("elfs.pseudo_label.label", "elfs.pseudo_label.confidence", "elfs.aum", "elfs.rank", "elfs.zone")


@pytest.fixture
def lance(tmp_path, monkeypatch):
    """LanceDB in a folder that FiftyOne's brain configuration names."""
    monkeypatch.setitem(fob.brain_config.similarity_backends["lancedb"], "uri", str(tmp_path / "lance"))


@pytest.fixture
def in_process(monkeypatch):
    """Qdrant's own engine in this process in place of its server, which FiftyOne's back end cannot be told to use."""
    from qdrant_client import QdrantClient

    client = QdrantClient(":memory:")
    monkeypatch.setattr(qdrant.qdrant, "QdrantClient", lambda **options: client)


@pytest.fixture(params=["sklearn", "lancedb", "qdrant"])
def back_end(request):
    if request.param != "sklearn":
        request.getfixturevalue({"lancedb": "lance", "qdrant": "in_process"}[request.param])
    return request.param


def add_index(collection, embeddings=VECTORS, key="sim", backend="sklearn", **options):
    fob.compute_similarity(collection, embeddings=embeddings, brain_key=key, backend=backend, **options)
    return key


def read(dataset, ids=None, key="sim"):
    ids = ids or dataset.values("id")
    return index_vectors.read_index(dataset, runs.find_index(dataset, key), ids)


def run(collection, key="elfs", **changes):
    return runs.run_elfs(collection, key, **{"num_clusters": 4, "budget": 20, "beta": 0.1, **changes})


def values(dataset):
    return list(zip(*dataset.values(["id", *VALUES])))


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_vectors_are_put_in_their_place_by_id(dataset, back_end, monkeypatch):
    monkeypatch.setattr(index_vectors, "_ASKED", 7)
    monkeypatch.setattr(index_vectors, "_ASKED_OF_THESE", 9)
    ids = dataset.values("id")
    add_index(dataset.select(ids[::2]), VECTORS[::2], backend=back_end)
    asked = [ids[70], "0" * 24, *ids[:41][::-1]]
    found = read(dataset, asked)
    known = [i for i in asked if i in ids[::2]]
    assert found.ok.tolist() == [i in known for i in asked]
    assert {asked[row]: why for row, why in found.failures.items()} == {
        i: "not in the similarity index 'sim'" for i in asked if i not in known
    }
    # Qdrant keeps vectors that are compared by cosine at length 1.
    np.testing.assert_allclose(unit(found.vectors), unit(VECTORS[[ids.index(i) for i in known]]), rtol=1e-5, atol=1e-6)
    assert found.vectors.dtype == np.float32


def test_a_large_matrix_is_mapped(dataset, monkeypatch):
    add_index(dataset)
    small = read(dataset).vectors
    monkeypatch.setattr(scratch, "IN_MEMORY", small.nbytes - 1)
    large = read(dataset).vectors
    assert isinstance(large, np.memmap) and np.array_equal(large, small)


def test_the_result_is_that_of_the_same_vectors_in_a_field(dataset, new_dataset, lance):
    twin = new_dataset()
    twin.add_sample_field("clip", fo.VectorField)
    twin.set_values("clip", list(VECTORS))
    add_index(dataset, backend="lancedb")
    summary = run(dataset, similarity_index="sim")
    run(twin, encoder=None, embeddings_field="clip")
    assert (summary["similarity_index"], summary["embeddings_field"]) == ("sim", None)
    names = [row[1:] for row in values(dataset)]
    assert names == [row[1:] for row in values(twin)] and None not in names[0]
    assert not dataset.has_sample_field("elfs_embeddings")


def test_half_of_the_images_in_the_index(dataset):
    ids = dataset.values("id")
    add_index(dataset[:40], VECTORS[:40])
    summary = run(dataset, similarity_index="sim", budget=0.5)
    assert (summary["samples"], summary["failed"], summary["coreset"]) == (40, 40, 20)
    assert sorted(dataset.exists("elfs.rank").values("id")) == ids[:40]
    failures = runs.load_results(dataset, "elfs")["failures"]
    assert failures == {i: "not in the similarity index 'sim'" for i in ids[40:]}


def test_more_labels_than_images_in_the_index_are_refused(dataset):
    add_index(dataset[:10], VECTORS[:10])
    with pytest.raises(InvalidInput, match="10"):
        run(dataset, similarity_index="sim", budget=20)


def test_images_that_were_deleted_since_do_not_matter(dataset, back_end):
    add_index(dataset, backend=back_end)
    dataset.delete_samples(dataset.values("id")[::4])
    found = read(dataset)
    assert found.ok.all() and not found.failures
    np.testing.assert_allclose(unit(found.vectors), unit(VECTORS[np.arange(80) % 4 > 0]), rtol=1e-5, atol=1e-6)


def test_an_index_of_other_images_is_refused(dataset, back_end):
    add_index(dataset[:10], VECTORS[:10], backend=back_end)
    with pytest.raises(InvalidInput, match="'sim' holds none of these 70 images: it is of another view or dataset"):
        read(dataset, dataset.values("id")[10:])


def test_vectors_that_are_no_numbers_get_a_reason_and_zeros_are_vectors(dataset):
    vectors = VECTORS.copy()
    vectors[3, 2], vectors[5, 0], vectors[7] = np.nan, np.inf, 0.0
    add_index(dataset, vectors)
    found = read(dataset)
    assert found.failures == {row: "vector with NaN or infinite values" for row in (3, 5)}
    np.testing.assert_array_equal(found.vectors[5], np.zeros(6))


def test_an_index_without_a_usable_vector_is_refused(dataset):
    add_index(dataset, np.full((80, 3), np.nan))
    with pytest.raises(InvalidInput, match="'sim' holds no usable vector of these images. The first: vector with NaN"):
        read(dataset)


def test_narrow_numbers(dataset):
    add_index(dataset, VECTORS.astype(np.float16))
    np.testing.assert_array_equal(read(dataset).vectors, VECTORS.astype(np.float16).astype(np.float32))


def test_several_vectors_of_one_image(dataset, lance):
    """FiftyOne's LanceDB appends what it is told to overwrite, and fails at whatever is asked together with it."""
    add_index(dataset, backend="lancedb")
    ids = dataset.values("id")
    dataset.load_brain_results("sim").add_to_index(VECTORS[[2, 50]] + 1, [ids[2], ids[50]])
    found = read(dataset)
    assert found.failures == {row: "several vectors in the similarity index" for row in (2, 50)}
    np.testing.assert_array_equal(found.vectors, np.delete(VECTORS, [2, 50], axis=0))


def test_an_index_that_fails_again_and_again_is_refused(dataset, lance, monkeypatch):
    add_index(dataset, backend="lancedb")
    monkeypatch.setattr(index_vectors, "_MOST_FAILURES", 6)
    asked = []

    def broken(self, sample_ids, **options):
        asked.append(len(sample_ids))
        raise RuntimeError("the table is damaged")

    monkeypatch.setattr(lancedb.LanceDBSimilarityIndex, "get_embeddings", broken)
    with pytest.raises(InvalidInput, match=r"'sim' \(lancedb\) cannot be read: the table is damaged.*make it again"):
        read(dataset)
    assert len(asked) == 7


def test_a_back_end_that_fails_at_one_image_gives_the_others(dataset, lance, monkeypatch):
    add_index(dataset, backend="lancedb")
    bad, answer = dataset.values("id")[11], lancedb.LanceDBSimilarityIndex.get_embeddings

    def picky(self, sample_ids, **options):
        if bad in sample_ids:
            raise KeyError(bad)
        return answer(self, sample_ids, **options)

    monkeypatch.setattr(lancedb.LanceDBSimilarityIndex, "get_embeddings", picky)
    assert list(read(dataset).failures) == [11]


@pytest.mark.parametrize("error", [ConnectionRefusedError("refused"), TimeoutError("too late")])
def test_a_server_that_goes_away_is_not_asked_again(dataset, monkeypatch, error):
    add_index(dataset)
    asked = []

    def gone(self, **options):
        asked.append(1)
        raise error

    monkeypatch.setattr(sklearn.SklearnSimilarityIndex, "get_embeddings", gone)
    with pytest.raises(InvalidInput, match=f"cannot be read: {error}"):
        read(dataset)
    assert asked == [1]


def test_a_server_that_does_not_answer(dataset, in_process, monkeypatch):
    add_index(dataset, backend="qdrant")
    monkeypatch.undo()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setitem(fob.brain_config.similarity_backends["qdrant"], "url", f"http://127.0.0.1:{port}")
    with pytest.raises(InvalidInput, match="'sim' cannot be opened: qdrant does not answer") as caught:
        run(dataset, similarity_index="sim")
    assert "FIFTYONE_BRAIN_SIMILARITY_QDRANT_" in str(caught.value)
    assert runs.load_record(dataset, "elfs") is None


@pytest.mark.parametrize(("backend", "module"), [("lancedb", lancedb), ("qdrant", qdrant)])
def test_a_package_that_is_missing(dataset, request, monkeypatch, backend, module):
    request.getfixturevalue({"lancedb": "lance", "qdrant": "in_process"}[backend])
    add_index(dataset, backend=backend)
    monkeypatch.setattr(module, {"lancedb": "lancedb", "qdrant": "qdrant"}[backend], fou.lazy_import("no_such_package"))
    package = {"lancedb": "lancedb", "qdrant": "qdrant-client"}[backend]
    with pytest.raises(InvalidInput, match=f"kept by {backend}, .* pip install {package}"):
        read(dataset)


def test_a_back_end_that_cannot_be_imported(dataset, in_process):
    """FiftyOne takes its base class in place of it."""
    add_index(dataset, backend="qdrant")
    document = dataset._doc.brain_methods["sim"]
    document.config["cls"] = "no_such_package.QdrantSimilarityConfig"
    document.save()
    with pytest.raises(InvalidInput, match="kept by qdrant, .* pip install qdrant-client"):
        read(dataset)


def test_an_address_that_was_given_once_is_asked_for(dataset, lance, tmp_path, monkeypatch):
    add_index(dataset, backend="lancedb", uri=str(tmp_path / "elsewhere"))
    with pytest.raises(InvalidInput, match=r"'sim' is empty where FiftyOne looks for it \(lancedb\)") as caught:
        read(dataset)
    assert "FIFTYONE_BRAIN_SIMILARITY_LANCEDB_" in str(caught.value)


def test_an_index_whose_vectors_are_in_a_field_is_that_field(dataset):
    dataset.add_sample_field("clip", fo.VectorField)
    dataset.set_values("clip", list(VECTORS))
    add_index(dataset, "clip")
    assert run(dataset, similarity_index="sim")["embeddings_field"] == "clip"
    record = runs.load_record(dataset, "elfs")
    assert (record.embeddings_field, record.owns_embeddings, record.similarity_index) == ("clip", False, None)
    dataset.delete_brain_run("sim")
    assert runs.visualize(dataset, method="pca")["samples"] == 80
    assert runs.check_run(runs.Run(dataset, "elfs")).codes == []


def test_a_field_with_a_point_in_its_name(dataset):
    dataset.set_values("meta", [fo.DynamicEmbeddedDocument(clip=vector.tolist()) for vector in VECTORS])
    dataset.add_sample_field("meta.clip", fo.ListField, subfield=fo.FloatField)
    add_index(dataset, "meta.clip")
    assert run(dataset, similarity_index="sim")["embeddings_field"] == "meta.clip"
    assert runs.visualize(dataset, method="pca")["samples"] == 80


def test_a_field_of_an_index_that_is_gone(dataset):
    dataset.set_values("clip", VECTORS.tolist())
    add_index(dataset, "clip")
    dataset.delete_sample_field("clip")
    with pytest.raises(InvalidInput, match="'sim' were in the field 'clip', which the dataset does not have any more"):
        run(dataset, similarity_index="sim")


def test_keys_that_are_no_index_of_images(dataset):
    first = dataset.first()
    first["boxes"] = fo.Detections(detections=[fo.Detection(label="a", bounding_box=[0, 0, 0.5, 0.5])])
    first.save()
    add_index(dataset, {first.id: VECTORS[:1]}, "of_boxes", patches_field="boxes")
    fob.compute_visualization(dataset, points=VECTORS[:, :2], brain_key="plot", progress=False)
    add_index(dataset)
    assert sorted(runs.similarity_indexes(dataset)) == ["of_boxes", "sim"]
    for key, words in {
        "plot": r"no similarity index 'plot' \(similarity indexes: of_boxes, sim\)",
        "simm": "no similarity index 'simm' .* Did you mean 'sim'?",
        "a.b": "no similarity index 'a.b'",
        "of_boxes": "holds vectors of the labels in 'boxes', and ELFS selects whole images",
        7: "no similarity index 7",
    }.items():
        with pytest.raises(InvalidInput, match=words) as caught:
            run(dataset, similarity_index=key)
        assert caught.value.field == "similarity_index"


def test_one_source_of_vectors(dataset):
    add_index(dataset)
    for others in ({"encoder": "pixels"}, {"embeddings_field": "clip"}):
        with pytest.raises(InvalidInput, match="not both"):
            run(dataset, similarity_index="sim", **others)


def test_an_object_of_fiftyone_names_its_index(dataset):
    add_index(dataset)
    summary = runs.compute_pseudo_labels(dataset, similarity_index=dataset.load_brain_results("sim"), num_clusters=4)
    assert summary["similarity_index"] == "sim"


def test_the_list_of_indexes_loads_no_back_end(dataset, monkeypatch):
    add_index(dataset)
    monkeypatch.setattr(fo.Dataset, "get_brain_info", None)
    monkeypatch.setattr(fo.Dataset, "load_brain_results", None)
    (index,) = runs.similarity_indexes(dataset).values()
    assert (index.key, index.method, index.field, index.patches_field) == ("sim", "sklearn", None, None)


class TestAfterwards:
    """What comes after a run on an index."""

    @pytest.fixture
    def done(self, dataset, lance):
        add_index(dataset, backend="lancedb")
        run(dataset, similarity_index="sim", tag="kept")
        return dataset

    def test_later_stages_read_the_index_again(self, done):
        assert runs.visualize(done, method="pca")["samples"] == 80
        runs.compute_scores(done, score="el2n")
        assert runs.search_beta(done, budget=20, repeats=1)["stage"] == "beta"
        assert runs.compute_pseudo_labels(done, num_clusters=5)["similarity_index"] == "sim"
        assert runs.check_run(runs.Run(done, "elfs")).codes == []

    def test_other_methods_and_audits_too(self, done):
        done.set_values("truth", [fo.Classification(label=str(c)) for c in CLUSTERS])
        assert runs.choose_coreset(done, method="k_center", budget=10, tag="centres")["coreset"] == 10
        assert runs.audit(done, truth_field="truth", seeds=1)["key"] == "elfs"

    def test_the_next_round_too(self, done):
        assert runs.next_batch(done, budget=8, labels_field="truth", classes=["a", "b"])["key"] == "elfs"

    def test_an_update_takes_new_images_from_it(self, done, digits):
        new = done.add_samples([fo.Sample(filepath=str(path)) for path in digits[80:84]])
        done.load_brain_results("sim").add_to_index(VECTORS[:3] + 0.01, new[:3])
        summary = runs.update_run(done)
        assert (summary["added"], summary["left_out"]) == (3, 1)
        assert runs.load_results(done, "elfs")["failures"] == {new[3]: "not in the similarity index 'sim'"}
        labels = dict(zip(*done.values(["id", "elfs.pseudo_label.label"])))
        assert [labels[i] for i in new[:3]] == [labels[i] for i in done.values("id")[:3]]

    def test_an_update_whose_images_are_not_in_it_says_so(self, done, digits):
        done.add_samples([fo.Sample(filepath=str(path)) for path in digits[80:84]])
        with pytest.raises(InvalidInput, match="'sim' holds none of these 4 images.*Add them to it"):
            runs.update_run(done)

    def test_an_index_that_is_gone(self, done):
        done.delete_brain_run("sim")
        (finding,) = runs.check_run(runs.Run(done, "elfs")).findings
        assert finding.code == "vectors_missing" and "'sim' has been deleted or renamed" in finding.text
        with pytest.raises(InvalidInput, match="'sim', from which the run 'elfs' takes its vectors, has been deleted"):
            runs.visualize(done, method="pca")
        assert runs.select_coreset(done, budget=10, beta=0.0)["coreset"] == 10

    def test_an_index_that_was_made_again(self, done):
        done.delete_brain_run("sim")
        add_index(done, 2 * VECTORS, backend="lancedb")
        (finding,) = runs.check_run(runs.Run(done, "elfs")).findings
        assert finding.code == "index_changed"
        runs.compute_pseudo_labels(done, num_clusters=4)
        assert runs.check_run(runs.Run(done, "elfs")).codes == []

    def test_an_index_that_was_made_again_from_a_field(self, done):
        done.delete_brain_run("sim")
        done.set_values("clip", VECTORS.tolist())
        add_index(done, "clip")
        found, ok = vectors_of_runs.read(runs.Run(done, "elfs"), done.values("id"))
        assert ok.all()
        np.testing.assert_array_equal(found, VECTORS)

    def test_deleting_the_run_leaves_the_index(self, done):
        runs.visualize(done, method="pca")
        runs.delete_run(done)
        assert done.list_brain_runs() == ["sim"]
        assert read(done).ok.all()

    def test_embeddings_of_its_own_take_its_place_and_back(self, done):
        runs.compute_embeddings(done, encoder="pixels")
        record = runs.load_record(done, "elfs")
        assert (record.similarity_index, record.embeddings_field) == (None, "elfs_embeddings")
        runs.compute_pseudo_labels(done, similarity_index="sim", num_clusters=4)
        record = runs.load_record(done, "elfs")
        assert (record.similarity_index, record.embeddings_field, record.owns_embeddings) == ("sim", None, False)
        assert not done.has_sample_field("elfs_embeddings")


def test_indexes_of_old_records_have_a_kind():
    assert similarity_index._is_similarity({"cls": "fiftyone.brain.similarity.SimilarityConfig"})
    assert not similarity_index._is_similarity({"cls": "fiftyone.brain.visualization.UMAPVisualizationConfig"})
