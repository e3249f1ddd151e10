"""What tests of the built book share: Chromium, where there is a book to open."""

import os

import pytest
from in_browser import CHROMIUM, HTML, Tab


@pytest.fixture(scope="module")
def chrome():
    if not (HTML / "index.html").exists():
        if os.environ.get("VAEDIS_BUILT_BOOK") == "required":
            pytest.fail("VAEDIS_BUILT_BOOK is set, but there is no _build/html; run make book.")
        pytest.skip("no _build/html; run make book first")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        options = ["--no-sandbox"] if os.getuid() == 0 else []
        with play.chromium.launch(executable_path=CHROMIUM, args=options) as browser:
            yield browser


@pytest.fixture(scope="module")
def context(chrome):
    with chrome.new_context(color_scheme="light", reduced_motion="reduce") as context:
        yield context


@pytest.fixture(scope="module")
def tab(context):
    return Tab(context)
