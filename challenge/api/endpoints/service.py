"""What concerns no challenge: the catalogue of problems, the receipts' public key."""

from __future__ import annotations

from typing import Literal

from django.http import HttpRequest
from ninja import Router, Schema

from challenge.api.access import ANYONE
from challenge.errors import CATALOGUE
from challenge.services import signing
from scoring.engine.problems import problems as engine_problems

router = Router(tags=["service"])


class RefusalKind(Schema):
    """A refusal of the API: its code, HTTP status and message with %(named)s parameters."""

    status: int
    message: str


class Catalogue(Schema):
    """Every code that can be met, with its texts."""

    refusals: dict[str, RefusalKind]
    archive_problems: dict[str, dict[str, str]]


class ReceiptKey(Schema):
    """The public key that verifies receipts."""

    algorithm: Literal["Ed25519"] = "Ed25519"
    key: str
    signed: str = "the canonical JSON (sorted keys, no spaces, UTF-8) of `receipt`"


@router.get("/problems", response=Catalogue, auth=ANYONE)
def list_problems(request: HttpRequest) -> dict[str, object]:  # noqa: ARG001  ninja's own name
    """Every problem code: refusals of the API, and what can be wrong with an archive."""
    return {
        "refusals": {
            code: {"status": kind.status, "message": str(kind.message)}
            for code, kind in CATALOGUE.items()
        },
        "archive_problems": engine_problems.export(),
    }


@router.get("/receipts/key", response=ReceiptKey, auth=ANYONE)
def get_receipt_key(request: HttpRequest) -> dict[str, str]:  # noqa: ARG001  ninja's own name
    """The public key with which anyone can verify a receipt offline."""
    return {"key": signing.public_key()}
