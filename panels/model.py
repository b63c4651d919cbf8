"""What the panel shows, read from the dataset: the run, its job, its findings, its results."""

import functools

from .base import WRITTEN_ANEW


class Model:
    """One reading of the dataset for one event. ``phase`` says what can be drawn:

    ``refused`` (ELFS cannot work on this dataset), ``no_runs``, ``no_pseudo_labels``, ``no_scores``, ``broken`` (a
    finding must be mended first) or ``ready``.
    """

    def __init__(self, ctx):
        from ..elfs_plugin import runs
        from ..elfs_plugin.errors import ElfsError
        from ..elfs_plugin.runs.jobs import running_jobs

        self.dataset = ctx.dataset
        self.message, self.keys, self.busy, self.run, self.findings = "", [], [], None, []
        self.key = ctx.panel.state.key
        try:
            runs.check_collection(ctx.dataset)
        except ElfsError as error:
            self.phase, self.message = "refused", str(error)
            self._read_rows(ctx.dataset)
            return
        self.busy = running_jobs(ctx.dataset)
        known = runs.Run.all_of(ctx.dataset)
        self.keys = sorted({*known, *self.busy})
        if self.key not in self.keys:
            self.lost = None if self._was_rows_job() else self.key
            self.key = self.busy[0] if self.busy else (self.keys[-1] if self.keys else None)
        if self.key is None:
            self.phase = "no_runs"
            return
        self.run = known.get(self.key) or runs.Run(ctx.dataset, self.key)
        self.phase = self._phase()

    @functools.cached_property
    def noun(self):
        """What the samples are called."""
        from ..elfs_plugin import runs

        return runs.noun_of(self.dataset)

    @property
    def is_of_rows(self):
        """Whether the samples are rows of another dataset, which is still there."""
        from ..elfs_plugin import runs

        return runs.source_of(self.dataset) is not None

    rows, companion = None, None
    """Of a dataset that holds no images: the kind of rows that stands for it, and the name of the dataset of them."""

    left_out, _rows_job = None, None
    """Of such a dataset: reason -> how many of its parents gave no rows; the job that makes them, or did so last."""

    def _read_rows(self, dataset):
        from ..elfs_plugin import runs
        from ..elfs_plugin.runs.jobs import rows_key, running_jobs

        self.rows = None if dataset is None else runs.kind_of(dataset)
        if self.rows is None:
            return
        keys = [*running_jobs(dataset), rows_key(self.rows)]
        self._rows_job = runs.read_job(dataset, keys[0])
        found = runs.companion_of(dataset)
        if found is not None:
            self.companion, self.left_out = found.name, runs.rows_of(found).left_out
        elif not runs.companions_of(dataset, self.rows):
            self.message = _not_made_yet(self.rows)

    def _was_rows_job(self):
        """Whether the key that the panel showed was that of a job that makes rows, which is no run."""
        from ..elfs_plugin.nouns import KINDS
        from ..elfs_plugin.runs.jobs import rows_key

        return self.key in map(rows_key, KINDS)

    lost = None
    """The key of a run that the panel showed and that is gone."""

    def _phase(self):
        from ..elfs_plugin import runs

        stages = self.record.stages if self.record else {}
        if not self.running:
            health = runs.check_run(self.run)
            self.findings = health.findings
            if health.broken:
                return "broken"
        if "scores" in stages:
            return "ready"
        return "no_scores" if "pseudo_labels" in stages else "no_pseudo_labels"

    @property
    def why_not(self):
        """Why what needs a finished run cannot be done, as a sentence."""
        if self.phase == "refused":
            return self.message
        if self.key is None:
            return "There is no ELFS run on this dataset any more. Start a new one."
        if self.running:
            return WRITTEN_ANEW
        if self.findings:
            return self.findings[0].text
        return f"The run '{self.key}' has no scores. Compute them first."

    @property
    def running(self):
        return bool(self.job and self.job["state"] == "running")

    @property
    def n(self):
        """Scored samples, deleted ones among them until the run is updated: its ranks count them too."""
        return len(self.ranking.scores)

    @property
    def record(self):
        return self.run and self.run.record

    @property
    def job(self):
        return self.run.job if self.run else self._rows_job

    @property
    def results(self):
        return self.run.results if self.run else {}

    @functools.cached_property
    def ranking(self):
        from .cache import ranking

        return ranking(self.run)

    @property
    def table(self):
        """The numbers of the live histogram."""
        return self.ranking.table

    @functools.cached_property
    def counted(self):
        """{number of a round: how many of its images are labelled, skipped, waiting}."""
        from ..elfs_plugin.runs.rounds.queue import count_rounds

        return count_rounds(self.run)

    @property
    def cluster_names(self):
        """The largest clusters' names, in their natural order."""
        return [row["name"] for row in sorted(self.table["clusters"], key=lambda row: row["label"])]

    @property
    def selection(self):
        return self.record.stages.get("selection")

    @property
    def stamp(self):
        """Changes when the applied selection or the scores do, by whomever."""
        selection = self.selection
        applied = selection and (selection["hard"], selection["coreset"], selection.get("when"))
        return f"{self.key} {self.n} {applied}"


def _not_made_yet(kind):
    """What a dataset is told that has no dataset of rows of a kind; the button to make it is beside."""
    from ..elfs_plugin.nouns import KINDS

    words = KINDS[kind]
    many = f"their {words.noun.many}"
    instead = ""
    if kind == "groups":
        many = "one image for each of them"
        instead = " Or choose one slice: add the stage SelectGroupSlices in the view bar."
    return (
        f"This dataset holds {words.parent.many}. ELFS works on a dataset of {many}, which it makes and keeps up to "
        f"date.{instead}"
    )
