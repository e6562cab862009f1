"""Jobs side by side: on this computer's processors, or on any executor, such as a class of Pis (cluster.py).

A job is pure: it says in names and numbers what is to be trained, on which digits, and its result depends on nothing
else. So it can be done on any computer that has mynn and MNIST, and done again elsewhere if that one is lost.
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
HELD_OUT = 5000  # of the training digits: kept back, to choose settings by
_stopped = threading.Event()  # while threads of this process are to end, and never on another computer


@dataclass(frozen=True)
class Digits:
    """Names the digits of an experiment; each computer that does a job of it reads its own copy.

    `folder`    the folder of MNIST's CSVs; None for that of the computer where the job is done
    `count`     train on the first so many only; None for all
    `held_out`  test on the last 5,000 of the training digits, and train without them
    """

    folder: Path | None = None
    count: int | None = None
    held_out: bool = False

    def read(self) -> tuple[Examples, Examples]:
        """Return the digits to train on, and those to test on. Data that is missing or bad is a DataError."""
        folder = self.folder or mnist_folder()
        training = read_csv(folder / "mnist_train.csv", self.count)
        if not self.held_out:
            return training, read_csv(folder / "mnist_test.csv")
        if len(training) <= HELD_OUT:
            raise DataError(f"{HELD_OUT} of {len(training)} digits cannot be held out; use the whole of MNIST")
        return training[:-HELD_OUT], training[-HELD_OUT:]


def go_on(*_: object) -> None:
    """To be called by a job now and then: when the user gives up, or another job fails, it ends this one."""
    if _stopped.is_set():
        raise CancelledError


def side_by_side(
    work: Callable[[Job], Result], jobs: list[Job], executor: Executor | None = None
) -> Iterator[tuple[Job, Result]]:
    """Do the work for each job, and give the job with its result as soon as it is done.

    jobs      may grow meanwhile: after each result, what was added is begun
    executor  None for this computer's processors. For another one, the work and the jobs must be what pickle can
              name: a function of a module, and dataclasses
    """
    _stopped.clear()
    waiting: dict[Future[Result], Job] = {}
    begun = 0
    # Threads will do: the compiled kernel lets the others work. Without it a computer is most likely a Pi Zero.
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
