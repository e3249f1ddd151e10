"""Every page of the built book that is no chapter in Chromium, opened from disk."""

import pytest
from in_browser import MARKS, ROOT, problems_of

from vaedis_companion.book import executions

pytestmark = MARKS
PAGES = [name for name in executions.pages(ROOT) if name[0].islower()]


@pytest.mark.parametrize("name", [*PAGES, "search", "genindex", "404"])
def test_a_page_on_every_screen(tab, name):
    assert problems_of(tab, name) == []
