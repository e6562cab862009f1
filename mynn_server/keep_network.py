"""Save a network sent by a browser: `python -I -m mynn_server.keep_network RATE RULE <WEIGHTS`.

Run this in the student's folder. It prints JSON: `kept`, whether the network was saved, and `message`, a sentence. The
exit status is 2 if the network is unusable.
"""

from __future__ import annotations

import json
import sys

from mynn.translation import _

LARGEST = 4 << 20  # bytes: 1,300 hidden nodes
TESTED = 1000  # digits, the same that the page /try/ tests with
UNUSABLE = 2


def keep(sent: bytes, rate: str, rule: str) -> tuple[bool, str]:
    """Save the network; return whether it was saved, and a sentence. ValueError: the network is unusable."""
    import numpy as np

    from mynn.checkpoint import from_browser
    from mynn.lesson.networks import kept
    from mynn.mnist import LABELS, PIXELS, mnist_folder, read_csv
    from mynn.network import NeuralNetwork

    wih, who = from_browser(sent)
    network = NeuralNetwork(PIXELS, len(wih), LABELS, float(rate), rule=rule, dtype=np.float32)
    network.wih, network.who = wih, who
    return kept(network, read_csv(mnist_folder() / "mnist_test.csv", limit=TESTED))


def main(rate: str, rule: str) -> int:
    """Run the program."""
    status = 0
    try:
        is_kept, message = keep(sys.stdin.buffer.read(LARGEST + 1), rate, rule)
    except ValueError as error:
        status, is_kept, message = UNUSABLE, False, _("Not kept: {error}.").format(error=error)
    print(json.dumps({"kept": is_kept, "message": message}))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
