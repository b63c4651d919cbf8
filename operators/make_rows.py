import fiftyone.operators.types as types

from .base import ElfsOperator
from .inputs import check, choice_input, pick
from .parameters import ROW, without
from .row_forms import kind_parameters, row_inputs, row_values


class MakeRows(ElfsOperator):
    operator = "make_rows"
    title = "Frames, groups or objects as rows"
    description = "Makes or updates a dataset of frames, groups, or objects of images, on which everything works"
    takes = ("kind", "dataset_name", ROW)
    takes_images = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.nouns import KINDS
        from ..elfs_plugin.runs import companions, kinds
        from ..elfs_plugin.runs.make_rows import check_rows, settings_of

        default = companions.offered_kind(collection)
        texts = {name: f"{words.noun.many}, of {words.found_in}" for name, words in KINDS.items()}
        kind_input = choice_input(inputs, "kind", texts, default, "A dataset of")
        kind = ctx.params.setdefault("kind", default)
        if kind not in KINDS:
            return
        rows = kinds.kind(kind)
        known_settings = settings_of(collection, kind, ctx.params.get("dataset_name"))
        suggested = rows.suggested(collection._root_dataset)
        row_inputs(ctx, inputs, rows.parameters, known_settings, suggested)
        prop = inputs.str(
            "dataset_name",
            required=False,
            label="Name of the new dataset",
            description=f"Empty: {collection._root_dataset.name}-elfs-{kind}, or the one there is",
        )
        name = ctx.params.get("dataset_name")
        known = check(prop, check_rows, collection, kind, name) and companions.companions_of(
            collection._root_dataset, kind
        )
        if known and (name is None or name in known):
            text = "It is there already: new rows are added, those that have gone are removed, results stay."
            inputs.view("about", types.Notice(label=text))
        values = row_values(ctx.params, rows.parameters)
        if not prop.invalid:
            check(kind_input, check_rows, collection, kind, name, values)

    def check_together(self, ctx, params):
        kind_parameters(params, without)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs
        from ..elfs_plugin.runs import companions, kinds

        kind = ctx.params.get("kind") or companions.offered_kind(collection)
        settings = row_values(ctx.params, kinds.kind(kind).parameters)
        name = pick(ctx.params, "dataset_name").get("dataset_name")
        return runs.make_rows(collection, kind, name=name, settings=settings, sinks=sinks)
