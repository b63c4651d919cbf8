"""Objects from pictures to a choice and back, in FiftyOne.

    python -m benchmarks.object_rows [--images FOLDER] [--encoder NAME] [--scenes P] [--seeds S] [--save NAME]
    python -m benchmarks.object_rows --speed [--objects N …] [--runs] [--save NAME]

The first pastes objects on backgrounds (scenes.py says how many, how large): those of FOLDER/<class>/*.jpg, or
scikit-learn's digits. It makes the dataset of objects, runs ELFS on it, and on the whole scenes with the same encoder,
and chooses scenes. All objects of these are labelled; a logistic regression is tested on objects of other scenes.
``--speed`` measures the same stages on N objects and on N images, all with vectors that are there, in turns, and what
making the dataset of objects and writing back take; of a run that is reading and writing, for all else is the same code
on the same arrays.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from . import scenes
from .evidence import tested
from .evidence_sets import Case
from .results import Column, Table, mean_sd, percent, started
from .writing import Clock, drawn, own_mongod, write_results

SIDE = 256
BUDGETS = (0.05, 0.1, 0.2)
TEST_SCENES = 100
PER_IMAGE = 10
DIMENSIONS = 64
_HALF = 2


def pictures(folder):
    """((N,) classes, a function from a number to an RGB picture, names of the classes) of the objects."""
    from PIL import Image

    if folder is None:
        from sklearn.datasets import load_digits

        data = load_digits()
        images = (data.images / 16 * 255).astype(np.uint8)
        return data.target, lambda row: Image.fromarray(images[row]).convert("RGB"), [str(d) for d in range(10)]
    names = sorted(path.name for path in Path(folder).iterdir() if path.is_dir())
    files = [(number, file) for number, name in enumerate(names) for file in sorted(Path(folder, name).glob("*.jpg"))]
    return np.array([number for number, _ in files]), lambda row: Image.open(files[row][1]).convert("RGB"), names


def paste(folder, objects, rows, count, seed, prefix, balanced=False):
    """A FiftyOne dataset of ``count`` scenes with objects out of ``rows``, their boxes and classes as ``objects``."""
    import fiftyone as fo
    from PIL import Image

    classes, picture, names = objects
    rng = np.random.default_rng(seed)
    truth, parents, areas, settings = scenes.layout(len(names), count, rng)
    if balanced:
        truth = rng.integers(len(names), size=len(truth))
    by_class = [rows[classes[rows] == c] for c in range(len(names))]
    tones = rng.integers(0, 200, size=(settings.max() + 1, 3))
    samples = []
    for scene in range(count):
        noise = rng.normal(0, 25, size=(SIDE // 8, SIDE // 8, 3)) + tones[settings[scene]]
        image = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).resize((SIDE, SIDE))
        labels = []
        for at in np.flatnonzero(parents == scene):
            side = max(6, round(np.sqrt(areas[at]) * SIDE))
            x, y = rng.integers(0, SIDE - side, size=2)
            image.paste(picture(rng.choice(by_class[truth[at]])).resize((side, side)), (int(x), int(y)))
            box = [x / SIDE, y / SIDE, side / SIDE, side / SIDE]
            labels.append(fo.Detection(label=names[truth[at]], bounding_box=box))
        path = str(Path(folder, f"{prefix}-{scene:05}.png"))
        image.save(path)
        samples.append(fo.Sample(path, objects=fo.Detections(detections=labels)))
    dataset = fo.Dataset(f"elfs-bench-{prefix}-{os.getpid()}")
    dataset.add_samples(samples)
    return dataset


def vectors_of(companion, names, field):
    """((N, D) unit vectors, (N,) classes, (N,) ids of scenes) of a dataset of objects."""
    vectors, labels, parents = companion.values([field, "objects.label", "parent_id"])
    vectors = np.array(vectors, dtype=np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)  # a black picture has length 0
    return vectors, np.array([names.index(label) for label in labels]), np.array(parents)


def one_seed(home, objects, options, seed):
    """{budget: {row name: (objects labelled, share of the rare found, (C,) accuracies, rare classes)}}."""
    import fiftyone as fo

    from elfs_plugin import runs

    classes, _, names = objects
    rng = np.random.default_rng(seed)
    half = rng.permutation(len(classes))
    cut = len(half) // _HALF
    source = paste(home, objects, half[:cut], options.scenes, seed, f"scenes-{seed}")
    test = paste(home, objects, half[cut:], TEST_SCENES, seed + 1000, f"test-{seed}", balanced=True)
    made = [fo.load_dataset(runs.make_rows(one, "objects")["dataset"]) for one in (source, test)]
    run = {"num_clusters": len(names), "budget": 0.1, "beta": 0.1, "encoder": options.encoder, "seed": seed}
    runs.run_elfs(made[0], **run)
    runs.run_elfs(source, "whole", **run)
    runs.compute_embeddings(made[1], encoder=options.encoder)
    vectors, truth, parents = vectors_of(made[0], names, "elfs_embeddings")
    held_out = vectors_of(made[1], names, "elfs_embeddings")[:2]
    case = Case("pasted", vectors, truth, held_out)
    counts = np.bincount(truth, minlength=len(names))
    rare = np.argsort(counts, kind="stable")[: round(scenes.RARE * len(names))]
    found = {}
    for share in options.budgets:
        budget = max(2, round(share * options.scenes))
        runs.choose_images(made[0], budget=budget, tag="by_objects", write_back=True)
        runs.choose_coreset(source, "whole", method="graph_coverage", budget=budget, tag="as_wholes")
        source.reload()
        sizes = {image: int(np.sum(parents == image)) for image in np.unique(parents)}
        chosen = {
            "Random": rng.choice(sorted(sizes), budget, replace=False).tolist(),
            "whole images, `graph_coverage`": source.match_tags("as_wholes").values("id"),
            "the images with most objects": sorted(sizes, key=lambda image: (-sizes[image], image))[:budget],
            "`object_coverage`": source.match_tags("by_objects").values("id"),
        }
        found[share] = {}
        for name, images in chosen.items():
            rows = np.flatnonzero(np.isin(parents, images))
            hit = np.isin(truth[rows], rare).sum() / counts[rare].sum()
            found[share][name] = len(rows), hit, tested(case, rows), rare
    for dataset in (*made, source, test):
        fo.delete_dataset(dataset.name)
    return found


def pasted(options):
    """The table of the choices, over all seeds."""
    objects = pictures(options.images)
    found = []
    with tempfile.TemporaryDirectory(prefix="elfs-bench-objects-") as home:
        for seed in range(options.seeds):
            found.append(one_seed(home, objects, options, seed))
            print(f"seed {seed} of {options.seeds} done", flush=True)
    table = Table(
        [
            "budget and method",
            Column("objects labelled", 0),
            percent("rare objects found"),
            percent("mean accuracy of all classes"),
            percent("of the rare ones"),
        ]
    )
    for share in options.budgets:
        for name in found[0][share]:
            of_seeds = [one[share][name] for one in found]
            table.add(
                f"{share:.0%}, {name}",
                float(np.mean([one[0] for one in of_seeds])),
                mean_sd([one[1] for one in of_seeds]),
                mean_sd([one[2].mean() for one in of_seeds]),
                mean_sd([one[2][one[3]].mean() for one in of_seeds]),
            )
    return {"pasted": table}


def images_with_objects(home, n, per_image=PER_IMAGE):
    """A dataset of n objects on n / per_image images, a vector on each; inserted directly, which is quicker."""
    import fiftyone as fo
    from bson import ObjectId
    from PIL import Image

    rng = np.random.default_rng(0)
    path = str(Path(home, "image.jpg"))
    Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
    dataset = fo.Dataset(f"elfs-bench-speed-{os.getpid()}")
    first = fo.Detection(label="thing", bounding_box=[0, 0, 0.2, 0.2], vector=np.zeros(DIMENSIONS, dtype=np.float32))
    dataset.add_sample(fo.Sample(path, objects=fo.Detections(detections=[first])))
    collection = dataset._sample_collection
    sample = collection.find_one()
    label = sample["objects"]["detections"][0]
    collection.delete_many({})
    kind = fo.VectorField()
    centres = rng.normal(size=(20, DIMENSIONS))

    def labels():
        for _ in range(per_image):
            vector = (centres[rng.integers(20)] + rng.normal(size=DIMENSIONS)).astype(np.float32)
            x, y = rng.random(2) * 0.8
            yield {**label, "_id": ObjectId(), "bounding_box": [x, y, 0.2, 0.2], "vector": kind.to_mongo(vector)}

    for _ in range(n // per_image):
        found = {"_cls": "Detections", "detections": list(labels())}
        collection.insert_one({**sample, "_id": ObjectId(), "objects": found})
    dataset.reload()
    return dataset


def images_like(companion):
    """A dataset of ordinary images with the vectors of the objects."""
    import fiftyone as fo

    paths, vectors = companion.values(["filepath", "vector"])
    dataset = fo.Dataset(f"elfs-bench-images-{os.getpid()}")
    dataset.add_sample_field("vector", fo.VectorField)
    samples = (fo.Sample(path, vector=vector) for path, vector in zip(paths, vectors))
    dataset.add_samples(samples, num_samples=len(paths))
    return dataset


def speed(options, server):
    """The table of seconds, of objects and of as many images."""
    table = Table(["what", Column("objects, or images", 0), Column("seconds", 1), Column("CPU s", 1)])
    for n in options.objects:
        # One MongoDB for all sizes: FiftyOne stays connected to the first one of a process.
        with tempfile.TemporaryDirectory(prefix="elfs-bench-objects-") as home:
            clock = Clock(server.pid)
            megabytes = _speed_of(n, home, clock, options)
        for name, one in clock.found.items():
            print(table.add(name, n, one.seconds, one.cpu), flush=True)
        table.add("MB of pictures on the disk", n, megabytes, None)
    return {"speed": table}


def _speed_of(n, home, clock, options):
    import fiftyone as fo

    from elfs_plugin import runs
    from elfs_plugin.runs import samples

    source = images_with_objects(home, n)
    with clock("making the dataset of objects"):
        told = runs.make_rows(source, "objects", settings={"crop_side": 64})
    with clock("making it again, nothing being new"):
        runs.make_rows(source, "objects")
    companion = fo.load_dataset(told["dataset"])
    images = images_like(companion)
    both = [("images", images), ("objects", companion)]
    for turn in range(options.turns):
        for name, dataset in both if turn % 2 else both[::-1]:
            if turn:
                runs.delete_run(dataset)
            with clock(f"reading vectors, {name}"):
                samples.read_vectors(dataset, "vector")
            write_results(dataset, drawn(dataset, turn), clock, f"writing all results, {name}")
    for what in ("writing back to labels and images", "writing back again"):
        with clock(what):
            runs.write_rows_back(companion)
    with clock("deleting the run, here and there"):
        runs.delete_run(companion)
    if options.runs:
        run = {"num_clusters": 20, "budget": 0.1, "beta": 0.1, "encoder": None, "embeddings_field": "vector"}
        for name, dataset in both:
            with clock(f"a whole run, {name}"):
                runs.run_elfs(dataset, "whole", tag="whole", **run)
        with clock("choosing a tenth of the images by their objects"):
            runs.choose_images(companion, "whole", budget=0.1, write_back=False)
    for dataset in (images, companion, source):
        fo.delete_dataset(dataset.name)
    return told["bytes"] / 1e6


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", metavar="FOLDER", help="a folder for each class; without it: digits")
    parser.add_argument("--encoder", default="pixels")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS, help="shares of the scenes")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--objects", type=int, nargs="+", default=[20_000], help="with --speed")
    parser.add_argument("--runs", action="store_true", help="with --speed: whole runs as well")
    parser.add_argument("--turns", type=int, default=2, help="with --speed")
    options, recording = started("object_rows", parser, arguments)
    before = os.getloadavg()
    with own_mongod() as server, threadpool_limits(1):
        tables = speed(options, server) if options.speed else pasted(options)
    note = f"Load average {before[0]:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} cores."
    recording.finish(tables, note if options.speed else "")


if __name__ == "__main__":
    main()
