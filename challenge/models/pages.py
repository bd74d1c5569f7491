"""The Markdown pages of a challenge and of the site, and what each of them said before."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from challenge.models.challenges import Challenge


class Page(models.Model):
    """One Markdown page of a challenge in one language."""

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="pages")
    slug = models.SlugField()
    language = models.CharField(max_length=8)
    title = models.CharField(max_length=200)
    markdown = models.TextField()
    sort_order = models.IntegerField(default=0)

    class Meta:
        ordering = ["sort_order", "slug"]
        constraints = [
            models.UniqueConstraint(
                fields=["challenge", "slug", "language"], name="page_once_per_language"
            )
        ]

    def __str__(self) -> str:
        return f"{self.challenge.slug}/{self.slug}.{self.language}"


class PageVersion(models.Model):
    """What a page said, kept for good: written with every change, whoever made it.

    ``number`` counts from 1 for each page and language. Versions outlive their page, so that one
    that was removed can be restored. ``author`` None is a file that was loaded.
    """

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="page_versions")
    slug = models.SlugField()
    language = models.CharField(max_length=8)
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    markdown = models.TextField()
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["challenge", "slug", "language", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["challenge", "slug", "language", "number"], name="page_version_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.challenge.slug}/{self.slug}.{self.language} v{self.number}"


class SitePage(models.Model):
    """What one of the site's own pages says in one language: a version, written once, kept.

    The highest ``number`` of a page and a language is shown; without one the text that comes with
    the platform is.
    """

    class Slug(models.TextChoices):
        ACCESSIBILITY = "accessibility", _("Accessibility")
        LEGAL = "legal", _("Legal notice")
        PRIVACY = "privacy", _("Privacy and cookies")

    slug = models.SlugField(choices=Slug.choices)
    language = models.CharField(max_length=8)
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    markdown = models.TextField()
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["slug", "language", "-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["slug", "language", "number"], name="site_page_version_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.slug}.{self.language} v{self.number}"
