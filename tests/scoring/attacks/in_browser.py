"""Runs the page's reader in Chromium over archives in a folder: one page, many files."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypedDict

from challenge.embedded.data_folder import ROOT
from challenge.web.submissions import check_data
from scoring.engine.problems.problems import LANGUAGES
from scoring.engine.task.specification import TaskSpec
from tests.web.browser import chromium

_SCRIPTS = ROOT / "challenge" / "static" / "js"
_CHECK = """async ([names, documents]) => {
    const { checkArchive } = await import("/js/archive/check.js");
    const { describe } = await import("/js/archive/messages.js");
    const results = [];
    for (const name of names) {
        const file = await (await fetch(`/${name}`)).blob();
        const report = await checkArchive(file, documents.en);
        const say = (problem) => ({
            ...problem,
            texts: Object.fromEntries(Object.entries(documents).map(
                ([language, data]) => [language, describe(data, problem)])),
        });
        results.push({
            problems: report.problems.map(say),
            more: report.more,
            notes: report.notes.map(say),
            not_checked: report.notChecked && say(report.notChecked),
        });
    }
    return results;
}"""


class Report(TypedDict):
    """What the page's reader found; each problem has ``texts`` by language."""

    problems: list[dict[str, Any]]
    more: int
    notes: list[dict[str, Any]]
    not_checked: dict[str, Any] | None


def check(
    folder: Path, names: Sequence[str], *, spec: TaskSpec, ids: Sequence[str]
) -> list[Report]:
    """The reports of the archives `names` in `folder`, which gets a link to the scripts."""
    (folder / "js").symlink_to(_SCRIPTS)
    (folder / "index.html").write_text("<!doctype html><title>Reader</title>", encoding="utf-8")
    documents = {
        language: check_data.build(
            json.loads(json.dumps(spec.to_json())),
            ids=ids,
            archive_limit_bytes=spec.limits.archive_bytes,
            language=language,
            published={},
        )
        for language in LANGUAGES
    }
    with _serving(folder) as url, chromium() as browser:
        page = browser.new_page()
        page.goto(url)
        reports: list[Report] = page.evaluate(_CHECK, [list(names), documents])
    return reports


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name upstream)
        pass


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    """The address at which the folder is served to this machine alone."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
