"""What the verification found, for a program: JUnit's XML."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET

from ansible_collections.mynn.pi.plugins.module_utils.text import printable_lines
from tests.provisioned.results import FAILS, NOT_ASKED, PiResult


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
            ET.SubElement(case, "error", message=printable_lines(result.lost))
        for check in result.checks:
            case = ET.SubElement(
                suite, "testcase", classname=f"{result.pi}.{check.role}", name=check.name, time=f"{check.seconds:.2f}"
            )
            if check.figures:
                properties = ET.SubElement(case, "properties")
                for name, figure in check.figures.items():
                    ET.SubElement(properties, "property", name=printable_lines(name), value=printable_lines(figure))
            if check.outcome == FAILS:
                ET.SubElement(case, "failure", message=printable_lines(check.reason))
            elif check.outcome == NOT_ASKED:
                ET.SubElement(case, "skipped", message=printable_lines(check.reason))
    ET.indent(suites)
    return ET.ElementTree(suites)
