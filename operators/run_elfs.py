import fiftyone.operators as foo
import fiftyone.operators.types as types

from .base import DELEGATE_ABOVE, ElfsOperator
from .budget_forms import beta_inputs, beta_mode, beta_of, budget_inputs, budget_of
from .encoder_forms import embeddings_output_input, encoder_inputs, image_indexes, uses_vectors, vectors_input
from .forms import check_settings, clusters_input, clusters_of, key_input, output_inputs
from .inputs import choice_input, pick, seed_input
from .parameters import without
from .precut_forms import FIELDS as PRECUT
from .precut_forms import precut_inputs, precut_of
from .proxy_forms import proxy_inputs, search_inputs
from .selector_forms import AUTO, first_advice_input, learner_input, method_input, method_of

SOURCES = {"encoder": "Compute embeddings", "field": "Use vectors that are there"}


class RunElfs(ElfsOperator):
    operator = "run_elfs"
    title = "Select images to label"
    description = "Embeddings, pseudo-labels, scores, β, and a coreset by the recommended method, by ELFS or another"
    distributes = True
    takes = (
        "source",
        "encoder",
        "weights",
        "embeddings_field",
        "similarity_index",
        "clusters_mode",
        "num_clusters",
        "preset",
        "neighbors",
        "budget_unit",
        "budget",
        "method",
        "learner",
        "beta_mode",
        "beta",
        "beta_proxy",
        "repeats",
        "proxy",
        "score",
        "epochs",
        "image_size",
        "tag",
        "view_name",
        *PRECUT,
        "seed",
        "device",
    )
    minimum = 2

    def resolve_placement(self, ctx):
        return types.Placement(
            types.Places.SAMPLES_GRID_SECONDARY_ACTIONS,
            types.Button(label="ELFS: select images to label", icon="/assets/elfs.svg", prompt=True),
        )

    def resolve_execution_options(self, ctx):
        large = ctx.dataset is not None and ctx.dataset.count() > DELEGATE_ABOVE
        return foo.ExecutionOptions(
            allow_immediate_execution=True, allow_delegated_execution=True, default_choice_to_delegated=large
        )

    def form(self, ctx, inputs, collection):
        key = key_input(ctx, inputs)
        choice_input(inputs, "source", SOURCES, "encoder", "Embeddings")
        if uses_vectors(ctx.params):
            vectors_input(ctx, inputs, collection)
        else:
            encoder_inputs(ctx, inputs, collection)
            embeddings_output_input(ctx, inputs, key)
        clusters_input(ctx, inputs, collection)
        n = collection.count()
        budget = budget_inputs(ctx, inputs, n)
        if method_input(ctx, inputs) == AUTO:
            learner_input(inputs)
            first_advice_input(ctx, inputs, n, budget)
        beta_inputs(ctx, inputs, budget, n)
        if beta_mode(ctx.params) == "auto":
            search_inputs(ctx, inputs, "beta_proxy")
        proxy_inputs(ctx, inputs)
        precut_inputs(ctx, inputs, n)
        output_inputs(ctx, inputs, key)
        seed_input(inputs)

    def check_together(self, ctx, params):
        check_settings(params)
        if method_of(params) != AUTO:
            without(params, ("learner",), "it is what the method 'auto' looks at.")
        if beta_mode(params) == "manual":
            without(params, ("beta_proxy", "repeats"), "β is given, and not searched.")
        if uses_vectors(params):
            without(params, ("encoder", "weights"), "vectors that are there are used (source='field').")
            self._check_named(ctx, params)
        else:
            without(params, ("similarity_index",), "with source='encoder' embeddings are computed.")

    def _check_named(self, ctx, params):
        """Several vector fields, and none named: from Python none of them is taken without a word."""
        from ..elfs_plugin.errors import InvalidInput
        from ..elfs_plugin.runs import vector_fields

        if {"embeddings_field", "similarity_index"} & set(params):
            return
        found = vector_fields(ctx.dataset)
        if len(found) > 1:
            raise InvalidInput(f"Name the embeddings_field to use (vector fields: {', '.join(found)}).")
        indexes = [] if found else list(image_indexes(ctx.dataset))
        if len(indexes) > 1:
            raise InvalidInput(f"Name the similarity_index to use (similarity indexes: {', '.join(indexes)}).")

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        params = ctx.params
        options = pick(
            params,
            "key",
            "neighbors",
            "preset",
            "proxy",
            "score",
            "epochs",
            "image_size",
            "beta_proxy",
            "repeats",
            "tag",
            "view_name",
            "seed",
            "device",
            "method",
            "learner",
        )
        options.update(precut_of(params))
        options["num_clusters"] = clusters_of(params, collection)
        given = uses_vectors(params)
        if given:
            options.update(self._vectors(collection, params, options["num_clusters"]))
        else:
            options.update(pick(params, "weights", "embeddings_field"))
        return runs.run_elfs(
            collection,
            budget=budget_of(params),
            beta=beta_of(params),
            encoder=None if given else params.get("encoder") or "auto",
            **options,
            sinks=sinks,
        )

    def _vectors(self, collection, params, num_clusters):
        """The field or the similarity index; the first one where none is named."""
        from ..elfs_plugin import runs

        if "similarity_index" in params:
            return pick(params, "similarity_index")
        field = params.get("embeddings_field") or next(iter(runs.vector_fields(collection)), None)
        if field is None:
            return {"similarity_index": next(iter(image_indexes(collection._dataset)), None)}
        runs.check_usable(collection, field, budget_of(params), num_clusters)
        return {"embeddings_field": field}
