"""The report: one page for a teacher, and JUnit's XML for a program.

python -m tests.provisioned.report RESULTS REPORT INVENTORY PI...
"""

from __future__ import annotations

import shlex
import sys
import time
import xml.etree.ElementTree as ET
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tests.provisioned.pi import project
from tests.provisioned.results import FAILS, HOLDS, NOT_ASKED, PiResult, load, save


def page(results: list[PiResult], inventory: Path) -> str:
    """The page: self-contained HTML, in which everything that came from a Pi is escaped."""
    usual = inventory == project() / "inventory.ini"
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["by_role"] = lambda checks: [(role, list(group)) for role, group in groupby(checks, _role)]
    environment.filters["duration"] = duration
    return environment.get_template("report.html.j2").render(
        results=results,
        ready=[result for result in results if result.ready],
        lost=[result for result in results if result.lost],
        faulty=[result for result in results if not result.ready and not result.lost],
        when=time.strftime("%A, %-d %B %Y, %H:%M", time.localtime(max(result.ended for result in results))),
        seconds=max(result.ended for result in results) - min(result.began for result in results),
        command=".venv/bin/ansible-playbook" + ("" if usual else f" -i {shlex.quote(str(inventory))}"),
        HOLDS=HOLDS,
        FAILS=FAILS,
        NOT_ASKED=NOT_ASKED,
    )


def junit(results: list[PiResult]) -> ET.ElementTree[ET.Element]:
    """JUnit's XML, a test suite for each Pi."""
    suites = ET.Element("testsuites", name="mynn-pi")
    for result in results:
        suite = ET.SubElement(
            suites,
            "testsuite",
            name=result.pi,
            tests=str(len(result.checks) or 1),
            failures=str(len(result.those(FAILS))),
            errors=str(int(bool(result.lost) and not result.those(FAILS))),
            skipped=str(len(result.those(NOT_ASKED))),
            time=f"{result.ended - result.began:.2f}",
            timestamp=time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(result.began)),
        )
        if result.lost and not result.checks:
            case = ET.SubElement(suite, "testcase", classname=result.pi, name="reached", time="0")
            ET.SubElement(case, "error", message=result.lost)
        for check in result.checks:
            case = ET.SubElement(
                suite, "testcase", classname=f"{result.pi}.{check.role}", name=check.name, time=f"{check.seconds:.2f}"
            )
            if check.figures:
                properties = ET.SubElement(case, "properties")
                for name, figure in check.figures.items():
                    ET.SubElement(properties, "property", name=name, value=str(figure))
            if check.outcome == FAILS:
                ET.SubElement(case, "failure", message=check.reason)
            elif check.outcome == NOT_ASKED:
                ET.SubElement(case, "skipped", message=check.reason)
    ET.indent(suites)
    return ET.ElementTree(suites)


def duration(seconds: float) -> str:
    """A time as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"


def _role(check: object) -> str:
    return str(getattr(check, "role", ""))


def main(arguments: list[str]) -> None:
    """Read the Pis' results and write index.html and junit.xml."""
    work, report, inventory = map(Path, arguments[:3])
    results = [load(name, work) for name in arguments[3:]]
    report.mkdir(parents=True, exist_ok=True)
    for result in results:
        save(result, work)  # also where its tests broke off, for who reads on
    (report / "index.html").write_text(page(results, inventory), encoding="utf-8")
    junit(results).write(report / "junit.xml", encoding="utf-8", xml_declaration=True)


if __name__ == "__main__":
    main(sys.argv[1:])
