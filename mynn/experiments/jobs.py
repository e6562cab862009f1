"""Parallel jobs: on this computer's processors, or on any executor, such as a class of Pis (cluster.py).

A job is pure: names and numbers say what to train on which digits, and its result depends on nothing else. Any
computer with mynn and MNIST can do it, or repeat it if another one is lost.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mynn.errors import DataError
from mynn.mnist import Examples, mnist_folder, read_csv

Job = TypeVar("Job")
Result = TypeVar("Result")
HELD_OUT = 5000  # training digits kept back as a validation set
_stopped = threading.Event()  # tells this process's threads to end; never set on another computer


@dataclass(frozen=True)
class Digits:
    """The choice of digits for an experiment; each computer reads them from its own copy of MNIST.

    `folder`    the folder of MNIST's CSVs; None for the default folder of the computer that does the job
    `count`     read only this many training digits; None for all
    `held_out`  test on the last 5,000 training digits, and train without them
    """

    folder: Path | None = None
    count: int | None = None
    held_out: bool = False

    def read(self) -> tuple[Examples, Examples]:
        """Return the training digits and the test digits. Raises DataError if data is missing or bad."""
        folder = self.folder or mnist_folder()
        training = read_csv(folder / "mnist_train.csv", self.count)
        if not self.held_out:
            return training, read_csv(folder / "mnist_test.csv")
        if len(training) <= HELD_OUT:
            raise DataError(f"{HELD_OUT} of {len(training)} digits cannot be held out; use the whole of MNIST")
        return training[:-HELD_OUT], training[-HELD_OUT:]


def go_on(*_: object) -> None:
    """End the calling job if the user has stopped the experiment or another job has failed. Call it regularly."""
    if _stopped.is_set():
        raise CancelledError


def side_by_side(
    work: Callable[[Job], Result], jobs: list[Job], executor: Executor | None = None
) -> Iterator[tuple[Job, Result]]:
    """Run `work` on each job in parallel; yield each job with its result once it is done.

    jobs      may grow meanwhile: jobs added after a result are started
    executor  None for threads on this computer's processors. Other executors pickle the work and the jobs: a
              module's function, and dataclasses
    """
    _stopped.clear()
    waiting: dict[Future[Result], Job] = {}
    begun = 0
    # Threads suffice: the compiled kernel releases the GIL. Without it, this is probably a Pi Zero, with one core.
    with nullcontext(executor) if executor else ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            while begun < len(jobs) or waiting:
                waiting |= {pool.submit(work, job): job for job in jobs[begun:]}
                begun = len(jobs)
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield waiting.pop(future), future.result()
        except CancelledError as error:
            raise DataError("the workers were lost before all jobs were done; run this again to resume") from error
        finally:
            _stopped.set()
            for future in waiting:
                future.cancel()
