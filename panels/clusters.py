"""The tab *Clusters*: can the pseudo-labels be trusted?"""

import fiftyone.operators.types as types

from .base import guarded, needs_run, plot, wrapping
from .cuts import Cuts
from .figures import cluster_figure, cluster_layout, count_figure, count_layout
from .part import Tab

LISTED = 30


class Clusters(Cuts):
    @needs_run
    def on_show_cluster(self, ctx):
        """A cluster's bar or button: its images, most certain first."""
        self._show_cluster(ctx, ctx.params["cluster"])

    @needs_run
    def on_cluster_bar(self, ctx):
        if ctx.params.get("y"):
            self._show_cluster(ctx, ctx.params["y"])

    def _show_cluster(self, ctx, name):
        ctx.panel.state.cluster = name
        shown = self.shown(ctx)
        self.show(ctx, shown if shown not in (None, "border") else "all")

    @guarded
    def on_again(self, ctx):
        self.prompt(ctx, "compute_pseudo_labels")

    def render_clusters(self, panel, ctx, model):
        from ..elfs_plugin.clustering.health import UNKNOWN, reassurance

        health = model.results.get("clusters", {})
        if health:
            panel.md(_summary(health), name="health")
            panel.md(_embedded(model.record), name="encoder")
        for index, text in enumerate(health.get("warnings", [])):
            panel.view(f"health_warning_{index}", types.AlertView(severity="warning", label=text))
        fine = None if health.get("warnings") else reassurance(health)
        if fine:
            panel.view("health_fine", types.AlertView(severity="success", label=fine))
        if health:
            panel.view("health_unknown", types.AlertView(severity="info", label=UNKNOWN))
        table = model.table
        state = ctx.panel.state
        traces = cluster_figure(table, state.hard or 0, state.budget or 0)
        plot(panel, "cluster_sizes", traces, cluster_layout(len(table["clusters"])), on_click=self.on_cluster_bar)
        if table["more"]["clusters"]:
            panel.md(f"and {table['more']['clusters']} smaller clusters", name="more_clusters")
        self._render_samples(panel, model)
        count = model.results.get("cluster_count")
        if count:
            panel.md(f"**How many clusters?** {count['explanation']}", name="count_text")
            plot(panel, "cluster_count", count_figure(count), count_layout())
        panel.btn("again", label="Other clusters …", variant="outlined", on_click=self.on_again)

    def _render_samples(self, panel, model):
        """A picture of each cluster, the one it is most certain of."""
        from ..elfs_plugin import runs
        from ..elfs_plugin.encoders.thumbnails import thumbnail

        rows = runs.cluster_samples(model.run, LISTED)
        if not rows:
            return
        panel.md(
            "The image each cluster is most certain of. Choose one to see the cluster in the grid.",
            name="samples_title",
        )
        box = wrapping(panel, "samples")
        for index, row in enumerate(rows):
            cell = box.v_stack(f"sample_{index}", gap=0, maxWidth="112px")
            picture = thumbnail(row["filepath"])
            if picture:
                view = types.ImageView(height="72px", width="72px", read_only=True)
                cell.str(f"sample_picture_{index}", default=picture, view=view)
            cell.btn(
                f"sample_show_{index}",
                label=row["name"],
                variant="outlined",
                on_click=self.on_show_cluster,
                params={"cluster": row["name"]},
            )
            cell.md(f"{row['size']:,}, {row['confidence']:.0%} sure", name=f"sample_text_{index}")

    tab = Tab("clusters", "Clusters", render_clusters)


def _embedded(record):
    """What the clusters are clusters of."""
    from ..elfs_plugin.encoders.known import labels_in_words

    made = record.stages.get("embeddings", {}) if record.owns_embeddings else {}
    return f"Embeddings: {labels_in_words(made.get('encoder'), made.get('seen_labels'))}."


def _summary(health):
    """The numbers in words."""
    empty = f"{health['empty']} empty" if health["empty"] else "none empty"
    sizes = f"{health['smallest']:,} to {health['largest']:,} images each"
    agree = f"the heads agree on {health['agreement']:.0%} of the images"
    if health.get("seed_agreement") is not None:
        agree += f", two seeds on {health['seed_agreement']:.0%}"
    apart = f"; separation {health['separation']:.2f}" if health.get("separation") is not None else ""
    sure = f"Mean confidence {health['confidence']:.0%}; {agree}{apart}."
    return f"**{health['clusters']} clusters**, {empty}, {sizes}. {sure}"
