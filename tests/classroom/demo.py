"""`make demo`: virtual Pis come up, are provisioned over SSH, are verified, and can be browsed to."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

import yaml

from tests.classroom.classroom import ROOT, Classroom
from tests.virtual import Fleet


def stage(title: str, command: Sequence[str], times: dict[str, float]) -> None:
    """Run one stage with its output in sight; a failure is the end."""
    print(f"\n== {title}", flush=True)
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, check=False)
    times[title] = time.monotonic() - began
    if done.returncode:
        sys.exit(
            f"\nThe demo ended here: {title.lower()} failed, and why stands above. "
            "Run `make demo` again to carry on, or `make demo-stop` to clear up."
        )


def main() -> None:
    """Bring the demo up and say how to look at it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleet", type=int, default=1, help="how many Pis")
    parser.add_argument("--suite", default="trixie", help="trixie (Debian 13) or bookworm (Debian 12)")
    parser.add_argument("--os", default="debian", help="debian or raspios")
    parser.add_argument("--kind", default="auto", help="container, vm, or auto: vm where containers are not possible")
    options = parser.parse_args()
    classroom = Classroom(Fleet())
    times: dict[str, float] = {}
    settings = yaml.safe_load((ROOT / "playbooks/group_vars/all/settings.yml").read_text(encoding="utf-8")) or {}
    doors = dict(enumerate(settings.get("students", ["student"]), 8888))
    up = ["/usr/bin/python3", "-m", "tests.virtual", "up", "--fleet", str(options.fleet), "--suite", options.suite]
    up += ["--kind", options.kind, "--os", options.os, "--publish", ",".join(map(str, doors))]
    stage("Virtual Pis come up", up, times)
    stage("playbooks/site.yml provisions them over SSH", classroom.command("site"), times)
    stage("playbooks/verify.yml asks each whether it is what it should be", classroom.command("verify"), times)

    print("\n== How long it took")
    for title, seconds in times.items():
        print(f"{seconds:6.1f} s  {title}")
    print("\n== Your virtual classroom")
    for pi in classroom.fleet.list():
        for port, student in doors.items():
            password = classroom.password_of(f"{pi['name']}-{student}" if len(doors) > 1 else str(pi["name"]))
            print(f"{pi['name']}: browse to http://{pi['address']}:{port}, password {password} (account: {student})")
    state = classroom.fleet.state
    if state.group_vars.exists():
        print(
            f"sudo wants the password of {state.account}, which Ansible finds in {state.group_vars.relative_to(ROOT)}"
        )
    print("The report is dist/report/index.html. To stop: make demo-stop")


if __name__ == "__main__":
    main()
