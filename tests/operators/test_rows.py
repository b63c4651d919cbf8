import os

import fiftyone as fo
import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs
from elfs_plugin.cli import main
from tests.videos import scenes, write_video


@pytest.fixture
def videos(tmp_path):
    """A dataset of two videos of 4 seconds."""
    source = fo.Dataset(f"videos-{os.urandom(6).hex()}")
    source.add_samples([fo.Sample(write_video(tmp_path / f"{i}.avi", scenes(4, seed=i))) for i in (0, 1)])
    yield source
    for name in runs.companions_of(source):
        fo.delete_dataset(name)
    source.delete()


def test_from_videos_to_chosen_frames(videos, operator, execute, errors_of, form):
    assert "Make its frames a dataset" in errors_of("run_elfs", videos)["refused"]
    with pytest.raises(ExecutionError, match="make_rows"):
        operator("run_elfs")(videos)
    assert form("make_rows", videos)["kind"].default == "frames"
    told = execute("make_rows", videos, row_fps=2).result
    assert told["rows"] == 16
    assert f"are in the dataset '{told['dataset']}'" in errors_of("run_elfs", videos)["refused"]
    assert "results stay" in form("make_rows", videos)["about"].view.label
    assert "was made with fps=2" in errors_of("make_rows", videos, row_fps=4)["kind"]
    # A call from Python takes the dataset of the frames.
    summary = operator("run_elfs")(videos, num_clusters=3, budget=4, beta=0.1, tag="four", embeddings_field="pixels_of")
    assert summary["samples"] == 16
    companion = fo.load_dataset(told["dataset"])
    execute("select_coreset", companion, method="elfs", budget=4, beta=0.1, tag="four", write_back=True)
    assert videos.list_saved_views() == ["four"]
    assert sum(n or 0 for n in videos.values("elfs.chosen")) == 4
    execute("write_rows_back", companion, row_clips=0.1)
    assert videos.list_saved_views() == ["four", "four clips"]
    assert form("write_rows_back", companion)["row_clips"].default == 0.1
    execute("write_rows_back", companion)
    assert videos.list_saved_views() == ["four", "four clips"]
    assert "no such setting" not in str(errors_of("write_rows_back", companion))
    assert "no dataset of rows" in errors_of("write_rows_back", fo.Dataset())["tag"]
    part = operator("compute_embeddings")(videos.limit(1), key="part")
    assert part["samples"] == 8
    execute("delete_run", companion)
    assert videos.list_saved_views() == [] and videos.get_field("elfs") is None


def test_the_command_line(videos, capsys):
    assert main(["rows", videos.name, "--fps", "1", "--json"]) == 0
    out = capsys.readouterr().out
    assert f"8 frames in the dataset '{videos.name}-elfs-frames' (8 new, 0 removed)" in out
    arguments = ["--clusters", "2", "--budget", "3", "--beta", "0.1", "--encoder", "pixels", "--no-app"]
    assert main(["run", videos.name, *arguments]) == 0
    assert "Taking the frames of" in capsys.readouterr().err
    assert main(["write-back", videos.name, "--clips", "0.5"]) == 0
    assert "3 chosen, written to" in capsys.readouterr().out
    assert main(["write-back", videos.name]) == 0  # as the last time
    assert videos.list_saved_views() == ["elfs_coreset", "elfs_coreset clips"]
    assert main(["rows", "no such dataset"]) == 2
    assert main(["write-back", f"{videos.name}", "--tag", "other"]) == 2
