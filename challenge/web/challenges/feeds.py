"""A challenge's announcements as an Atom feed."""

from __future__ import annotations

from datetime import datetime

from django.contrib.syndication.views import Feed
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.feedgenerator import Atom1Feed
from django.utils.translation import gettext

from challenge.models import Announcement, Challenge
from challenge.selectors import languages, pages
from challenge.services import links
from challenge.templatetags import markdown_html
from challenge.web.requests import page_view

LATEST = 50


class _AnnouncementsAtom(Atom1Feed):
    def latest_post_date(self) -> datetime:
        """Answer the newest entry's time; without entries the challenge's, not Django's "now".

        A document that changes with every request is never found in a reader's cache.
        """
        created: datetime = self.feed["challenge_created_at"]
        return super().latest_post_date() if self.items else created


class _Announcements(Feed):  # type: ignore[type-arg]  # not generic at run time
    feed_type = _AnnouncementsAtom

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


_announcements = _Announcements()


@page_view("GET", "HEAD")
def announcements(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Answer the latest :data:`LATEST` announcements, in the reader's language."""
    answer: HttpResponse = _announcements(request, slug=slug)
    return answer
