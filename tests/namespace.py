"""Command lines that run unit tests in a mount namespace of their own, as the current user or as root."""

import os
import pwd
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from mynn_control.programs import GROUPS, PATH, QUICK, SUDO, needed

ROOT = Path(__file__).resolve().parents[1]


def command_line(command: Sequence[str], *, as_root: bool, bare: bool) -> list[str]:
    """Return a command line that runs a command with root's rights or the current user's. sudo may ask for a password.

    bare: as on a computer that has only what `make test` installs. All other programs of the Makefile's table are
    hidden, so that a test that needs one of them fails on each computer, and not only on those that lack it.

    Tests with root's rights also work as `nobody`, who may not enter a user's home. So they find this folder at its
    place, but nothing else of the home around it.
    """
    user = pwd.getpwuid(0 if as_root else os.geteuid())
    # sudo changes these. The user could not replace what root compiles here.
    environment = [
        f"HOME={user.pw_dir}",
        f"USER={user.pw_name}",
        f"LOGNAME={user.pw_name}",
        f"PATH={os.environ['PATH']}",
    ]
    environment += ["PYTHONDONTWRITEBYTECODE=1"] if as_root else []
    become = f"setpriv --reuid={user.pw_uid} --regid={user.pw_gid} --init-groups"
    script = [*(hiding() if bare else []), *(opening() if user.pw_uid == 0 else []), f'exec {become} -- "$@"']
    sudo = [*SUDO[:1], "--preserve-env", "--"] if SUDO else []
    return [*sudo, "env", *environment, "unshare", "--mount", "sh", "-ec", "\n".join(script), "bare", *command]


def hiding() -> Iterator[str]:
    """Yield commands that replace each program with a file that cannot be run."""
    for thing in needed(*GROUPS).keys() - needed(*QUICK).keys():
        if program := shutil.which(thing, path=PATH):
            yield f"mount --bind /dev/null {quote(program)}"


def opening() -> Iterator[str]:
    """Yield commands that let every account enter this folder."""
    if closed := [folder for folder in ROOT.parents if ~folder.stat().st_mode & stat.S_IXOTH]:
        here = quote(str(ROOT))
        yield f"mount --bind {here} /mnt"
        yield f"mount -t tmpfs -o mode=755 none {quote(str(closed[-1]))}"
        yield f"mkdir -p {here}"
        yield f"mount --bind /mnt {here}"
        yield f"cd {here}"
