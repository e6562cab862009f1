"""How a network presents itself: the call that makes it, and in a notebook also how it learnt."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mynn.translation import _, in_figures

if TYPE_CHECKING:
    from mynn.network import NeuralNetwork

LEVELS = "▁▂▃▄▅▆▇█"  # of the small curve


def call(network: NeuralNetwork) -> str:
    """Return the call that makes such a network, untrained: the `repr`."""
    hidden_nodes, input_nodes = network.wih.shape
    sizes = f"input_nodes={input_nodes}, hidden_nodes={hidden_nodes}, output_nodes={len(network.who)}"
    how = f"learning_rate={network.learning_rate!r}, seed={network.seed!r}, rule={network.rule!r}"
    return f"{type(network).__name__}({sizes}, {how}, dtype={network.wih.dtype.name!r})"


def html(network: NeuralNetwork) -> str:
    """Return that call as HTML. Below it, a small curve of the network's history, and its last score, if it has any."""
    code, scores = f"<code>{escape(call(network))}</code>", network.history
    if not scores:
        return code
    least, most = min(scores), max(scores)
    curve = "".join(LEVELS[round((len(LEVELS) - 1) * (score - least) / (most - least or 1))] for score in scores)
    parts = [in_figures(f"{score:.1%}") for score in scores]
    said = escape(_("recognised after each epoch: {parts}").format(parts="; ".join(parts)))
    return f'{code}<br><span role="img" aria-label="{said}">{curve}</span> {parts[-1]}'
