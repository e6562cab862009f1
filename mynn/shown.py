"""How a network presents itself: the call that makes it, and in a notebook also how it learnt."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from mynn.translation import _, in_figures

if TYPE_CHECKING:
    from mynn.network import NeuralNetwork

WIDTH, HEIGHT = 120, 24  # of the small curve, in pixels


def call(network: NeuralNetwork) -> str:
    """Return the call that makes such a network, untrained: the `repr`."""
    hidden_nodes, input_nodes = network.wih.shape
    made = {
        "input_nodes": input_nodes,
        "hidden_nodes": hidden_nodes,
        "output_nodes": len(network.who),
        "learning_rate": network.learning_rate,
        "seed": network.seed,
        "rule": network.rule,
        "dtype": network.wih.dtype.name,
    }
    return f"{type(network).__name__}({', '.join(f'{name}={value!r}' for name, value in made.items())})"


def html(network: NeuralNetwork) -> str:
    """Return that call as HTML. Below it, a small curve of the network's history, and its last score, if it has any."""
    code, scores = f"<code>{escape(call(network))}</code>", network.history
    if not scores:
        return code
    least, step = min(scores), WIDTH / max(1, len(scores) - 1)
    rise = (HEIGHT - 4) / ((max(scores) - least) or 1)
    points = " ".join(f"{2 + step * n:.1f},{HEIGHT - 2 - rise * (s - least):.1f}" for n, s in enumerate(scores))
    parts = [in_figures(f"{score:.1%}") for score in scores]
    said = escape(_("recognised after each epoch: {parts}").format(parts="; ".join(parts)))
    style = "fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round"
    curve = f'<polyline points="{points}" style="{style}"/>'
    size = f'width="{WIDTH + 4}" height="{HEIGHT}"'
    return f'{code}<br><svg role="img" aria-label="{said}" {size}>{curve}</svg> {parts[-1]}'
