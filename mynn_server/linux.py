"""Linux interfaces: memory figures, process properties, safe file reads, and work under a student's account."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pwd
import re
import signal
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

SHORT = 60  # MB: with less free memory, a lesson may fail, so pages and the desk warn

PATIENCE = 900  # seconds for work under a student's account: a Pi Zero reads and hashes 10 MB a second
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36


def prctl(option: int, value: int) -> None:
    """Set a property of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"Linux refuses to set property {option} of this process")


def parents() -> dict[int, int]:
    """Return the parent of each process, by process id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            # The program's name, in brackets, may have spaces and brackets itself.
            found[int(path.parent.name)] = int(path.read_bytes().rpartition(b")")[2].split()[1])
    return found


def amounts(path: str | Path, unit: int = 1) -> dict[str, int]:
    """Return the figures of a Linux file such as /proc/meminfo, by name, multiplied by `unit`."""
    lines = re.findall(r"^(\w+):? +(\d+)", Path(path).read_text(encoding="ascii", errors="replace"), re.M)
    return {name: int(figure) * unit for name, figure in lines}


def memory(root: Path = Path("/")) -> dict[str, int]:
    """Return the Pi's total memory, and the memory that this process may still take, in MB.

    In a container, /proc/meminfo shows the host. The container's own memory is its outermost control group's limit.
    """
    of_pi = amounts(root / "proc/meminfo", 1024)
    free, total = of_pi["MemAvailable"], of_pi["MemTotal"]
    groups = root / "sys/fs/cgroup"
    unit = groups / (root / "proc/self/cgroup").read_text(encoding="utf-8").rpartition("::")[2].strip().lstrip("/")
    version_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
    version_2 = ("memory.max", "memory.current", "")
    for group, names in ((groups / "memory", version_1), (groups, version_2), (unit, version_2)):
        try:
            limit, used = (int((group / name).read_text()) for name in names[:2])
            # Linux drops file caches when memory is short, so they count as free.
            caches = amounts(group / "memory.stat")
            free = min(free, limit - used + sum(caches[f"{names[2]}{which}_file"] for which in ("active", "inactive")))
        except (OSError, ValueError, LookupError):
            continue  # there is no limit
        total = total if group == unit else min(total, limit)
    return {"free": max(free, 0) >> 20, "total": total >> 20}


def memory_of(process: object) -> int | None:
    """Return the memory that would be free without a process, in MB; None if unknown."""
    try:
        parts = amounts(f"/proc/{process}/smaps_rollup", 1024)
    except OSError:
        return None
    # Rounded up to 5 MB: a figure that changes all the time is hard to read.
    return -(-(parts["Pss"] + parts["SwapPss"]) // (5 << 20)) * 5


def memory_of_connection() -> int:
    """Return the memory, in MB, that will be free when the SSH connection that started this process ends."""
    family = parents()
    top, above = os.getpid(), os.getppid()
    while family.get(above, 0) > 1:  # up to sshd, which systemd started
        top, above = above, family[above]
    tree, more = set[int](), {top}
    while more:
        tree |= more
        more = {process for process, parent in family.items() if parent in more}
    held = 0
    for process in tree:
        with suppress(OSError, LookupError):  # it ended meanwhile
            held += amounts(f"/proc/{process}/smaps_rollup", 1024)["Pss"]
    return held >> 20


def killed_for_memory() -> int:
    """Return how many processes Linux has killed for lack of memory since boot."""
    return amounts("/proc/vmstat").get("oom_kill", 0)


def read_regular(path: Path, limit: int) -> bytes:
    """Return a regular file's bytes; empty for other files or above `limit`. OSError: missing, or a link."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(file, "rb") as opened:
        content = opened.read(limit + 1) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    return content if len(content) <= limit else b""


def as_student(account: pwd.struct_passwd, work: Callable[[], Any], patience: int = PATIENCE) -> Any:
    """Run `work` with this account's rights only, in a child process if needed. Return its result, as JSON has it.

    Only the effective ids change. A process whose real id is root accepts signals from root only, so no student can
    stop it.

    OSError: `work` raised an exception, or was killed. TimeoutError: `work` was ended after `patience` seconds.
    """
    if os.geteuid() == account.pw_uid:
        return json.loads(json.dumps(work()))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer: dict[str, Any] = {}
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(patience)  # in the child, so that it ends even if its parent is killed
            os.initgroups(account.pw_name, account.pw_gid)
            os.setresgid(-1, account.pw_gid, -1)
            os.setresuid(-1, account.pw_uid, -1)
            os.umask(0o022)
            answer["done"] = work()
        except Exception as error:
            reason = getattr(error, "strerror", None) or repr(error)
            answer["failed"] = (getattr(error, "errno", None), reason, str(getattr(error, "filename", None) or ""))
        finally:
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)  # without the parent's exit handlers
    os.close(writing)
    with os.fdopen(reading) as pipe:
        output = pipe.read()
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGALRM:
        raise TimeoutError(errno.ETIMEDOUT, "this took too long, and was ended")
    answer = json.loads(output) if output else {"failed": (errno.ECHILD, "its process was killed", "")}
    if "done" not in answer:
        raise OSError(*answer["failed"])
    return answer["done"]
