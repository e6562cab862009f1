"""The verb that asks a saved network: `mynn read`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mynn.arrays import Bytes, Floats
from mynn.cli.arguments import NETWORK, json_option
from mynn.cli.train import load_network
from mynn.errors import DataError
from mynn.mnist import SIDE, scale

OK, UNUSABLE = 0, 2  # exit codes, as the command's

SURE = 0.5  # an output above this is nearer to yes than to no
SHADES = " .:-=+*#%@"  # from background to ink


def add(verbs: Any) -> None:
    """Add the verb to the command's parser."""
    verb = verbs.add_parser(
        "read",
        parents=[json_option()],
        help="say which digits pictures show",
        description="Say which digit each picture shows: a PNG or JPEG, drawn or photographed, one digit in each.",
    )
    verb.add_argument("pictures", nargs="+", metavar="PICTURE")
    trained = "what `mynn train --save FILE` wrote (%(default)s)"
    verb.add_argument("--network", type=Path, default=NETWORK, metavar="FILE", help=trained)
    verb.add_argument("--show", action="store_true", help="draw each picture as the network sees it")
    verb.set_defaults(run=_read)


def _read(options: argparse.Namespace) -> int:
    """Say what each picture shows. One that cannot be used is named, and the others are read all the same."""
    network = load_network(options.network)
    from mynn.images import read_image  # only now: it loads scipy and Pillow, which takes a Pi Zero seconds

    code, found = OK, []
    for path in options.pictures:
        try:
            pixels = read_image(path)
        except DataError as error:
            print(f"mynn read: {error}", file=sys.stderr)
            code = UNUSABLE
            continue
        outputs = network.query(scale(pixels))
        found.append(
            {"picture": path, "answer": int(outputs.argmax()), "outputs": [round(float(o), 4) for o in outputs]}
        )
        if not options.json:
            print(f"{path}: {_said(outputs)}")
            if options.show:
                print(_sketch(pixels))
    if options.json:
        print(json.dumps({"network": str(options.network), "pictures": found}))
    return code


def _said(outputs: Floats) -> str:
    best, second = (int(label) for label in outputs.argsort()[:-3:-1])
    answer = f"a {best}" if outputs[best] > SURE else f"perhaps a {best}"
    return f"{answer} (output {outputs[best]:.2f}; the next is {second} with {outputs[second]:.2f})"


def _sketch(pixels: Bytes) -> str:
    """Return a digit drawn in letters, two to a pixel: on a terminal these are nearly square."""
    shades = np.array(list(SHADES))[pixels.reshape(SIDE, SIDE).astype(int) * len(SHADES) // 256]
    return "\n".join("".join(row).rstrip() for row in shades.repeat(2, axis=1))
