"""``python -m elfs_plugin run`` in this process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from PIL import Image

from elfs_plugin import progress, runs
from elfs_plugin.cli import commands as cli
from elfs_plugin.cli import image_folder
from elfs_plugin.cli import source as cli_source
from elfs_plugin.cli.commands import main
from elfs_plugin.runs import folder, jobs
from tests.helpers import blobs

pytestmark = pytest.mark.usefixtures("quick_clustering")

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = ["--clusters", "3", "--beta", "0.1", "--no-app"]


@pytest.fixture
def photos(digits, tmp_path):
    """A function that fills a folder with the first digits; datasets of the test are deleted after it."""
    before = set(fo.list_datasets())

    def fill(name, n=20):
        place = tmp_path / name
        place.mkdir(parents=True)
        for path in digits[:n]:
            shutil.copy(path, place)
        return place

    yield fill
    for name in set(fo.list_datasets()) - before:
        fo.delete_dataset(name)


def unique(name):
    return f"{name} {os.getpid()}"


def test_a_folder_is_run_and_the_result_is_named(photos, capsys):
    place = photos(unique("photos"))
    (place / "notes.txt").write_text("about")
    assert main(["run", str(place), "--budget", "25%", *OPTIONS, "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out.splitlines()[-1])
    assert (told["samples"], told["budget"], told["coreset"]) == (20, 5, 5)
    names = {"dataset": place.name, "key": "elfs", "tag": "elfs_coreset", "view": "elfs_coreset"}
    assert names.items() <= told.items() and told["passed_over"] == {image_folder.OTHER_FILE: 1}
    assert f"tag 'elfs_coreset', saved view 'elfs_coreset' of the dataset '{place.name}'" in out
    assert "Embeddings: pixels, not trained on anything" in out
    assert "Passed over 1: other files (.txt 1)." in err
    assert len(fo.load_dataset(place.name).load_saved_view("elfs_coreset")) == 5


def test_the_vectors_of_a_similarity_index(dataset, capsys):
    fob.compute_similarity(dataset, embeddings=blobs(clusters=3)[0], brain_key="sim")
    assert main(["run", dataset.name, "--similarity-index", "sim", *OPTIONS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["samples"] == 80
    assert runs.load_record(dataset, "elfs").similarity_index == "sim"


def test_png_and_jpeg_files_are_run_and_json_is_the_last_line(photos, capsys):
    place = photos(unique("mixed"))
    for path in sorted(place.iterdir())[::2]:
        Image.open(path).save(path.with_suffix(".JPG" if path.name < "0010" else ".jpeg"))
        path.unlink()
    assert main(["run", str(place), "--budget", "8", *OPTIONS, "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = json.loads(lines[-1])
    assert {"samples", "failed", "clusters", "beta", "budget", "coreset", "stages"} <= told.keys()
    assert (told["samples"], told["failed"], told["clusters"]) == (20, 0, 3)
    assert (told["beta"], told["budget"], told["coreset"]) == (0.1, 8, 8)
    assert {"embeddings", "pseudo_labels", "scores", "selection"} <= told["stages"].keys()
    assert all(seconds >= 0 for seconds in told["stages"].values() if seconds is not None)
    assert not any(line.startswith("{") for line in lines[:-1])


@pytest.mark.parametrize("arguments", [["run"], ["run", "x", "--budget", "ten"], ["walk"]])
def test_the_process_ends_with_the_code_of_wrong_arguments(arguments):
    ended = subprocess.run([sys.executable, "-m", "elfs_plugin", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)


def test_odd_file_names_cost_themselves_alone(photos, capsys):
    place = photos(unique("odd"))
    try:
        os.link(next(place.iterdir()), os.fsencode(place) + b"/caf\xe9.png")
    except OSError:
        pytest.skip("this file system takes only text")
    assert main(["run", str(place), *OPTIONS, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["samples"] == 20
    assert r"Passed over 1: names that are not UTF-8 (caf\xe9.png)" in err


def test_suffixes_that_mime_tables_lack_are_images_all_the_same(photos, capsys):
    place = photos(unique("suffixes"), 6)
    for path, suffix in zip(sorted(place.iterdir()), (".jfif", "", ".jpg_large", ".jpe", ".heic", ".j2k")):
        path.rename(path.with_suffix(suffix))
    dataset = cli_source.open_source(str(place))
    assert (
        len(dataset) == 6 and {sample.media_type for sample in dataset} == {"image"} and dataset.media_type == "image"
    )
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("写真", r"写真 has no name that FiftyOne can take.* --name"),
        ("!!!", r"has no name that FiftyOne can take.* --name"),
    ],
)
def test_folders_with_names_that_are_none_hint_at_name(photos, capsys, name, words):
    place = photos(name)
    before = fo.list_datasets()
    assert main(["run", str(place), *OPTIONS]) == 2
    assert re.search(words, capsys.readouterr().err) and fo.list_datasets() == before
    assert len(cli_source.open_source(str(place), unique("named"))) == 20


def test_a_name_that_resembles_a_dataset_s_is_refused_with_a_hint(photos, capsys):
    cli_source.open_source(str(photos(unique("My data"))))
    before = fo.list_datasets()
    for name in (unique("my-data"), unique("MY_DATA")):
        assert main(["run", str(photos(name)), *OPTIONS]) == 2
        assert f"cannot tell the name '{name}' from that of the dataset '{unique('My data')}'" in (
            capsys.readouterr().err
        )
    assert fo.list_datasets() == before


def test_a_bare_name_is_the_dataset_and_a_path_the_folder(photos, capsys, tmp_path, monkeypatch):
    place = photos(unique("both"))
    monkeypatch.chdir(tmp_path)
    made = cli_source.open_source(place.name)  # there is no dataset of that name: the folder
    assert len(made) == 20
    shutil.copy(place / os.listdir(place)[0], place / "new.png")
    assert len(cli_source.open_source(place.name)) == 21  # its own folder: what is new is added
    (tmp_path / "cwd" / place.name).mkdir(parents=True)
    shutil.copy(place / "new.png", tmp_path / "cwd" / place.name)
    monkeypatch.chdir(tmp_path / "cwd")
    capsys.readouterr()
    assert len(cli_source.open_source(place.name)) == 21
    assert f"Taking the dataset '{place.name}'. For the folder" in capsys.readouterr().err
    assert main(["run", f"./{place.name}", *OPTIONS]) == 2
    assert "exists and holds other images. Give another name with --name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([""], "SOURCE is empty"),
        ([" "], "SOURCE is empty"),
        (["{files}/nothing"], "neither a folder nor a FiftyOne dataset"),
        (["x" * 5000], "neither a folder nor a FiftyOne dataset"),
        (["~nobody-of-this-name/x"], "neither a folder nor a FiftyOne dataset"),
        (["\udce9"], r"'\\xe9' is neither"),
        (["{files}/a.txt"], "is a file. Give a folder"),
        (["{files}/empty"], "There are no images in .*Looked for"),
        (["{files}"], r"There are no images in .*other files \(.txt 1\)"),
        (["{dataset}", "--name", "other"], "--name is for the dataset of a folder"),
        (["{photos}", "--name", ""], "--name is empty"),
        (["{photos}", "--name", "x" * 2000], "no name that FiftyOne can take"),
        (["{photos}", "--encoder", ""], "--encoder is empty"),
        (["{photos}", "--embeddings", ""], "--embeddings is empty"),
        (["{photos}", "--similarity-index", ""], "--similarity-index is empty"),
        (["{photos}", "--weights", ""], "--weights is empty"),
        (["{photos}", "--encoder", "pixels", "--embeddings", "x"], "not both"),
        (
            ["{photos}", "--similarity-index", "s", "--embeddings", "x"],
            "Give --embeddings or --similarity-index, not both",
        ),
        (["{photos}", "--weights", "{files}/a.txt"], "--weights goes with"),
        (["{photos}", "--encoder", "zoo:clip-vit-base32-torch", "--weights", "{files}/a.txt"], "--weights goes with"),
        (["{photos}", "--encoder", "timm:resnet18", "--weights", "{files}"], "cannot be read .*directory"),
        (["{photos}", "--encoder", "timm:resnet18", "--weights", "{files}/none"], "cannot be read .*No such file"),
        (["{photos}", "--encoder", "timm:resnet18", "--weights", "{pipe}"], "cannot be read .*a pipe"),
        (["{photos}", "--encoder", "pixel"], "Unknown encoder 'pixel'.*'zoo:<model>'"),
        (["{photos}", "--encoder", "timm:resnat18"], "timm has no model named 'resnat18'"),
        (["{photos}", "--encoder", "open_clip:ViT"], "OpenCLIP has no model"),
        (["{photos}", "--encoder", "zoo:none"], "no model 'zoo:none'"),
        (["{photos}", "--embeddings", "none"], "no field 'none'"),
        (["{photos}", "--similarity-index", "none"], r"no similarity index 'none' \(similarity indexes: none\)"),
        (["{photos}", "--device", "cuda:99"], "The device 'cuda:99' cannot be used"),
        (["{photos}", "--device", "meta"], "The device 'meta' cannot be used"),
        (["{photos}", "--device", ""], "The device '' cannot be used"),
        (["{photos}", "--key", ""], "cannot be a run key"),
        (["{photos}", "--key", "a b"], "cannot be a run key"),
        (["{photos}", "--clusters", "100"], "100"),
        (["{photos}", "--budget", "5000"], "budget"),
        (["{photos}", "--proxy", "none"], "none"),
        (["{photos}", "--beta", "0.1", "--beta-proxy", "mlp"], "--beta-proxy is for --beta auto"),
        (["{photos}", "--method", "grph_coverage"], "Unknown method 'grph_coverage'"),
        (["{photos}", "--learner", "child"], "Unknown learner 'child'"),
        (["{photos}", "--method", "zcore", "--learner", "probe"], "--learner is what --method auto looks at"),
        (["{photos}", "--beta", "0.1", "--learner", "probe"], "--learner is what --method auto looks at"),
        (["{photos}", "--engine", "local", "--address", "there:1"], "An address is for the engine 'ray'"),
        (["{photos}", "--address", "127.0.0.1:1"], "127.0.0.1:1 does not answer|Ray, which is not installed"),
    ],
)
def test_wrong_arguments_cost_one_line_and_leave_nothing(photos, new_dataset, capsys, tmp_path, arguments, words):
    (tmp_path / "files" / "empty").mkdir(parents=True)
    (tmp_path / "files" / "a.txt").write_text("text")
    os.mkfifo(tmp_path / "pipe")
    given = {
        "files": tmp_path / "files",
        "pipe": tmp_path / "pipe",
        "dataset": new_dataset(3).name,
        "photos": photos(unique("refused")),
    }
    before = set(fo.list_datasets())
    homes = set(os.listdir(folder.home())) if folder.home().is_dir() else set()
    assert main(["run", *(text.format(**given) for text in arguments), "--no-app"]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(err) == 1 and re.search(words, err[0]), err
    assert set(fo.list_datasets()) == before
    assert not folder.home().is_dir() or set(os.listdir(folder.home())) <= homes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--budget", "0%"], "percent above 0% and up to 100%"),
        (["--budget", "200%"], "percent above 0% and up to 100%"),
        (["--budget", "ten"], "'ten' is not a number"),
        (["--beta", "some"], "neither 'auto' nor a number"),
        (["--clusters", "few"], "neither 'auto' nor a whole number"),
        (["--seed", "-1"], "'-1' is not a whole number from 0"),
        (["--seed", "1" * 30], "is not a whole number from 0"),
        (["--port", "0"], "from 1 to 65,535"),
        (["--port", "99999"], "from 1 to 65,535"),
    ],
)
def test_values_of_another_kind_are_refused_by_the_parser(capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        main(["run", "x", *arguments])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and len(err.splitlines()) == 1 and words in err


def test_version_and_help(capsys):
    for arguments, words in ((["--version"], "ELFS for FiftyOne"), (["run", "--help"], "same seed gives the same")):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0 and words in capsys.readouterr().out


def test_a_checkpoint_is_converted(capsys, tmp_path):
    import timm
    import torch

    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    torch.save({f"w{place}": value for place, value in enumerate(state.values())}, tmp_path / "a.pth")
    command = ["convert-checkpoint", str(tmp_path / "a.pth"), str(tmp_path / "b.pth"), "--encoder", "timm:test_resnet"]
    assert main(command) == 0 and f"{len(state)} tensors" in capsys.readouterr().out
    assert list(torch.load(tmp_path / "b.pth", weights_only=True)) == list(state)
    assert main(command) == 2 and "b.pth exists already" in capsys.readouterr().err
    assert main([*command[:2], str(tmp_path / "no" / "c.pth"), *command[3:]]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main([*command[:2], str(tmp_path / "c.pth"), "--encoder", "resnet"]) == 2
    assert "Name timm's model" in capsys.readouterr().err
    assert main([*command[:2], str(tmp_path / "c.pth"), "--encoder", "timm:resnet18"]) == 1
    assert "a.pth is not a checkpoint of timm:resnet18" in capsys.readouterr().err


def test_a_dataset_that_holds_a_part_when_adding_fails_is_removed(photos, monkeypatch):
    place = photos(unique("part"))
    true = fo.Sample

    def breaks(path, **kwargs):
        if path.endswith(max(os.listdir(place))):
            raise KeyboardInterrupt
        return true(path, **kwargs)

    monkeypatch.setattr(fo, "Sample", breaks)
    assert main(["run", str(place), *OPTIONS]) == 130
    assert not fo.dataset_exists(place.name)


def test_a_dataset_that_was_there_stays_when_the_run_is_refused(photos):
    place = photos(unique("stays"))
    cli_source.open_source(str(place))
    assert main(["run", str(place), "--budget", "5000", *OPTIONS]) == 2
    assert len(fo.load_dataset(place.name)) == 20


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_marks_the_job_and_gives_its_lock_back(photos, capsys, monkeypatch, number, code):
    place = photos(unique("stopped"))

    class Ends(progress.TerminalBar):
        def __call__(self, event):
            if event.stage.startswith("Clustering"):
                os.kill(os.getpid(), number)

    monkeypatch.setattr(progress, "TerminalBar", Ends)
    assert main(["run", str(place), *OPTIONS]) == code
    assert cli.INTERRUPTED in capsys.readouterr().err
    dataset = fo.load_dataset(place.name)
    assert "interrupted" in jobs.read_job(dataset, "elfs")["message"]
    assert not jobs.store(dataset).has("lock_elfs")
    monkeypatch.undo()
    assert main(["run", str(place), *OPTIONS]) == 0
    assert jobs.read_job(dataset, "elfs")["state"] == "completed"


def test_the_app_ends_by_ctrl_c_as_it_says_and_by_sigterm(new_dataset, monkeypatch, capsys):
    class Session:
        def __init__(self, number):
            self.number = number

        def wait(self, seconds):
            os.kill(os.getpid(), self.number)
            signal.pause()

    from elfs_plugin.cli import signals as cli_signals

    dataset = new_dataset(3)
    for number, code in ((signal.SIGINT, 0), (signal.SIGTERM, 143)):
        monkeypatch.setattr(fo, "launch_app", lambda *args, number=number, **kwargs: Session(number))
        with cli_signals.raised():
            assert cli.open_app(dataset, 5151) == code
        out, err = capsys.readouterr()
        assert f"/datasets/{dataset.slug} " in out and "what was run is saved" in err


def test_an_output_that_lacks_greek_letters_costs_no_result(finished, monkeypatch, tmp_path):
    import io

    dataset, summary = finished
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(runs, "run_elfs", lambda *args, **kwargs: summary)
    assert main(["run", dataset.name, *OPTIONS]) == 0
    narrow.seek(0)
    assert r"\u03b2 = " in narrow.read()


def test_errors_that_nobody_foresaw_are_one_line(new_dataset, capsys, monkeypatch):
    def breaks(*args, **kwargs):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(runs, "run_elfs", breaks)
    assert main(["run", new_dataset(3).name, *OPTIONS]) == 1
    said = capsys.readouterr().err
    assert said.startswith("elfs_plugin: Something unexpected happened (RuntimeError: first). ")
    assert said.count("\n") == 1

    def lacks(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'timm'")

    monkeypatch.setattr(runs, "run_elfs", lacks)
    assert main(["run", new_dataset(3).name, *OPTIONS]) == 1
    assert "A package is missing (No module named 'timm'). Install" in capsys.readouterr().err


def test_a_home_that_cannot_be_used_is_said_once_and_the_run_goes_on(new_dataset, monkeypatch, tmp_path, caplog):
    dataset = new_dataset(20)
    whole = {"num_clusters": 3, "budget": 5, "beta": 0.1}
    runs.run_elfs(dataset, "kept", **whole)
    (tmp_path / "file").write_text("the user's")
    monkeypatch.setenv("ELFS_HOME", str(tmp_path / "file"))
    summary = runs.run_elfs(dataset, **whole)
    assert caplog.text.count("cannot be kept") == 1 and "ELFS_HOME" in caplog.text
    assert summary["coreset"] == 5 and np.array_equal(dataset.values("elfs.rank"), dataset.values("kept.rank"))
    assert (tmp_path / "file").read_text() == "the user's"
