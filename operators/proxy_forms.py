"""The proxy: what is trained for the scores, and for a β search."""

import fiftyone.operators.types as types

from ..elfs_plugin.proxy.kinds import check_proxy, choices, learners
from ..elfs_plugin.pruning.scores import SCORES, STORED
from .inputs import check, choice_input, suggestions_input, whole_number_input

PROXIES = {"auto": "ResNet-18 on a GPU, MLP on a CPU", **choices()}
SEARCHED_FOR = {"auto": "By what the scores were made from, embeddings or images", **learners()}
ANY = "One of the list, or any model of timm: timm:<model>"


def proxy_inputs(ctx, inputs):
    _proxy_input(ctx, inputs, "proxy", PROXIES, "Proxy", ANY)
    labels = {name: SCORES[name].label for name in STORED}
    chosen = SCORES.get(ctx.params.get("score"), SCORES["aum"])
    choice_input(inputs, "score", labels, "aum", "Rank by", view=types.DropdownView, description=chosen.text)
    inputs.int(
        "epochs",
        required=False,
        label="Epochs",
        description="Empty: the proxy's own, 10 for the MLP and the small ResNets",
    )


def search_inputs(ctx, inputs, name="proxy"):
    """What a β search trains (the parameter ``name``), and how often."""
    description = (
        "β is searched for that: a network that learns from the images alone can need another one than a model on "
        f"embeddings. {ANY}"
    )
    _proxy_input(ctx, inputs, name, SEARCHED_FOR, "What you will train on the labels", description)
    repeats_input(ctx, inputs)


def _proxy_input(ctx, inputs, name, proxies, label, description):
    prop = suggestions_input(inputs, name, proxies, label, default="auto", described=True, description=description)
    check(prop, check_proxy, ctx.params.get(name) or "auto", name)


def repeats_input(ctx, inputs):
    whole_number_input(
        ctx, inputs, "repeats", 3, 1, 50, "Repeats of the search", "Held-out splits per β; more give a steadier curve"
    )
