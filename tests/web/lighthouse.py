"""Lighthouse against a running, seeded site: ``python -m tests.web.lighthouse URL``.

Home, challenge, data, leaderboard and a submission must reach 95 for performance, accessibility,
best practices and search engines. Lighthouse comes from npm into ``.data/lighthouse`` the first
time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from challenge.embedded.data_folder import ROOT
from tests.web.browser import FLAGS, chromium, executable, open_page, sign_in
from tests.web.screenshots import BOARD, EMAIL, PASSWORD

PACKAGE = "lighthouse@12.8.2"
FOLDER = ROOT / ".data" / "lighthouse"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
WANTED = 0.95


def install() -> Path:
    """Return Lighthouse's command, installed where it is missing."""
    command = FOLDER / "node_modules" / ".bin" / "lighthouse"
    if not command.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        # Without a package.json here, npm would install into the one of the repository.
        (FOLDER / "package.json").write_text('{"private": true}')
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", PACKAGE], cwd=FOLDER, check=True
        )
    return command


def a_session(site: str) -> tuple[str, str]:
    """Return the Cookie header of a signed-in participant and a submission's address."""
    with chromium() as browser:
        context, page, _ = open_page(browser, site)
        sign_in(page, EMAIL, PASSWORD)
        page.goto("/challenges/flair-1/submissions/")
        link = page.locator("tr:has-text('60') th a").first.get_attribute("href") or ""
        cookies = "; ".join(f"{one['name']}={one['value']}" for one in context.cookies())
        context.close()
    return cookies, link


def measure(command: Path, address: str, *, cookies: str = "") -> dict[str, float]:
    """Return the scores (0..1) of one page."""
    flags = " ".join(["--headless=new", *FLAGS])
    words = [str(command), address, "--quiet", "--output=json", f"--chrome-flags={flags}"]
    words.append(f"--only-categories={','.join(CATEGORIES)}")
    if cookies:
        words.append(f"--extra-headers={json.dumps({'Cookie': cookies})}")
    environment = os.environ | {"CHROME_PATH": str(executable())}
    done = subprocess.run(words, env=environment, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"Lighthouse ended with {done.returncode}: {done.stderr[-1500:]}")
    categories = json.loads(done.stdout)["categories"]
    return {name: float(categories[name]["score"]) for name in CATEGORIES}


def main() -> int:
    """Print a table; exit 1 when a page falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="address of a running, seeded site")
    site = parser.parse_args().url.rstrip("/")
    command = install()
    cookies, submission = a_session(site)
    short = 0
    for address, header in (
        ("/", ""),
        ("/challenges/flair-1/", ""),
        ("/challenges/flair-1/data", ""),
        (BOARD, ""),
        (submission, cookies),
    ):
        scores = measure(command, site + address, cookies=header)
        short += sum(score < WANTED for score in scores.values())
        shown = "  ".join(f"{name} {score * 100:.0f}" for name, score in scores.items())
        print(f"{address:60} {shown}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
