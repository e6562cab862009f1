"""The desk's tab Wall: what students show is on the projector's page, and off it at once."""

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.support.browser import open_browser
from tests.support.classroom import Classroom, as_student, on, until
from tests.support.desk import SHOW, open_desk

TAKE_DOWN = "from mynn import wall; wall.take_down()"
NAMES = {"pi-01": "Ada", "pi-02": "Bo", "pi-03": "Cleo"}
BEGIN, FOLLOW = 60_000, 15_000  # milliseconds until the first answers are there, and until a change is seen


def test_students_are_on_the_wall_and_off_it(three: Classroom, tmp_path: Path) -> None:
    """One Pi is switched on later, and another falls silent: neither holds up the others, nor loses its card."""
    pis = {name: on(three, name) for name in NAMES}
    for name, pi in pis.items():
        as_student(pi, SHOW.format(name=NAMES[name]))
    three.fleet.stop("pi-03")
    try:
        with open_desk(three.inventory, tmp_path) as (url, _), open_browser() as browser:
            page = browser.pages[0]
            page.goto(f"{url}/wall")
            cards, footer = page.locator("article h2"), page.locator("footer")
            expect(cards).to_have_count(2, timeout=BEGIN)
            expect(cards.first).to_have_text(re.compile("Ada *95.3"))
            expect(page.locator("article").first.locator(".digits img")).to_have_count(10)
            expect(footer).to_contain_text("2 of 3 Pis answer")
            three.fleet.start("pi-03")
            expect(page.locator("article", has_text="Cleo")).to_be_visible(timeout=BEGIN)
            three.fleet.freeze("pi-02")
            as_student(pis["pi-01"], TAKE_DOWN)
            expect(page.locator("article", has_text="Ada")).to_have_count(0, timeout=FOLLOW)
            # A link to what only root can read: nothing of it leaves the Pi.
            as_student(pis["pi-01"], "os.symlink('/etc/shadow', 'on_the_wall.json')")
            expect(footer).to_contain_text("2 of 3 Pis answer", timeout=2 * BEGIN)
            expect(cards).to_have_text([re.compile("Bo"), re.compile("Cleo")])
            page.get_by_role("button", name="Take Bo off the wall").click()
            expect(page.locator("article", has_text="Bo")).to_have_count(0)
        # What ran on the Pis has ended, too.
        until(lambda: three.ssh("pgrep -f '[p]ython3.mitogen'").returncode == 1)
    finally:
        three.fleet.thaw("pi-02")
        for pi in pis.values():
            pi.ssh("sudo rm -f /home/student/notebooks/on_the_wall.json")
