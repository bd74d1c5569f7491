"""Chromium for the pages' tests: where it is, how it is started, what it must not say."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from challenge.embedded.data_folder import ROOT

# Ends a wait for what never comes; no measure of speed, so far above what a loaded machine needs.
WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def executable() -> Path:
    """Chromium: ``CHROMIUM_PATH``, else Debian's, else the one that ``make test`` unpacked.

    Raises FileNotFoundError: a browser test fails without a browser, it is never skipped.
    """
    named = os.environ.get("CHROMIUM_PATH")
    candidates = [named, shutil.which("chromium"), ROOT / ".data" / "chromium" / "chromium"]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            return Path(candidate)
    raise FileNotFoundError("found no Chromium; install it (apt-get install chromium)")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser.

    Playwright's loop lives in this thread, in which Django then refuses to query; tests take turns
    with it and do nothing at once, so the refusal is switched off meanwhile.
    """
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        with _launched() as browser:
            yield browser
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@contextmanager
def _launched() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def open_page(
    browser: Browser,
    site: str,
    *,
    width_px: int = 1440,
    language: str = "en",
    theme: str = "light",
    scripts: bool = True,
) -> tuple[BrowserContext, Page, list[str]]:
    """A fresh visitor; the list fills with what the console complains of."""
    context = browser.new_context(
        viewport={"width": width_px, "height": 900},
        locale="en-GB",
        java_script_enabled=scripts,
        base_url=site,
    )
    context.add_cookies(
        [
            {"name": "django_language", "value": language, "url": site},
            {"name": "theme", "value": theme, "url": site},
        ]
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return context, page, complaints


def sign_in(page: Page, email: str, password: str) -> None:
    """Sign in through the form."""
    page.goto("/accounts/login/")
    page.fill("[name=login]", email)
    page.fill("[name=password]", password)
    page.click("main form button")
    expect(page).not_to_have_url(re.compile("/login/"))
