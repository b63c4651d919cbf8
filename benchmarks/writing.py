"""How long it takes to write results on samples: python -m benchmarks.writing [--samples 500000] [--save].

The code of real runs writes values that were drawn, so that nothing but writing is measured. Beside it FiftyOne's
``set_values`` writes the same values, field by field, and with ``--before FOLDER`` the plugin of another checkout does.
They take turns, each time on a dataset of its own, in a process of its own, on one MongoDB that is started for it. CPU
seconds are those of the process and of MongoDB together: other work on the machine changes them less.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

from faults.mongod import Mongod

from .common import in_own_process, peak_gigabytes
from .results import Column, Table, started

KEY = "elfs"
CLUSTERS = 100
CUTS = ((0.2, 0.1), (0.25, 0.1), (0.25, 0.15))
"""Budget and β of the cuts that are saved one after another."""
TAGGED = 10_000
CACHE = 4
"""GB that MongoDB keeps in memory; by itself it would take half of the machine's."""

MEASURES = {
    "first": "all results of a new run, and its tag: pseudo-labels, scores, cut, one after another",
    "again": "all results over those of an earlier run, and the tag: at once",
    "scores": "scores and ranks alone, over earlier ones",
    "cut": "the first cut after new scores, saved with its tag",
    "moved": "a moved cut, saved with its tag",
    "tag": f"a tag on {TAGGED:,} images that another method chose",
}
_CHUNK = 20_000


@dataclass(frozen=True)
class Measured:
    """Seconds, and CPU seconds of this process and of MongoDB."""

    seconds: float
    cpu: float


@dataclass(frozen=True)
class Values:
    """What is written on N samples, by their ids in order."""

    ids: list
    labels: object
    share: object
    scores: object
    rank: object


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=500_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-set-values", action="store_true", help="leave set_values out: it takes most of the time")
    parser.add_argument("--before", metavar="FOLDER", help="another checkout, whose plugin is measured as well")
    parser.add_argument("--here", choices=("plugin", "set_values"), help="one turn in this process; ends with JSON")
    parser.add_argument("--mongod", type=int, help="process id of MongoDB, with --here")
    parser.add_argument("--code", metavar="FOLDER", help="where the plugin is, with --here")
    options = parser.parse_known_args(sys.argv[1:] if arguments is None else list(map(str, arguments)))[0]
    if options.here:
        print(json.dumps(turn(options)))
        return
    options, recording = started("writing", parser, arguments)
    before = os.getloadavg()
    with own_mongod() as server:
        found = turns(options, server.pid)
    after = os.getloadavg()
    note = f"Load average {before[0]:.1f} before, {after[0]:.1f} after, on {os.cpu_count()} cores."
    recording.finish({"seconds": report(found), "memory": memory_report(found)}, note)


@contextlib.contextmanager
def own_mongod():
    """A MongoDB that FiftyOne uses in the processes that are started meanwhile, and that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="elfs-bench-writing-") as home:
        server = Mongod(Path(home, "mongo"), CACHE)
        chosen = {
            "FIFTYONE_DATABASE_URI": server.uri,
            "FIFTYONE_DATABASE_NAME": "elfs_bench_writing",
            "FIFTYONE_DATABASE_VALIDATION": "false",
            "FIFTYONE_DO_NOT_TRACK": "true",
            "FIFTYONE_SHOW_PROGRESS_BARS": "false",
            "ELFS_HOME": str(Path(home, "elfs")),
        }
        known = {name: os.environ.get(name) for name in chosen}
        os.environ.update(chosen)
        try:
            yield server
        finally:
            server.stop()
            for name, value in known.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def turns(options, mongod):
    """``{who: [what a turn has found, …]}``, the turns alternating."""
    who = {"plugin": ["plugin"]}
    if not options.no_set_values:
        who["set_values"] = ["set_values"]
    if options.before:
        who["before"] = ["plugin", "--code", os.path.abspath(options.before)]
    found = {name: [] for name in who}
    for number in range(options.repeats):
        for name, how in who.items():
            sizes = ["--samples", options.samples, "--mongod", mongod]
            found[name].append(in_own_process("benchmarks.writing", "--here", *how, *sizes))
            told = {key: f"{value['seconds']:.1f} s" for key, value in found[name][-1]["measures"].items()}
            print(f"{number + 1} of {options.repeats}, {name}: {told}", flush=True)
    return found


def report(found):
    """The table of what all turns have found."""
    others = [name for name in ("before", "set_values") if name in found]
    titles = {"before": "before", "set_values": "`set_values`"}
    columns = ["what is written", "seconds", "CPU s"]
    for name in others:
        columns += [f"{titles[name]}, s", f"{titles[name]}, CPU s", f"times faster than {titles[name]}"]
    table = Table(columns)
    for key, title in MEASURES.items():
        own = median(found["plugin"], key)
        if own is None:
            continue
        cells = [own.seconds, own.cpu]
        for name in others:
            other = median(found[name], key)
            cells += [None] * 3 if other is None else [other.seconds, other.cpu, other.seconds / own.seconds]
        table.add(title, *cells)
    return table


def memory_report(found):
    table = Table(["samples", "who writes", Column("peak memory of the process, GB", 2)])
    for name, of_turns in found.items():
        table.add(of_turns[0]["samples"], name, max(one["peak"] for one in of_turns))
    return table


def median(of_turns, key):
    """The :class:`Measured` medians of a measure over the turns, or None where nobody has taken it."""
    taken = [one["measures"][key] for one in of_turns if key in one["measures"]]
    if not taken:
        return None
    return Measured(*(statistics.median(one[name] for one in taken) for name in ("seconds", "cpu")))


def turn(options):
    """Measures one who writes on a new dataset. Returns a plain dict."""
    if options.code:
        sys.path.insert(0, options.code)
    import fiftyone as fo

    dataset = make_dataset("elfs-bench-writing", options.samples)
    clock = Clock(options.mongod)
    try:
        {"plugin": measure_plugin, "set_values": measure_set_values}[options.here](dataset, clock)
    finally:
        fo.delete_dataset(dataset.name)
    measures = {name: asdict(measured) for name, measured in clock.found.items()}
    return {"samples": options.samples, "measures": measures, "peak": peak_gigabytes()}


class Clock:
    """Measures what is done while it is entered, by name; what has the same name again gives the mean."""

    def __init__(self, mongod):
        self.found = {}
        self._mongod, self._times = mongod, {}

    @contextlib.contextmanager
    def __call__(self, name):
        start, worked = time.perf_counter(), self._worked()
        yield
        self._times.setdefault(name, []).append((time.perf_counter() - start, self._worked() - worked))
        self.found[name] = Measured(*(statistics.mean(values) for values in zip(*self._times[name])))

    def _worked(self):
        own = time.process_time()
        if self._mongod is None:
            return own
        fields = Path(f"/proc/{self._mongod}/stat").read_text().rpartition(")")[2].split()
        return own + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_dataset(name, n):
    """A dataset of N samples as FiftyOne makes them, without results; inserted directly, which is quicker."""
    import fiftyone as fo
    import numpy as np
    from bson import ObjectId

    dataset = fo.Dataset(name, persistent=True, overwrite=True)
    dataset.add_sample(fo.Sample("/images/0.jpg"))
    collection = dataset._sample_collection
    sample = collection.find_one()
    collection.delete_many({})
    random = np.random.default_rng(0).random(n).tolist()
    for start in range(0, n, _CHUNK):
        places = range(start, min(start + _CHUNK, n))
        own = ({"_id": ObjectId(), "filepath": f"/images/{at:09d}.jpg", "_rand": random[at]} for at in places)
        collection.insert_many([{**sample, **one} for one in own], ordered=False)
    dataset.reload()
    return dataset


def drawn(dataset, seed):
    """:class:`Values` of all samples."""
    import numpy as np

    from elfs_plugin.pruning.zones import difficulty_rank
    from elfs_plugin.runs import fields

    ids = sorted(dataset.values("id"))
    n, rng = len(ids), np.random.default_rng(seed)
    scores = {name: rng.random(n) for name in fields.SCORES}
    rank = difficulty_rank(scores["aum"], ids=ids)
    return Values(ids, rng.integers(CLUSTERS, size=n).astype(np.int32), rng.uniform(0.5, 1, n), scores, rank)


def measure_plugin(dataset, clock):
    from elfs_plugin import runs

    write_results(dataset, drawn(dataset, 0), clock, "first", labels=True, cut=True)
    write_results(dataset, drawn(dataset, 1), clock, "again", labels=True, cut=True)
    write_results(dataset, drawn(dataset, 2), clock, "scores", labels=False, cut=False)
    for name, (budget, beta) in zip(("cut", "moved", "moved"), CUTS):
        with clock(name):
            runs.select_coreset(dataset, KEY, budget=budget, beta=beta, tag="coreset")
    _tag(dataset, clock)


def write_results(dataset, values, clock, name, labels=True, cut=True):
    """Writes as a job on a run does, which publishes each stage when the run is new, and else all at its end."""
    from elfs_plugin.runs import fields, saving
    from elfs_plugin.runs.session import Session

    with Session(dataset, KEY, "Writing", ["dynamics"], ()) as job:
        working = job.working
        working.ids, working.scores, working.labels = values.ids, values.scores["aum"], values.labels
        job.names = [f"cluster {label}" for label in range(CLUSTERS)]
        job.record.owns_field = True
        with clock(name):
            if labels:
                job.clear("scores", "selection")
                job.draft.put(*fields.label_columns(KEY, values.ids, values.labels, values.share, values.share))
                job.finish("pseudo_labels", clusters=CLUSTERS, labelled=len(values.ids), since=time.time())
            job.clear("selection")
            job.draft.put(*fields.score_columns(KEY, values.ids, SimpleNamespace(**values.scores), values.rank))
            job.draft.step("indexes")
            job.new_ranking()
            job.finish("scores", score="aum", scored=len(values.ids))
            if cut:
                job.apply(*CUTS[0])
                saving.save(job.draft, job.record, "coreset", None)
            job.publish()


def _tag(dataset, clock):
    from elfs_plugin.runs import saving
    from elfs_plugin.runs.session import Session

    with Session(dataset, KEY, "Tagging", ["dynamics"], ()) as job:
        chosen = sorted(dataset.values("id"))[::7][:TAGGED]
        saving.save_ids(job.draft, job.record, chosen, "chosen", None, {"method": "drawn", "budget": len(chosen)})
        with clock("tag"):
            job.publish()


def measure_set_values(dataset, clock):
    """The same values, as one writes them without the plugin."""
    import fiftyone as fo

    dataset.add_sample_field(KEY, fo.EmbeddedDocumentField, embedded_doc_type=fo.DynamicEmbeddedDocument)
    dataset.add_sample_field(f"{KEY}.zone", fo.StringField)
    for seed, name in enumerate(("first", "again")):
        values = drawn(dataset, seed)
        with clock(name):
            _set_labels(dataset, values)
            _set_scores(dataset, values)
            dataset.create_index(f"{KEY}.rank")
            dataset.create_index([(f"{KEY}.pseudo_label.label", 1), (f"{KEY}.rank", 1)])
            _set_cut(dataset, values, *CUTS[0])
    values = drawn(dataset, 2)
    with clock("scores"):
        _set_scores(dataset, values)
    for name, cut in zip(("cut", "moved", "moved"), CUTS):
        with clock(name):
            _set_cut(dataset, values, *cut)
    with clock("tag"):
        dataset.select(values.ids[::7][:TAGGED]).tag_samples("chosen")


def _set_labels(dataset, values):
    import fiftyone as fo

    pairs = zip(values.labels.tolist(), values.share.tolist())
    labels = [fo.Classification(label=f"cluster {label}", confidence=share) for label, share in pairs]
    dataset.set_values(f"{KEY}.pseudo_label", labels)
    dataset.set_values(f"{KEY}.agreement", values.share.tolist())


def _set_scores(dataset, values):
    for name, found in values.scores.items():
        dataset.set_values(f"{KEY}.{name}", found.tolist())
    dataset.set_values(f"{KEY}.rank", values.rank.tolist())


def _set_cut(dataset, values, budget, beta):
    from fiftyone import ViewField as F

    from elfs_plugin.pruning.zones import Zones

    n = len(values.ids)
    zones = Zones(values.rank, int(beta * n), int(budget * n))
    dataset.set_values(f"{KEY}.zone", zones.zone.tolist())
    dataset.match_tags("coreset").untag_samples("coreset")
    dataset.match(F(f"{KEY}.zone") == "coreset").tag_samples("coreset")


if __name__ == "__main__":
    main()
