"""A challenge's announcements, and the records of a phase's leaderboard, as Atom feeds."""

from __future__ import annotations

from datetime import datetime

from django.contrib.syndication.views import Feed
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.feedgenerator import Atom1Feed
from django.utils.translation import gettext

from challenge.formats import percent_text
from challenge.models import Announcement, Challenge, Phase
from challenge.selectors import languages, pages, progress
from challenge.selectors.progress import Point
from challenge.services import links
from challenge.templatetags import markdown_html
from challenge.web.requests import page_view

LATEST = 50


class _SteadyAtom(Atom1Feed):
    def latest_post_date(self) -> datetime:
        """Answer the newest entry's time; without entries the challenge's, not Django's "now".

        A document that changes with every request is never found in a reader's cache.
        """
        created: datetime = self.feed["challenge_created_at"]
        return super().latest_post_date() if self.items else created


class _Announcements(Feed):  # type: ignore[type-arg]  # not generic at run time
    feed_type = _SteadyAtom

    def get_object(self, request: HttpRequest, slug: str) -> Challenge:
        return pages.challenge_by_slug(slug, user=request.user)

    def title(self, challenge: Challenge) -> str:
        name = languages.text_in(challenge.title, languages.current(), default=challenge.slug)
        return gettext("%(challenge)s: news") % {"challenge": name}

    def link(self, challenge: Challenge) -> str:
        return links.absolute(reverse("web:news", args=[challenge.slug]))

    def feed_url(self, challenge: Challenge) -> str:
        return links.absolute(reverse("web:news-feed", args=[challenge.slug]))

    def feed_extra_kwargs(self, challenge: Challenge) -> dict[str, datetime]:
        return {"challenge_created_at": challenge.created_at}

    def items(self, challenge: Challenge) -> list[Announcement]:
        return list(pages.news(challenge).select_related("challenge")[:LATEST])

    def item_title(self, item: Announcement) -> str:
        return languages.text_in(item.title, languages.current())

    def item_description(self, item: Announcement) -> str:
        page = links.absolute(reverse("web:challenge", args=[item.challenge.slug]))
        return markdown_html.render(languages.text_in(item.body, languages.current()), page)

    def item_link(self, item: Announcement) -> str:
        news = reverse("web:news", args=[item.challenge.slug])
        return links.absolute(f"{news}#n{item.pk}")

    def item_pubdate(self, item: Announcement) -> datetime | None:
        return item.published_at


class _Records(Feed):  # type: ignore[type-arg]  # not generic at run time
    """What raised a phase's best mIoU, as anybody may read it: the chart's records."""

    feed_type = _SteadyAtom

    def get_object(self, request: HttpRequest, slug: str, phase_slug: str) -> Phase:
        return pages.phase_by_slug(slug, phase_slug, user=request.user)

    def title(self, phase: Phase) -> str:
        words = {
            "challenge": languages.text_in(phase.challenge.title, languages.current()),
            "phase": languages.text_in(phase.name, languages.current(), default=phase.slug),
        }
        return gettext("%(challenge)s, %(phase)s: records") % words

    def link(self, phase: Phase) -> str:
        return links.absolute(reverse("web:progress", args=[phase.challenge.slug, phase.slug]))

    def feed_url(self, phase: Phase) -> str:
        return links.absolute(reverse("web:records-feed", args=[phase.challenge.slug, phase.slug]))

    def feed_extra_kwargs(self, phase: Phase) -> dict[str, datetime]:
        return {"challenge_created_at": phase.challenge.created_at}

    def items(self, phase: Phase) -> list[tuple[Phase, Point]]:
        records = [(phase, point) for point in progress.of_phase(phase) if point.best]
        return records[: -LATEST - 1 : -1]

    def item_title(self, item: tuple[Phase, Point]) -> str:
        return f"{item[1].team}: {percent_text(item[1].miou)} %"

    def item_description(self, item: tuple[Phase, Point]) -> str:
        return gettext("The best mIoU so far.")

    def item_link(self, item: tuple[Phase, Point]) -> str:
        return f"{self.link(item[0])}#{item[1].at:%Y%m%dT%H%M%S%f}"

    def item_pubdate(self, item: tuple[Phase, Point]) -> datetime:
        return item[1].at


_announcements = _Announcements()
_records = _Records()


@page_view("GET", "HEAD")
def announcements(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Answer the latest :data:`LATEST` announcements, in the reader's language."""
    answer: HttpResponse = _announcements(request, slug=slug)
    return answer


@page_view("GET", "HEAD")
def records(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponseBase:
    """Answer a phase's latest :data:`LATEST` records, in the reader's language."""
    answer: HttpResponse = _records(request, slug=slug, phase_slug=phase_slug)
    return answer
