"""Keep a network that a browser has sent: `python -I -m mynn_server.keep_network <NETWORK`, in the student's folder.

It prints JSON: `kept`, whether it is kept, and `message`, a sentence. The exit status is 2 if it cannot be used.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import zipfile

from mynn.words import _

LARGEST = 4 << 20  # bytes: 600 hidden nodes
LARGEST_UNPACKED = 4 * LARGEST
TESTED = 1000  # digits: those that the page /try/ tests with
UNUSABLE = 2


def check_size(sent: bytes) -> None:
    """Refuse, as a ValueError, an archive that would unpack to more than a network needs."""
    try:
        with zipfile.ZipFile(io.BytesIO(sent)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ValueError(_("This is not an .npz file, so it is not kept.")) from error
    if size > LARGEST_UNPACKED:
        raise ValueError(_("This unpacks to more than a network needs, so it is not kept."))


def keep(sent: bytes) -> tuple[bool, str]:
    """Keep it; return whether it is kept, and the sentence."""
    from mynn.lesson.networks import kept
    from mynn.mnist import LABELS, PIXELS, mnist_folder, read_csv
    from mynn.network import NeuralNetwork

    with tempfile.NamedTemporaryFile(prefix="network-", suffix=".npz") as file:
        file.write(sent)
        file.flush()
        try:
            network = NeuralNetwork.load(file.name)
        except ValueError as error:
            why = str(error).removeprefix(f"{file.name}: ")
            raise ValueError(f"{why[:1].upper()}{why[1:]}.") from error
    inputs, outputs = network.wih.shape[1], len(network.who)
    if (inputs, outputs) != (PIXELS, LABELS):
        sentence = _("This network has {inputs} inputs and {outputs} outputs, not 784 and 10.")
        raise ValueError(sentence.format(inputs=inputs, outputs=outputs))
    return kept(network, read_csv(mnist_folder() / "mnist_test.csv", limit=TESTED))


def main() -> int:
    """Run the program."""
    sent = sys.stdin.buffer.read(LARGEST + 1)
    status = 0
    try:
        check_size(sent)
        is_kept, message = keep(sent)
    except ValueError as error:
        status, is_kept, message = UNUSABLE, False, str(error)
    print(json.dumps({"kept": is_kept, "message": message}))
    return status


if __name__ == "__main__":
    sys.exit(main())
