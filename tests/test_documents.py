"""What the documents claim: links, pictures, commands, names, numbers, versions."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from elfs_plugin import __version__
from elfs_plugin.cli.commands import main
from elfs_plugin.clustering import ClusteringConfig, spectral
from elfs_plugin.clustering.health import WELL_SEPARATED
from elfs_plugin.clustering.pseudo_labels import FEWEST_NEIGHBORS
from elfs_plugin.clustering.temi_training import NEAREST
from elfs_plugin.encoders import images
from elfs_plugin.encoders.embed import check_encoder
from elfs_plugin.neighbors.graph import exact_is_quick
from elfs_plugin.proxy import ProxyConfig
from elfs_plugin.pruning.usual_beta import BETAS, KEPT
from scripts import screenshots

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MANIFEST = yaml.safe_load((ROOT / "fiftyone.yml").read_text(encoding="utf-8"))
PICTURE = re.compile(r'(?:src|srcset)="([^"]+\.png)"|!\[[^]]*\]\(([^)]+\.png)\)')
LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def documents():
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}


def first_column(text, header):
    """Texts without markup in the first column of the table of this header."""
    lines = text.partition(f"| {header} |")[2].splitlines()[2:]
    cells = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells.append(line.split("|")[1].strip(" *`"))
    return cells


def anchors(text):
    """The anchors that GitHub gives the headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(text, language=""):
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(start):
    """(document, rest of the line) of every such command, but those below tables: they are of older commits."""
    found = [
        (name, match)
        for name, text in documents().items()
        for match in re.findall(rf"(?<![\w/]){re.escape(start)}([^`\n]*)", re.sub("<sub>.*</sub>", "", text))
    ]
    assert found
    return found


# Links and pictures


@pytest.mark.parametrize("name", documents())
def test_links_lead_to_files_and_headings(name):
    for link in LINK.findall(text_of(name)):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        file = (ROOT / name).parent / target if target else ROOT / name
        assert file.exists(), link
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), link


def test_every_document_is_linked():
    linked = {
        ((ROOT / name).parent / link.partition("#")[0]).resolve()
        for name, text in documents().items()
        for link in LINK.findall(text)
        if not link.startswith(("https://", "#"))
    }
    assert set(DOCUMENTS) - linked == {ROOT / "README.md"} - linked


def test_the_pictures_are_those_that_are_shown_and_those_that_the_script_makes():
    shown = {
        ((ROOT / name).parent / "".join(found)).resolve()
        for name, text in documents().items()
        for found in PICTURE.findall(text)
    }
    made = {screenshots.FOLDER / f"{name}-{theme}.png" for name in screenshots.NAMES for theme in screenshots.THEMES}
    assert set((ROOT / "docs").rglob("*.png")) == shown == made


def test_no_name_is_left_to_be_filled_in():
    for name, text in documents().items():
        assert "<owner>" not in text and "<this repository>" not in text, name


# Commands


def test_targets_of_make_exist():
    targets = set(re.search(r"^\.PHONY: (.+)$", text_of("Makefile"), re.MULTILINE)[1].split())
    named = {
        target
        for text in documents().values()
        for target in [
            *re.findall(r"(?:`|^ {4})make (\w+)", text, re.MULTILINE),
            *re.findall(r"^make (\w+)", "".join(code(text)), re.MULTILINE),
        ]
    }
    assert {"setup", "demo", "test", "faults", "bench"} <= named <= targets


def test_commands_of_the_command_line_and_their_options_exist(capsys):
    for name, rest in commands("python -m elfs_plugin "):
        words = rest.split()
        # A command may have steps, as `rounds next`.
        command = [word for word in words[:2] if word == words[0] or words[0] == "rounds"]
        with pytest.raises(SystemExit) as stop:
            main([*command, "--help"])
        known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
        assert stop.value.code == 0, (name, command)
        assert {word for word in words if word.startswith("--")} <= known, (name, rest)


def options_of(*modules):
    """The options that files of benchmarks/ define."""
    found = set()
    for module in modules:
        for node in ast.walk(ast.parse(text_of(f"benchmarks/{module}.py"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("--"):
                found.add(node.value)
    return found


def test_commands_of_the_benchmarks_and_their_options_exist():
    shared = options_of("common", "results")
    for name, rest in commands("python -m benchmarks."):
        module, *words = rest.split()
        module = module.strip(".,;)")
        assert (ROOT / "benchmarks" / f"{module}.py").is_file(), (name, module)
        assert {word for word in words if word.startswith("--")} <= shared | options_of(module), (name, rest)


def test_environment_variables_are_read_by_the_library():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "elfs_plugin").rglob("*.py"))
    named = {found for text in documents().values() for found in re.findall(r"\bELFS_[A-Z_]+\b", text)}
    assert {"ELFS_HOME", "ELFS_MAX_IMAGE_PIXELS"} <= named
    assert [one for one in sorted(named) if f'"{one}"' not in sources] == []


# Names


def test_the_operators_are_those_of_the_manifest():
    assert sorted(first_column(text_of("docs/reference.md"), "`@elfs/coreset/…` | what it does")) == sorted(
        MANIFEST["operators"]
    )


def test_encoders_of_the_examples_exist():
    read = "".join(text_of(name) for name in ("README.md", "docs/reference.md"))
    encoders = set(re.findall(r"\btimm:[\w.]+", read))
    assert encoders
    for name in encoders | {"pixels"}:
        check_encoder(name)


def constant(file, name):
    """The value of a module's constant, without importing the module."""
    for node in ast.parse(text_of(file)).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == [name]:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{file} has no {name}")


def test_the_readme_quotes_the_panel_s_help():
    quoted = re.sub(r"^> ?", "", text_of("README.md"), flags=re.MULTILINE)
    assert constant("panels/coreset_panel.py", "HELP").strip() in quoted


def test_the_tabs_are_those_of_the_help_and_of_the_pictures():
    tabs = first_column(text_of("README.md"), "tab | what it answers")
    explained = constant("panels/coreset_panel.py", "HELP").partition("too easy**")[2]
    assert re.findall(r"\*\*(\w+)\*\*", explained) == tabs
    assert [tab.lower() for tab in tabs] == list(screenshots.TABS)


def test_modules_that_the_method_names_exist():
    named = re.findall(r"`([a-z_]+(?:/[a-z_0-9]+)*(?:\.py|/))`", text_of("docs/method.md"))
    assert {"encoders/", "runs/claims.py"} <= set(named)
    missing = [one for one in named if not (ROOT / "elfs_plugin" / one).exists() and not (ROOT / one).exists()]
    assert missing == []


# Numbers


def test_the_clusterings_are_as_stated():
    published, quick = ClusteringConfig.published(), ClusteringConfig.quick()
    table = text_of("docs/method.md").partition("| | `published` | `quick` (default) |\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:4]] for row in table.splitlines()]
    cells = {name: values for name, *values in rows}
    assert cells["heads"] == [str(published.heads), str(quick.heads)]
    assert cells["teacher's momentum"] == [str(published.teacher_momentum), str(quick.teacher_momentum)]
    assert cells["steps"][0] == f"{published.epochs} epochs"
    assert cells["steps"][1].startswith(f"{quick.epochs} epochs, at least {quick.min_steps:,};")
    assert f"less than {quick.tolerance:.1%} in 200 steps" in cells["steps"][1]
    assert cells["embeddings"][1] == f"at most {quick.components} principal components, whitened" and quick.whiten
    assert cells["neighbours"] == ["all of the graph", "the half that is nearest after whitening, at least 10"]
    assert (published.neighbor_share, quick.neighbor_share, FEWEST_NEIGHBORS, NEAREST) == (1.0, 0.5, 10, 10)
    assert f"up to {spectral.MAX_DIMENSIONS} clusters" in " ".join(text_of("docs/method.md").split())
    assert f"Below {WELL_SEPARATED} the panel warns" in text_of("docs/method.md")
    limits = " ".join(text_of("README.md").split())
    assert (
        f"{quick.heads} heads started from k-means and spectral clustering, {quick.epochs} epochs but at least "
        f"{quick.min_steps:,} steps" in limits
    )
    assert f"({published.heads} heads, {published.epochs} epochs)" in limits


def test_the_proxies_are_as_stated():
    method = " ".join(text_of("docs/method.md").split())
    fast, small, paper = ProxyConfig.mlp(), ProxyConfig.resnet8(), ProxyConfig.resnet18()
    assert f"an ensemble of {fast.members} MLPs (D–{fast.hidden}–C)" in method
    assert (
        f"{fast.epochs} epochs, batch {fast.batch_size}, SGD, learning rate {fast.learning_rate} to "
        f"{fast.final_learning_rate:.0e}".replace("e-0", "e-")
    ) in method
    assert f"scored by the {fast.left_out} members, drawn for it, that never train on it" in method
    assert small.members == 4 and f"on the same batches for {small.epochs} epochs" in method
    assert (
        f"ResNet-18 on the images: {paper.epochs} epochs, batch {paper.batch_size}, {paper.learning_rate} to" in method
    )


def test_the_usual_betas_are_as_stated():
    method = " ".join(text_of("docs/method.md").split())
    betas = ", ".join(f"{beta:g}" for beta in BETAS)
    kept = ", ".join(f"{100 * share:.0f}" for share in KEPT)
    assert f"({betas} where {kept}% are kept;" in method


@pytest.mark.parametrize(("dimensions", "stated"), [(512, 113_000), (64, 232_000)])
def test_the_neighbour_search_is_exact_as_far_as_stated(dimensions, stated):
    assert exact_is_quick(stated, dimensions) and not exact_is_quick(stated + 1_000, dimensions)
    for name in ("README.md", "docs/method.md", "docs/benchmarks/speed.md"):
        assert f"{stated:,} " in text_of(name) and f"of {dimensions}" in text_of(name), name


def test_the_limits_of_images_are_as_stated():
    most, large = (f"{round(pixels / 1e6)} megapixels" for pixels in (images.MOST_PIXELS, images.LARGE_PIXELS))
    assert most in text_of("docs/reference.md")
    assert most in text_of("docs/method.md") and large in text_of("docs/method.md")


# Versions


def test_the_versions_agree():
    released = re.findall(r"^## \[([\d.]+)\] - \d{4}-\d\d-\d\d$", text_of("CHANGELOG.md"), re.MULTILINE)
    assert MANIFEST["version"] == __version__ == released[0]
    assert released == sorted(released, key=lambda version: [int(part) for part in version.split(".")], reverse=True)


def test_what_is_needed_is_stated_once():
    assert f"fiftyone{MANIFEST['fiftyone']['version']}" in text_of("requirements-dev.txt").splitlines()
    target = re.search(r'target-version = "py(\d)(\d+)"', text_of("pyproject.toml"))
    assert f"Python {target[1]}.{target[2]} or newer" in text_of("README.md")


# In FiftyOne


@pytest.fixture
def foo(plugin):
    import fiftyone.operators as foo

    return foo


def test_the_button_has_the_name_that_the_readme_gives(foo):
    assert f"*{foo.get_operator('@elfs/coreset/run_elfs').config.label}*" in text_of("README.md")


def test_fields_and_limits_of_a_run_are_as_stated(plugin):
    fields, vectors, jobs = (plugin(f"elfs_plugin.runs.{name}") for name in ("fields", "vectors", "jobs"))
    row = next(line for line in text_of("docs/reference.md").splitlines() if line.startswith("| per-sample results"))
    names = re.findall(r"`(\w+)`", row)
    assert names == [name for stage in fields.PATHS.values() for name in stage]
    for name in ("docs/reference.md", "docs/method.md"):
        assert f"above {vectors.LARGE:,} images" in text_of(name)
    assert f"heartbeat every {jobs.HEARTBEAT_SECONDS} s" in text_of("docs/method.md")


@pytest.mark.parametrize("name", ["README.md", "docs/reference.md"])
def test_the_examples_in_python_run(name, quick_clustering, new_dataset, plugin):
    dataset = new_dataset(60)
    dataset.set_values("clip", list(np.random.default_rng(0).normal(size=(60, 8))))
    (example,) = code(text_of(name), "python")
    exec(example, {"dataset": dataset})  # it is ours, and nothing else would show that it runs
    record = plugin("elfs_plugin.runs").load_record(dataset, "elfs")
    assert record.stages["selection"]["coreset"] == 6
    assert len(dataset.match_tags("to_label")) == (6 if "to_label" in example else 0)


def test_the_example_of_rounds_runs(foo, quick_clustering, new_dataset, plugin, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "to_label").mkdir()
    dataset = new_dataset(120)
    foo.get_operator("@elfs/coreset/run_elfs")(dataset, num_clusters=10, budget=10, beta=0.1)
    (example,) = code(text_of("docs/labelling.md"), "python")
    exec(example, {"dataset": dataset})
    assert capsys.readouterr().out.startswith("0 56 ")  # with the golden set, 5% of the images
    rounds = plugin("elfs_plugin.runs").load_record(dataset, "elfs").rounds
    assert [(one["number"], one["state"], one["chosen"]) for one in rounds] == [(0, "returned", 50), (1, "selected", 6)]
    lists = [path.name for path in sorted((tmp_path / "to_label").glob("*.csv"))]
    assert lists == [f"elfs_r0_{at}.csv" for at in range(len(rounds[0]["parts"]))]
