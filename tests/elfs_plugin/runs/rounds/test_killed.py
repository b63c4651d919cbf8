"""Jobs of a round that die, are cancelled, meet each other, or find that something was changed or deleted meanwhile."""

import threading
import time

import fiftyone as fo
import pytest

from elfs_plugin import runs
from elfs_plugin.errors import Busy, Cancelled, ElfsError, InvalidInput, NameTaken
from elfs_plugin.runs import carry, jobs, journal, record
from elfs_plugin.runs.rounds import parts, state
from elfs_plugin.runs.rounds.backends.base import Backend, Option, Returned

CLASSES = [str(digit) for digit in range(10)]


class Killed(BaseException):
    """Ends a job as a signal would; nothing in the plugin knows it."""


class Tool(Backend):
    """A server that keeps parts by their key: one that is sent again takes the place of itself."""

    name, title, people, chunk = "tool", "The tool", True, 10
    options = (Option("url", "URL", default="http://here"),)

    def __init__(self, server):
        self.server = server

    def send(self, sending, progress):
        self.server["asked"].append((sending.part.key, list(sending.ids)))
        self.server["parts"][sending.part.key] = list(sending.ids)
        self.server["while sending"](sending, progress)
        return {"url": f"http://here/{sending.part.key}"}

    def take(self, dataset, part, ids, options):
        self.server["while taking"](dataset, part)
        known = self.server["truth"]
        return Returned(labels={i: known[i] for i in ids if i in known and i not in self.server["left"]})


@pytest.fixture
def server(monkeypatch):
    memory = {"asked": [], "parts": {}, "left": set(), "truth": {}}
    memory["while sending"] = memory["while taking"] = lambda *args: None
    for module in ("sending", "returning"):
        monkeypatch.setattr(f"elfs_plugin.runs.rounds.{module}.backend", lambda name: Tool(memory))
    return memory


@pytest.fixture(scope="module")
def finished(new_dataset, quick_clustering):
    dataset = new_dataset(120)
    runs.run_elfs(dataset, num_clusters=8, budget=20)
    return dataset


@pytest.fixture
def dataset(finished, server):
    """Each test has rounds and labels of its own; the run is the same, but for what is learnt."""
    ids, paths = finished.values(["id", "filepath"])
    server["truth"].update((i, path.rsplit("_", 1)[1][0]) for i, path in zip(ids, paths))
    yield finished
    finished.reload()
    found = runs.load_record(finished, "elfs")
    if found is not None:
        runs.repair_run(finished)
        if runs.load_record(finished, "elfs").labelling:
            runs.forget_rounds(finished)
    finished.untag_samples(list(finished.distinct("tags")))
    if finished.has_sample_field("digit"):
        finished.delete_sample_field("digit")


def choose(dataset, **options):
    first = {"classes": CLASSES, "labels_field": "digit", "golden": 5}
    known = runs.load_record(dataset, "elfs").labelling
    return runs.next_batch(dataset, **{"budget": 20, **({} if known else first), **options})


def send(dataset, **options):
    return runs.send_batch(dataset, to="tool", **options)


def last(dataset, number=None):
    return state.round_of(runs.load_record(dataset, "elfs"), number)


def up_to(name, dataset):
    """The rounds as they are when it is the turn of a job."""
    before = {"next_batch": (), "send_batch": (choose,), "take_back": (choose, send)}
    for job in before.get(name, (choose, send, runs.take_back)):
        job(dataset)


JOBS = {
    "next_batch": choose,
    "send_batch": send,
    "take_back": runs.take_back,
    "learn_labels": runs.learn_labels,
    "forget_rounds": runs.forget_rounds,
}


def seen(dataset):
    """Everything of the rounds, and the labels, as plain values."""
    dataset.reload()
    paths = [f"elfs.{name}" for name in ("status", "round", "turn", "source", "rank", "pseudo_label.label")]
    there = [path for path in ("id", "tags", *paths, "digit.label") if dataset.get_field(path) is not None]
    values = {path: found for path, found in zip(there, dataset.values(there)) if any(v is not None for v in found)}
    values["tags"] = [sorted(tags) for tags in values["tags"]]
    views = {name: dataset.load_saved_view(name).values("id") for name in dataset.list_saved_views()}
    found = runs.load_record(dataset, "elfs")
    rounds = [{k: v for k, v in one.items() if k != "when"} for one in found.rounds]
    kept = {name: value for name, value in runs.load_results(dataset, "elfs").items() if name.startswith("round")}
    return values, views, rounds, found.labelling, sorted(found.tags), sorted(found.saved_views), kept


def dies(monkeypatch, where, name, job, dataset):
    def die(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(where, name, die)
        with pytest.raises(Killed):
            job(dataset)


@pytest.mark.parametrize("name", JOBS)
def test_what_dies_before_the_commit_has_changed_nothing(dataset, monkeypatch, name):
    up_to(name, dataset)
    before = seen(dataset)
    dies(monkeypatch, record, "save_record", JOBS[name], dataset)
    assert seen(dataset) == before
    assert "unfinished" not in runs.check_run(runs.Run(dataset, "elfs")).codes
    JOBS[name](dataset)
    assert seen(dataset) != before


@pytest.mark.parametrize("by", ["repair_run", "the next job"])
@pytest.mark.parametrize("name", JOBS)
def test_what_dies_after_the_commit_is_found_and_finished(dataset, monkeypatch, name, by):
    """Before the first, and before the last of its steps."""
    up_to(name, dataset)
    real = dict(carry.STEPS)

    def die(*args):
        raise Killed

    done = []
    for do, function in real.items():
        monkeypatch.setitem(carry.STEPS, do, lambda *args, f=function: die() if done else done.append(f(*args)))
    with pytest.raises(Killed):
        JOBS[name](dataset)
    for do, function in real.items():
        monkeypatch.setitem(carry.STEPS, do, function)
    health = runs.check_run(runs.Run(dataset, "elfs"))
    assert health.codes == ["unfinished"] and health.findings[0].operator == "repair_run"
    if by == "repair_run":
        assert runs.repair_run(dataset)["finished"]
    else:
        runs.measure_stability(dataset, seeds=2)
    assert runs.check_run(runs.Run(dataset, "elfs")).codes == []
    numbers = [one.number for one in state.rounds_of(runs.load_record(dataset, "elfs"))]
    assert numbers == ([] if name == "forget_rounds" else [0])
    if name == "next_batch":
        assert len(dataset.match_tags("batch:v0")) == 25 == len(dataset.load_saved_view("batch_v0"))
    if name == "take_back":
        assert last(dataset).state == "accepted" and dataset.count("digit") == 25
        assert runs.take_back(dataset)["labelled"] == 0
    if name in ("learn_labels", "forget_rounds"):
        assert dataset.count("digit") == 25
    if name == "send_batch":  # the plan was committed; now the parts go
        send(dataset)
        assert [part.state for part in last(dataset).parts] == ["sent"] * 3


@pytest.mark.parametrize("where", [(carry, "_merge"), (journal, "_sync")])
def test_a_batch_that_an_interrupted_job_had_decided_is_not_chosen_twice(dataset, monkeypatch, where):
    """Asked again at once, as after a lost database: with its steps open, and before any."""
    dies(monkeypatch, *where, choose, dataset)
    told = runs.next_batch(dataset, budget=20, classes=CLASSES, labels_field="digit", golden=5)
    assert (told["round"], told["chosen"], told["golden"]) == (0, 20, 5)
    committed = where[0] is carry
    assert any("was finished; no other one was chosen" in text for text in told["warnings"]) == committed
    assert len(runs.load_record(dataset, "elfs").rounds) == 1
    assert choose(dataset)["round"] == 1


def test_a_part_that_the_tool_has_and_the_record_does_not_is_sent_again_the_same(dataset, server):
    choose(dataset)

    def die(sending, progress):
        if sending.part.key.endswith("_1"):
            raise Killed

    server["while sending"] = die
    with pytest.raises(Killed):
        send(dataset)
    assert [part.state for part in last(dataset).parts] == ["sent", "planned", "planned"]
    assert dataset.count_values("elfs.status") == {"sent": 10, "selected": 15, None: 95}
    server["while sending"] = lambda *args: None
    send(dataset)
    keys = [key for key, _ in server["asked"]]
    assert keys == ["elfs_r0_0", "elfs_r0_1", "elfs_r0_1", "elfs_r0_2"]
    assert server["asked"][1] == server["asked"][2]
    sent = [i for ids in server["parts"].values() for i in ids]
    assert len(sent) == len(set(sent)) == 25
    assert dataset.count_values("elfs.status") == {"sent": 25, None: 95} and last(dataset).state == "sent"
    assert runs.take_back(dataset)["labelled"] == 25


def test_sending_can_be_cancelled_and_goes_on(dataset, server):
    choose(dataset)

    def cancel(sending, progress):
        if sending.part.key.endswith("_1"):
            jobs.request_cancel(dataset, "elfs")
            for step in range(200):  # a request is looked for now and then
                progress(step / 200)
                time.sleep(0.05)

    server["while sending"] = cancel
    with pytest.raises(Cancelled):
        send(dataset, options={"url": "http://there"})
    assert [part.state for part in last(dataset).parts] == ["sent", "planned", "planned"]
    server["while sending"] = lambda sending, progress: server.update(options=sending.options)
    send(dataset)
    assert server["options"]["url"] == "http://there"  # as it was begun
    assert len(server["parts"]) == 3 and dataset.count_values("elfs.status") == {"sent": 25, None: 95}


def test_taking_back_can_be_cancelled_and_has_taken_nothing(dataset, server):
    choose(dataset)
    send(dataset)
    before = seen(dataset)

    def cancel(*args):
        jobs.request_cancel(dataset, "elfs")
        time.sleep(2)

    server["while taking"] = cancel
    with pytest.raises(Cancelled):
        runs.take_back(dataset)
    assert seen(dataset) == before
    server["while taking"] = lambda *args: None
    assert runs.take_back(dataset)["labelled"] == 25


def test_two_jobs_at_once_are_not(dataset, server):
    choose(dataset)
    inside, leave = threading.Event(), threading.Event()

    def wait(*args):
        inside.set()
        leave.wait(60)

    server["while sending"] = wait
    worker = threading.Thread(target=send, args=(dataset,))
    worker.start()
    try:
        assert inside.wait(60)
        for job in (runs.take_back, choose, runs.forget_rounds, send):
            with pytest.raises((Busy, InvalidInput)) as error:
                job(dataset)
            assert isinstance(error.value, Busy), job
    finally:
        leave.set()
        worker.join()
    assert last(dataset).state == "sent" and len(server["asked"]) == 3


def test_a_label_that_somebody_gives_while_labels_are_fetched_stays(dataset, server):
    choose(dataset)
    send(dataset)
    chosen = server["parts"]["elfs_r0_0"][0]
    server["while taking"] = lambda *args: dataset.set_values(
        "digit", {chosen: fo.Classification(label="mine")}, key_field="id"
    )
    told = runs.take_back(dataset)
    assert told["kept"] == 1 and told["labelled"] == 25
    assert dataset[chosen].digit.label == "mine"


@pytest.mark.parametrize("empty", [False, True])
def test_a_label_that_somebody_gives_between_the_commit_and_the_end_stays(dataset, server, monkeypatch, empty):
    choose(dataset)
    send(dataset)
    dies(monkeypatch, carry, "_merge", runs.take_back, dataset)
    chosen = server["parts"]["elfs_r0_0"][0]
    label = "" if empty else "mine"
    dataset.set_values("digit", {chosen: fo.Classification(label=label)}, key_field="id")
    runs.repair_run(dataset)
    dataset.reload()
    assert dataset[chosen].digit.label == (server["truth"][chosen] if empty else "mine")
    assert dataset.count("digit") == 25 and dataset[chosen].elfs.status == "annotated"


def test_a_round_that_was_ended_is_not_sent_on(dataset, server):
    choose(dataset)

    def fail(sending, progress):
        raise ElfsError("It is down.")

    server["while sending"] = fail
    with pytest.raises(ElfsError):
        send(dataset)
    runs.take_back(dataset, close=True)
    server["while sending"] = lambda *args: None
    with pytest.raises(InvalidInput, match="Round 0 has ended. Choose the next batch"):
        send(dataset)
    assert last(dataset).state == "accepted"


def test_the_golden_set_of_a_round_that_was_ended_comes_with_the_next(dataset, server):
    choose(dataset)
    golden = set(dataset.match_tags("golden_qa").values("id"))
    send(dataset)
    left = server["left"] = set(sorted(golden)[:2])
    runs.take_back(dataset, close=True)
    assert set(dataset.match_tags("golden_qa").values("id")) == golden
    assert not left & set(dataset.load_saved_view("pool").values("id"))
    assert choose(dataset, share=1.0)["golden"] == 2
    assert set(dataset.match_tags("golden_qa").values("id")) == golden
    assert left < set(dataset.match_tags("batch:v1").values("id"))
    assert set(dataset.select(list(left)).values("elfs.source")) == {"golden"}
    server["left"] = set()
    send(dataset)
    assert runs.take_back(dataset)["measured"]["n"] == 5


def test_the_tags_of_what_a_round_has_given_up_go(dataset, server):
    choose(dataset)
    send(dataset)
    left = server["left"] = set(server["parts"]["elfs_r0_0"][:3]) - set(dataset.match_tags("golden_qa").values("id"))
    runs.take_back(dataset, close=True)
    assert left and not any(dataset.select(list(left)).values("tags"))
    server["left"] = set()
    told = runs.take_back(dataset)
    assert told["labelled"] == 0 and any(
        f"{len(left)} labels are of images that were given back" in t for t in told["warnings"]
    )
    assert dataset.select(list(left)).count("digit") == 0


def test_a_tag_for_the_labelled_that_is_somebodys_is_refused_at_once(dataset):
    dataset.limit(1).tag_samples("annotated:v0")
    with pytest.raises(NameTaken, match="annotated:v0.*'names'"):
        choose(dataset)


def test_samples_of_the_golden_set_that_have_a_label_are_annotated_at_once(dataset, server):
    known = server["truth"]
    dataset.add_sample_field("digit", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    half = dataset.values("id")[::2]
    dataset.set_values("digit", {i: fo.Classification(label=known[i]) for i in half}, key_field="id")
    choose(dataset, golden=20)
    golden = set(dataset.match_tags("golden_qa").values("id"))
    assert golden & set(half)
    assert set(dataset.match_tags("annotated:v0").values("id")) == golden & set(half)
    assert not set(half) & set(dataset.match_tags("to_annotate").values("id"))


def test_a_label_field_that_was_deleted_meanwhile_is_made_again(dataset, server):
    choose(dataset)
    send(dataset)
    dataset.delete_sample_field("digit")
    assert runs.take_back(dataset)["labelled"] == 25
    dataset.reload()
    assert dataset.count("digit") == 25


def test_a_label_field_that_cannot_be_written_loses_nothing(dataset, server):
    choose(dataset)
    field = dataset.get_field("digit")
    field.read_only = True
    field.save()
    with pytest.raises(InvalidInput, match="'digit' is read-only"):
        send(dataset)
    field.read_only = False
    field.save()
    send(dataset)
    field.read_only = True
    field.save()
    before = seen(dataset)
    with pytest.raises(InvalidInput, match="'digit' is read-only"):
        runs.take_back(dataset)
    assert seen(dataset) == before
    field.read_only = False
    field.save()
    assert runs.take_back(dataset)["labelled"] == 25


def test_a_label_field_of_another_kind_in_its_place_is_not_written(dataset, server):
    choose(dataset)
    send(dataset)
    dataset.delete_sample_field("digit")
    dataset.add_sample_field("digit", fo.StringField)
    with pytest.raises(InvalidInput, match="cannot hold one class for each image"):
        runs.take_back(dataset)
    assert dataset.count("digit") == 0 and dataset.count_values("elfs.status")["sent"] == 25
    dataset.delete_sample_field("digit")
    assert runs.take_back(dataset)["labelled"] == 25


def test_results_that_are_gone_are_told(dataset, server):
    choose(dataset)
    send(dataset)
    journal.save_results(dataset, "elfs", **{parts.entry(0): None})
    with pytest.raises(InvalidInput, match="What was sent in round 0 is not known any more"):
        runs.take_back(dataset)
    assert choose(dataset)["round"] == 1


def test_labels_come_back_when_the_vectors_are_gone(dataset, server):
    choose(dataset)
    send(dataset)
    vectors = dict(zip(*dataset.values(["id", "elfs_embeddings"])))
    dataset.set_values("elfs_embeddings", dict.fromkeys(vectors), key_field="id")
    try:
        told = runs.take_back(dataset)
    finally:
        dataset.set_values("elfs_embeddings", vectors, key_field="id")
    assert told["labelled"] == 25 and any("Nothing could be measured" in text for text in told["warnings"])
    assert dataset.count("digit") == 25


@pytest.fixture
def short_lived(new_dataset, quick_clustering, server):
    """A dataset of which samples, or the run, can be deleted."""
    dataset = new_dataset(60)
    runs.run_elfs(dataset, num_clusters=5, budget=20)
    ids, paths = dataset.values(["id", "filepath"])
    server["truth"].update((i, path.rsplit("_", 1)[1][0]) for i, path in zip(ids, paths))
    return dataset


def test_a_part_whose_samples_have_all_been_deleted_does_not_stop_the_others(short_lived, server):
    choose(short_lived)

    def delete_the_next(sending, progress):
        if sending.part.key.endswith("_0"):
            members = parts.members(runs.Run(short_lived, "elfs"), last(short_lived))
            short_lived.delete_samples(members["elfs_r0_1"])

    server["while sending"] = delete_the_next
    send(short_lived)
    assert [key for key, _ in server["asked"]] == ["elfs_r0_0", "elfs_r0_2"] and last(short_lived).state == "sent"
    told = runs.take_back(short_lived)
    assert (told["labelled"], told["deleted"], told["state"]) == (15, 10, "accepted")


def test_a_round_whose_samples_have_all_been_deleted(short_lived, server):
    choose(short_lived)
    send(short_lived)
    short_lived.delete_samples(short_lived.match_tags("batch:v0"))
    told = runs.take_back(short_lived)
    assert (told["labelled"], told["deleted"], told["waiting"], told["state"]) == (0, 25, 0, "accepted")
    assert choose(short_lived, budget=5)["chosen"] == 5
    short_lived.delete_samples(short_lived.match_tags("batch:v1"))
    with pytest.raises(InvalidInput, match="no image that is to be labelled any more"):
        send(short_lived)


def test_a_run_that_was_deleted_meanwhile(short_lived, server):
    choose(short_lived)
    send(short_lived)
    runs.take_back(short_lived)
    runs.delete_run(short_lived)
    for name, job in JOBS.items():
        with pytest.raises(InvalidInput, match="no ELFS run|has no|Run ELFS"):
            runs.next_batch(short_lived, budget=5) if name == "next_batch" else job(short_lived)
    assert short_lived.count("digit") == 25
