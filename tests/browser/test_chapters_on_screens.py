"""Every chapter of the built book in Chromium, opened from disk.

The other pages are in `test_other_pages_on_screens`: files run side by side.
"""

import pytest
from in_browser import MARKS, ROOT, problems_of

from vaedis_companion.book import executions

pytestmark = MARKS
# chapters have a number, appendices a letter
CHAPTERS = [name for name in executions.pages(ROOT) if not name[0].islower()]


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_on_every_screen(tab, name):
    assert problems_of(tab, name) == []
