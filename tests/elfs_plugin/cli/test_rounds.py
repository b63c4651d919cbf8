"""``python -m elfs_plugin rounds`` in this process."""

import csv
import inspect
import json
import re

import pytest

from elfs_plugin.cli.commands import main
from elfs_plugin.errors import InvalidInput

FIRST = ["--budget", "10", "--classes", ",".join("0123456789"), "--labels-field", "digit", "--golden", "6"]


@pytest.fixture(scope="module")
def scored(new_dataset, quick_clustering):
    from elfs_plugin import runs

    dataset = new_dataset(60)
    runs.run_elfs(dataset, num_clusters=6, budget=10, beta=0.1)
    return dataset


@pytest.fixture
def dataset(scored):
    """Each test has rounds and labels of its own; the run is the same."""
    from elfs_plugin import runs

    yield scored
    scored.reload()
    if runs.load_record(scored, "elfs").labelling:
        runs.forget_rounds(scored)
    if scored.has_sample_field("digit"):
        scored.delete_sample_field("digit")


@pytest.fixture
def rounds(dataset, capsys):
    """Runs a step on the dataset; what it has printed, and the object at its end."""

    def step(name, *arguments, code=0):
        assert main(["rounds", name, dataset.name, *arguments, "--json"]) == code, capsys.readouterr().err
        *lines, last = capsys.readouterr().out.splitlines()
        return "\n".join(lines), json.loads(last)

    return step


def fill(folder):
    """Fills in what there is, with the digits of the file names."""
    for path in folder.glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            row["label"] = row["filepath"].rsplit("_", 1)[1][0]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def test_two_rounds(rounds, dataset, tmp_path):
    said, told = rounds("status")
    assert "No rounds yet: choose the first batch" in said
    assert (told["key"], told["rounds"], told["labelling"]) == ("elfs", [], None)
    for number in range(2):
        said, told = rounds("next", *(["--budget", "20%", "--seed", "1"] if number else FIRST))
        # 20% of the 44 that are left
        assert (told["round"], told["chosen"], told["golden"]) == (number, 8 if number else 10, 0 if number else 6)
        assert f"Round {number}: {told['chosen']} images by " in said and f"tag 'batch:v{number}'" in said
        assert ("6 of the golden set" in said) is (number == 0)
        said, told = rounds("send", "--to", "files", "--option", f"path={tmp_path}", "--option", "skip-word=5x")
        assert f"Round {number}: {told['sent']} images sent to files" in said
        assert f"elfs_r{number}_0: {told['sent']} images {tmp_path}/elfs_r{number}_0.csv" in said
        fill(tmp_path)
        said, told = rounds("take-back")
        assert f"Round {number}: {told['labelled']} labelled now, 0 before, 0 skipped, 0 not back yet" in said
        assert "Pseudo-labels were right for" in said and "Golden set:" in said
        assert told["state"] == "accepted" and told["measured"]["n"] == 6
    dataset.reload()
    assert dataset.count("digit") == 24
    said, told = rounds("status")
    assert re.search(r"Round 1: 8 images by \w+, accepted to files, 8 labelled, golden set [\d.]+%", said)
    assert [one["number"] for one in told["rounds"]] == [0, 1] and told["labelling"]["labels_field"] == "digit"
    said, told = rounds("forget")
    assert "2 rounds are forgotten; the labels stay" in said and told["rounds"] == 2
    assert dataset.count("digit") == 24


def test_learning_from_labels(new_dataset, quick_clustering, capsys):
    import fiftyone as fo

    from elfs_plugin import runs

    dataset = new_dataset(40)
    runs.run_elfs(dataset, num_clusters=4, budget=10, beta=0.1)
    names = [path.rsplit("_", 1)[1][0] for path in dataset.values("filepath")[:20]]
    dataset.set_values("digit", [fo.Classification(label=name) for name in names] + [None] * 20)
    assert main(["rounds", "next", dataset.name, "--budget", "5", "--labels-field", "digit", "--golden", "0"]) == 0
    capsys.readouterr()
    assert main(["rounds", "learn", dataset.name, "--json"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("20 labels: ") and json.loads(last)["labels"] == 20


def test_in_the_app_by_default_and_a_round_is_ended(rounds):
    rounds("next", *FIRST)
    said, told = rounds("send")
    assert told["to"] == "in_app" and "16 images sent to in_app" in said
    said, told = rounds("take-back", "--round", "0", "--close")
    assert "0 labelled now" in said and "16 images without a label go back to the pool" in said
    assert told["given_up"] == 16 and told["state"] == "accepted"


def test_annotators_and_warnings(rounds, tmp_path):
    rounds("next", *FIRST)
    said, told = rounds(
        "send", "--to", "files", "--option", f"path={tmp_path}", "--annotators", "ann, bob", "--control", "2"
    )
    assert "images for ann " in said and "images for bob " in said and told["sent"] == 16
    for path in tmp_path.glob("*.csv"):
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join([lines[0], *(line + "seven" for line in lines[1:])]) + "\n", encoding="utf-8")
    said, told = rounds("take-back")
    assert "  Warning: " in said and "'seven'" in said
    assert told["unknown"]["seven"] >= 16 and told["labelled"] == 0


def test_an_upload_has_as_many_images_as_are_asked_for(rounds, tmp_path):
    rounds("next", *FIRST)
    said, told = rounds("send", "--to", "files", "--option", f"path={tmp_path}", "--chunk", "7")
    assert [part["samples"] for part in told["parts"]] == [7, 7, 2] and told["sent"] == 16
    assert len(list(tmp_path.glob("*.csv"))) == 3


def test_agreement_on_the_control_set_is_told(rounds, tmp_path):
    rounds("next", *FIRST)
    rounds("send", "--to", "files", "--option", f"path={tmp_path}", "--annotators", "ann,bob", "--control", "3")
    fill(tmp_path)
    first = min(tmp_path.glob("*.csv"))
    text = first.read_text(encoding="utf-8")
    fill_nothing = re.sub(r",\d\s*$", ",", text, flags=re.MULTILINE)
    first.write_text(fill_nothing, encoding="utf-8")
    said, told = rounds("take-back")
    assert "Control set: annotators agree on 0 of 0 images, 3 wait for somebody's answer" in said
    first.write_text(text, encoding="utf-8")
    said, told = rounds("take-back")
    assert "Control set: annotators agree on 3 of 3 images, 0 wait for" in said and told["state"] == "accepted"


def test_other_names_and_budgets_of_classes(rounds, dataset):
    import fiftyone as fo

    names = [path.rsplit("_", 1)[1][0] for path in dataset.values("filepath")]
    known = [fo.Classification(label=name) if at % 2 else None for at, name in enumerate(names)]
    dataset.set_values("digit", known)
    given = ["--class-budgets", f"{names[1]}=2, {names[3]}=1", "--name", "batch=lot {round}", "--name", "waiting=todo"]
    said, told = rounds("next", *FIRST, "--golden", "0", *given)
    assert told["tag"] == "lot 0" and told["sources"] == {"coverage": 3, "targeted": 7}
    _, told = rounds("status")
    assert told["rounds"][0]["asked"]["class_budgets"] == {names[1]: 2, names[3]: 1}
    dataset.reload()
    assert len(dataset.match_tags("todo")) == 10


def test_what_was_skipped_is_asked_for_again(rounds, dataset):
    from elfs_plugin.runs.rounds import queue

    rounds("next", *FIRST)
    rounds("send")
    ids = dataset.load_saved_view("batch_v0").values("id")
    queue.skip(dataset, "elfs", ids[:3])
    said, told = rounds("ask-again", "--ids", f"{ids[0]}, {ids[7]}")
    assert "1 skipped images wait for a label again" in said and told["waiting"] == 1
    said, told = rounds("ask-again", "--round", "0")
    assert told == {"key": "elfs", "waiting": 2}


@pytest.mark.parametrize("step", ["next", "send", "take-back", "learn", "ask-again", "forget"])
def test_a_step_takes_all_that_its_job_does(plugin, step):
    from elfs_plugin import runs
    from elfs_plugin.cli.commands import _parser

    functions = {
        "next": runs.next_batch,
        "send": runs.send_batch,
        "take-back": runs.take_back,
        "learn": runs.learn_labels,
        "ask-again": runs.ask_again,
        "forget": runs.forget_rounds,
    }
    required = ["--budget", "5"] if step == "next" else []
    given = vars(_parser().parse_args(["rounds", step, "x", *required])).keys() - {"function", "json", "command"}
    known = {"options" if name == "option" else name for name in given}
    assert known == inspect.signature(functions[step]).parameters.keys() - {"sinks"}


def test_options_are_texts_and_secrets_come_from_the_environment(monkeypatch):
    from elfs_plugin.cli.rounds import options_of

    monkeypatch.setenv("MY_KEY", "12345")
    assert options_of(["api-key=@MY_KEY", "url=http://x?a=b", "task_size=5", "empty="]) == {
        "api_key": "12345",
        "url": "http://x?a=b",
        "task_size": "5",
        "empty": "",
    }
    for wrong, words in ((["url"], "takes NAME=VALUE, not 'url'"), (["key=@NOT_THERE"], "variable NOT_THERE")):
        with pytest.raises(InvalidInput, match=words):
            options_of(wrong)


def test_a_secret_reaches_the_tool_and_is_not_kept(rounds, dataset, monkeypatch):
    from elfs_plugin import runs
    from elfs_plugin.runs.rounds.backends.label_studio import LabelStudioBackend

    seen = []
    monkeypatch.setenv("STUDIO_KEY", "0123456789")
    monkeypatch.setattr(LabelStudioBackend, "check", lambda self, dataset, options: seen.append(options["api_key"]))
    monkeypatch.setattr(LabelStudioBackend, "send", lambda self, sending, progress: {"url": "http://here/1"})
    rounds("next", *FIRST)
    options = ["--option", "url=http://here", "--option", "api_key=@STUDIO_KEY"]
    said, told = rounds("send", "--to", "labelstudio", *options)
    assert seen == ["0123456789"] and "http://here/1" in said
    assert "0123456789" not in str(runs.load_record(dataset, "elfs").rounds) and "0123456789" not in str(told)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["next", "{dataset}", *FIRST, "--labels-field", "filepath"], "cannot hold one class for each image"),
        (["next", "{dataset}", "--budget", "5"], "Name the classes that annotators choose from"),
        (["next", "{dataset}", *FIRST, "--budget", "61"], "it is 61"),
        (["next", "{dataset}", *FIRST, "--golden", "31"], "golden set must have 0 to 30"),
        (["next", "{dataset}", *FIRST, "--share", "2"], "share of coverage must be from 0 to 1"),
        (["next", "{dataset}", *FIRST, "--share", "nan"], "share of coverage must be from 0 to 1"),
        (["next", "{dataset}", *FIRST, "--target", "rear"], "Unknown target 'rear'.*Did you mean 'rare'"),
        (["next", "{dataset}", *FIRST, "--target", "failures", "--failures-tag", "x"], "the tag 'x'"),
        (["next", "{dataset}", *FIRST, "--class-budgets", "1"], "given as cat=20, dog=10; '1' is none"),
        (["next", "{dataset}", *FIRST, "--class-budgets", "1=11"], "11 images together, more than the budget of 10"),
        (["next", "{dataset}", *FIRST, "--name", "batch"], "--name takes NAME=VALUE, not 'batch'"),
        (["next", "{dataset}", *FIRST, "--name", "bach=x"], "Rounds have no name 'bach'.*Did you mean 'batch'"),
        (["next", "{dataset}", *FIRST, "--device", "abacus"], "abacus"),
        (["next", "{dataset}", *FIRST, "--key", "other"], "There is no ELFS run 'other'"),
        (["send", "{dataset}"], "has no rounds yet"),
        (["send", "{dataset}", "--to", "label_studio"], "Unknown labelling tool 'label_studio'.*'labelstudio'"),
        (["send", "{dataset}", "--option", "path"], "--option takes NAME=VALUE"),
        (["send", "{dataset}", "--option", "path=@NOWHERE"], "no environment variable NOWHERE"),
        (["take-back", "{dataset}"], "has no rounds yet"),
        (["take-back", "{dataset}", "--round", "3"], "has no rounds yet"),
        (["learn", "{dataset}"], "has no rounds yet"),
        (["ask-again", "{dataset}"], "has no rounds yet"),
        (["ask-again", "{dataset}", "--ids", "x"], "has no rounds yet"),
        (["forget", "{dataset}"], "has no rounds"),
        (["status", "{bare}"], "There is no ELFS run 'elfs'"),
        (["next", "{bare}", *FIRST], "There is no ELFS run 'elfs'"),
        (["send", "{bare}"], "There is no ELFS run 'elfs'"),
        (["take-back", "{bare}"], "There is no ELFS run 'elfs'"),
        (["learn", "{bare}"], "There is no ELFS run 'elfs'"),
        (["forget", "{bare}"], "There is no ELFS run 'elfs'"),
        (["status", "no such dataset"], "There is no dataset 'no such dataset'"),
        (["status", ""], "There is no dataset ''"),
    ],
)
def test_wrong_arguments_cost_one_line_and_change_nothing(dataset, new_dataset, state_of, capsys, arguments, words):
    names = {"dataset": dataset.name, "bare": new_dataset(2).name}
    before = state_of(dataset)
    assert main(["rounds", *(text.format(**names) for text in arguments)]) == 2
    out, err = capsys.readouterr()
    said = [line for line in err.splitlines() if not line.startswith("[")]
    assert out == "" and len(said) == 1 and re.search(words, said[0]), err
    assert state_of(dataset) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: STEP"),
        (["walk"], "invalid choice: 'walk'"),
        (["next", "x"], "required: --budget"),
        (["next", "x", "--budget", "ten"], "'ten' is not a number"),
        (["next", "x", "--budget", "5", "--golden", "few"], "invalid int value: 'few'"),
        (["next", "x", "--budget", "5", "--seed", "-1"], "not a whole number from 0"),
        (["next", "x", "--budget", "5", "--share", "half"], "invalid float value: 'half'"),
        (["send"], "required: DATASET"),
        (["send", "x", "--control", "some"], "invalid int value: 'some'"),
        (["send", "x", "--chunk", "some"], "invalid int value: 'some'"),
        (["take-back", "x", "--round", "last"], "invalid int value: 'last'"),
    ],
)
def test_values_of_another_kind_are_refused_by_the_parser(capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        main(["rounds", *arguments])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and len(err.splitlines()) == 1 and words in err


def test_the_help_names_the_tools_that_there_are(capsys, plugin):
    from elfs_plugin.runs.rounds.backends.registry import backends

    with pytest.raises(SystemExit):
        main(["rounds", "send", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in backends())
