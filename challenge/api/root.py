"""The one NinjaAPI object: its routers, its answers to errors, its OpenAPI document."""

from __future__ import annotations

from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

import scoring
from challenge.api import problems
from challenge.api.describe import complete
from challenge.api.endpoints import (
    challenges,
    comparisons,
    desk_admission,
    desk_announcements,
    desk_documents,
    desk_finals,
    desk_messages,
    desk_phases,
    desk_rescores,
    desk_roles,
    desk_teams,
    exports,
    kits,
    leaderboard_states,
    organisers,
    people,
    phases,
    results,
    service,
    team_pages,
    teams,
)
from challenge.api.endpoints import submissions as submissions_room
from challenge.api.endpoints import webhooks as webhooks_room
from challenge.api.json_bodies import LimitedParser

DESCRIPTION = """\
The HTTP API of the challenge platform, the same for participants' scripts, the `flair` command
and organisers.

* **Authentication**: `Authorization: Bearer flair_…` with a token made on the account page. Each
  operation names the scope that it needs.
* **Refusals** are `application/problem+json` with a stable `code`, a sentence in the language of
  `Accept-Language` (English, French) and plain `params`; `GET /api/v1/problems` lists every code.
* **Lists** come in pages: pass `next_cursor` back as `cursor`.
* **ETag**: send it back as `If-None-Match` and get 304 while nothing changed. Every `GET` has its
  `HEAD`. Larger answers go out as gzip to who accepts it with a token, or as a reader.
* **Limits**: above the rate, 429 with `Retry-After`.
* **Values** about hidden labels are multiples of a step while any phase on them is open: rounded at
  random to one of the two beside the value, the same for the same predictions; null where a class
  is too small to show. Domains, matrix and precision follow when all phases on them are closed.
"""


class Api(NinjaAPI):
    """NinjaAPI with our OpenAPI document."""

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """The document, completed with what ninja cannot know (errors, uploads, security)."""
        return complete(super().get_openapi_schema(**kwargs), self)

    def get_openapi_operation_id(self, operation: Any) -> str:
        """The function's name: what a generated client calls its method."""
        return str(operation.view_func.__name__)


api = Api(
    title="FLAIR challenges",
    version=scoring.__version__,
    description=DESCRIPTION,
    urls_namespace="api",
    docs_url=None,
    openapi_url="/openapi.json",
    parser=LimitedParser(),
)
problems.install(api)
api.add_router("", service.router)
api.add_router("", people.router)
api.add_router("", challenges.router)
api.add_router("", phases.router)
api.add_router("", kits.router)
api.add_router("", leaderboard_states.router)
api.add_router("", teams.router)
api.add_router("", team_pages.router)
api.add_router("", submissions_room.router)
api.add_router("", webhooks_room.router)
api.add_router("", organisers.router)
api.add_router("", desk_roles.router)
api.add_router("", desk_admission.router)
api.add_router("", desk_teams.router)
api.add_router("", desk_messages.router)
api.add_router("", desk_announcements.router)
api.add_router("", desk_phases.router)
api.add_router("", desk_rescores.router)
api.add_router("", desk_finals.router)
api.add_router("", desk_documents.router)
api.add_router("", exports.router)
api.add_router("", results.router)
api.add_router("", comparisons.router)
api.add_router("", desk_finals.results_router)
api.add_router("", desk_documents.team_router)
