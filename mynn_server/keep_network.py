"""Save a network sent by a browser: `python -I -m mynn_server.keep_network RATE RULE <WEIGHTS`.

Without arguments, it only reads the saved one. Run this in the student's folder. It prints JSON: `kept`, whether the
network was saved, and `message`, a sentence; or the saved network, as packed.js stores one. The exit status is 2 if the
network is unusable.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from typing import Any

from mynn.translation import _

LARGEST = 4 << 20  # bytes: 1,300 hidden nodes
TESTED = 1000  # digits, the same that the page /try/ tests with
UNUSABLE = 2


def keep(sent: bytes, rate: str, rule: str) -> dict[str, Any]:
    """Save the network; return whether it was saved, and a sentence. ValueError: the network is unusable."""
    import numpy as np

    from mynn.checkpoint import from_browser
    from mynn.lesson.networks import kept
    from mynn.mnist import LABELS, PIXELS, mnist_folder, read_csv
    from mynn.network import NeuralNetwork

    wih, who = from_browser(sent)
    network = NeuralNetwork(PIXELS, len(wih), LABELS, float(rate), rule=rule, dtype=np.float32)
    network.wih, network.who = wih, who
    is_kept, message = kept(network, read_csv(mnist_folder() / "mnist_test.csv", limit=TESTED))
    return {"kept": is_kept, "message": message}


def own() -> dict[str, Any]:
    """Return the saved network. ValueError: there is none for digits."""
    from mynn.checkpoint import for_browser
    from mynn.lesson.networks import OWN
    from mynn.mnist import require_digits
    from mynn.network import NeuralNetwork

    network = NeuralNetwork.load(OWN)
    require_digits(network.wih, network.who)
    weights = b64encode(for_browser(network.wih, network.who)).decode()
    return {"weights": weights, "learningRate": network.learning_rate, "rule": network.rule}


def main(*about: str) -> int:
    """Run the program."""
    try:
        answer = keep(sys.stdin.buffer.read(LARGEST + 1), *about) if about else own()
    except ValueError as error:
        sentence = _("Not kept: {error}.") if about else _("No network of yours can be taken home: {error}.")
        print(json.dumps({"kept": False, "message": sentence.format(error=error)}))
        return UNUSABLE
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
