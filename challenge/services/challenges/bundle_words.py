"""The lines of an import's report, in the page's language."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from challenge.services.challenges.bundle_reading import Note

WORDS = {
    "phase": _("Phase %(phase)s: opens %(opens)s (%(opens_utc)s)."),
    "phase-closes": _(
        "Phase %(phase)s: opens %(opens)s (%(opens_utc)s), closes %(closes)s (%(closes_utc)s)."
    ),
    "approval": _("Registrations need approval."),
    "hidden-board": _("Phase %(phase)s: its leaderboard is for organisers alone."),
    "key": _("“%(key)s” has no place here."),
    "migration": _("Phase %(phase)s: submissions were to move into it; here organisers move them."),
    "hidden-columns": _("Single hidden columns: here a leaderboard is shown whole."),
    "metrics": _("Metrics and columns of the leaderboard: here the mIoU ranks."),
    "page": _("Page “%(page)s”: its file %(file)s is missing or no text."),
    "links": _("Page “%(page)s”: %(n)s links or pictures that lead to files of the bundle."),
    "classes": _("Which classes there are: write them on the page Task."),
    "geometry": _("How large a patch is, and how files are named: read a sample on the page Task."),
    "ids": _("Which patches are to be predicted: list them on the page Task."),
    "labels": _("The labels: install them on a worker. Reference data of the bundle are not read."),
    "french": _("The texts in French: only English pages were made."),
    "phase-start": _(
        "Phase %(phase)s has no date to open (found: “%(written)s”): add it on the page Phases."
    ),
    "phase-end": _(
        "Phase %(phase)s would close at “%(written)s”, not after it opens: give its close."
    ),
    "date-ambiguous": _("Phase %(phase)s: “%(written)s” may be read in two ways."),
    "date-unreadable": _("Phase %(phase)s: “%(written)s” is no date that can be read."),
    "needed-page": _("The page “%(page)s” was not there: rewrite the one that stands in for it."),
}
KINDS = {"read": _("Read"), "asked": _("To do"), "dropped": _("Left out")}


def line(note: Note) -> str:
    """Return a note in words."""
    code = "phase-closes" if note.code == "phase" and "closes" in note.facts else note.code
    return str(WORDS[code]) % note.facts


def groups(notes: list[Note]) -> list[tuple[str, list[str]]]:
    """Return the notes under their headings: what is to do first."""
    found = []
    for kind in ("asked", "dropped", "read"):
        lines = [line(note) for note in notes if note.kind == kind]
        if lines:
            found.append((str(KINDS[kind]), lines))
    return found
