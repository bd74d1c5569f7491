"""What every page's frame shows: challenges, languages, themes, the palette's strip."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.functional import SimpleLazyObject

from challenge.models import User
from challenge.selectors import languages, maintenance_mode, pages, roles
from challenge.services import links
from challenge.web import site_pages
from challenge.web.middleware import LANGUAGE_PARAMETER, named_language

# IGN's twelve scored classes, in the order of the nomenclature
PALETTE = (
    "#db0e9a", "#938e7b", "#f80c00", "#a97101", "#1553ae", "#194a26",
    "#46e483", "#f3a60d", "#660082", "#55ff00", "#fff30d", "#e4df7c",
)  # fmt: skip


def addresses_by_language(plain: str) -> dict[str, str]:
    """Return the address of a page in each language, by the language's code."""
    return {code: f"{plain}?{LANGUAGE_PARAMETER}={code}" for code, _name in settings.LANGUAGES}


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return ``shell`` for the base template (``site`` is a name that allauth uses)."""
    plain = links.absolute(request.path)
    by_language = addresses_by_language(plain)
    return {
        "shell": {
            "challenges": SimpleLazyObject(pages.menu),
            "languages": settings.LANGUAGES,
            "language": languages.current(),
            "themes": User.Theme.choices,
            "theme": getattr(request, "theme", "auto"),
            "palette": PALETTE,
            "organises": SimpleLazyObject(lambda: roles.organises_any(request.user)),
            "site_name": settings.SITE_NAME,
            "organisation": settings.ORGANISATION_NAME,
            "organisation_url": settings.ORGANISATION_URL,
            "has_logo": settings.LOGO_FILE is not None,
            "site_pages": SimpleLazyObject(site_pages.foot_links),
            "contact_email": settings.CONTACT_EMAIL,
            "maintenance": SimpleLazyObject(maintenance_mode.current),
            "demo": settings.DEMO_MAILS_DIR is not None,
            "forum_url": settings.FORUM_URL,
            "address": by_language.get(named_language(request) or "", plain),
            "plain_address": plain,
            "addresses": by_language.items(),
            "picture": links.absolute(static("img/patch-036294.webp")),
        }
    }
