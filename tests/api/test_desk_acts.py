"""What a page does, an operation of the API does too, by the same service; or it says why not."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import challenge

PACKAGE = Path(challenge.__file__).parent
# Acts of pages that no operation of the API does, and why.
PERSON = "the person's own sign-in and tokens: a token that leaked must not end them"
FILE = "a whole challenge is written by a script as a challenge file (manage.py load_challenge)"
LAUNCH = "once, by an owner who reads the launch check on the same page"
SEALED = "labels are sealed by the page, or by `python -m scoring seal` for its upload there"
KIT = "a kit is a file of images: its page takes it, and manage.py publish_kit for a script"
SITE = "pages of the site, written once by its operator, who reads the preview beside the form"
OPERATOR = "runs on the site's own accelerator, and is nothing that other sites have"
PAGES_ONLY = {
    "accounts.accounts.delete": PERSON,
    "accounts.tokens.revoke": PERSON,
    "challenges.bundle_import.create": FILE,
    "challenges.cloning.clone": FILE,
    "challenges.drafts.create": FILE,
    "challenges.drafts.delete": LAUNCH,
    "challenges.drafts.rename": LAUNCH,
    "challenges.kits.publish": KIT,
    "challenges.kits.remove": KIT,
    "challenges.page_editing.remove": FILE,
    "challenges.page_editing.restore": FILE,
    "challenges.page_editing.save": FILE,
    "challenges.publishing.set_published": LAUNCH,
    "challenges.task_editing.set_task": FILE,
    "labels.label_jobs.cancel": SEALED,
    "labels.label_jobs.create": SEALED,
    "labels.label_jobs.requeue": SEALED,
    "site_pages.save": SITE,
    "training.seeds.start": OPERATOR,
    "training.training_runs.cancel": OPERATOR,
    "training.training_runs.requeue_failed": OPERATOR,
}


def acts(folder: str) -> dict[str, str]:
    """Return the services with an ``actor`` that modules below a folder call, with one of these."""
    found: dict[str, str] = {}
    for file in sorted((PACKAGE / folder).rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        names = imported_services(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = called(node.func, names)
            if name is not None and has_actor(name):
                found[name.removeprefix("challenge.services.")] = file.name
    return found


def imported_services(tree: ast.Module) -> dict[str, str]:
    """Return what a module imports from the services, by the name that it has there."""
    return {
        one.asname or one.name: f"{node.module}.{one.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("challenge.services")
        for one in node.names
    }


def called(function: ast.expr, names: dict[str, str]) -> str | None:
    """Return the full name of a service that is called."""
    if isinstance(function, ast.Name):
        return names.get(function.id)
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        module = names.get(function.value.id)
        return f"{module}.{function.attr}" if module else None
    return None


def has_actor(name: str) -> bool:
    module, _dot, function = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except ModuleNotFoundError:  # a class's method
        return False
    return inspect.isfunction(found) and "actor" in inspect.signature(found).parameters


def test_what_pages_do_the_api_does_too_or_a_reason_is_given() -> None:
    by_pages, by_api = acts("web"), acts("api")
    assert len(by_pages) > 40, "the calls are not found any more"
    lacking = {name: file for name, file in by_pages.items() if name not in by_api}
    assert set(lacking) == set(PAGES_ONLY), lacking
