"""What the OpenAPI document says beyond what ninja reads from the operations.

Every refusal as problem JSON, security that is optional where it is, the language header, and the
tus endpoints, which are plain views in a package of their own.
"""

from __future__ import annotations

from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from challenge.api.access import DESCRIPTION, Anyone, Scoped
from challenge.api.types import FieldError, Problem

PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
READ_STATUSES = ("400", "401", "403", "404", "405", "409", "422", "429", "500")
WRITE_STATUSES = ("400", "401", "403", "404", "405", "409", "410", "413", "422", "429", "500")
PHRASES = {
    "400": "The request cannot be read",
    "401": "Not logged in, or the token is not valid",
    "403": "Not allowed",
    "404": "Not there, or hidden from you",
    "405": "Not this method",
    "409": "The state of things does not allow it (any more)",
    "410": "Its time has passed",
    "411": "Content-Length is missing",
    "412": "Another version of tus",
    "413": "Too large",
    "415": "Another content type is wanted",
    "422": "Understood and declined",
    "423": "Another request writes to this upload",
    "429": "Too many requests, or no quota left",
    "460": "The checksum does not match",
    "500": "Our fault",
    "503": "Busy; see Retry-After",
    "507": "The disk is full",
}
METHODS = ("get", "post", "put", "patch", "delete")
BASE64 = "([A-Za-z0-9+/]{4}){0,64}([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)"
METADATA_PAIR = rf"[!-+\--~]+( {BASE64})?"
TUS = "https://tus.io/protocols/resumable-upload"


def complete(schema: OpenAPISchema, api: NinjaAPI) -> OpenAPISchema:
    """The document with everything a client must know."""
    components = schema.setdefault("components", {})
    shapes = components.setdefault("schemas", {})
    for model in (FieldError, Problem):
        shape = model.model_json_schema(ref_template="#/components/schemas/{model}")
        shape.pop("$defs", None)
        shapes[model.__name__] = shape
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": DESCRIPTION}
    }
    wanted = _scopes(api)
    for path, item in schema["paths"].items():
        for method in METHODS:
            if method in item:
                _complete_operation(item[method], method, access=wanted.get((path, method)))
    schema["paths"] |= _tus_paths()
    schema["servers"] = [{"url": "/"}]
    return schema


def _scopes(api: NinjaAPI) -> dict[tuple[str, str], Scoped]:
    schemas = {}
    for _prefix, router in api._routers:
        for path, view in router.path_operations.items():
            for operation in view.operations:
                for method in operation.methods:
                    access = next(iter(operation.auth_callbacks), None)
                    if isinstance(access, Scoped):
                        schemas["/api/v1" + path, method.lower()] = access
    return schemas


def _complete_operation(operation: dict[str, Any], method: str, *, access: Scoped | None) -> None:
    if access is None or isinstance(access, Anyone):
        operation["security"] = [{}, {"token": []}]
    else:
        operation["security"] = [{"token": []}]
        note = f"Scope: `{access.scope}`."
        operation["description"] = f"{operation.get('description', '')}\n\n{note}".strip()
    for parameter in operation.get("parameters", []):
        # ninja puts a schema's list of examples where OpenAPI wants named ones.
        parameter.pop("examples", None)
    statuses = READ_STATUSES if method == "get" else WRITE_STATUSES
    for status in statuses:
        operation["responses"][status] = _problem(status)


def _problem(status: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": PHRASES[status],
        "content": {"application/problem+json": {"schema": PROBLEM_REF}},
    }
    if status in {"429", "503"}:
        answer["headers"] = {
            "Retry-After": {"schema": {"type": "integer"}, "description": "seconds to wait"}
        }
    return answer


def _header(name: str, kind: dict[str, Any], *, required: bool, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "schema": kind,
        "description": text,
    }


def _tus_paths() -> dict[str, Any]:
    size = {"type": "integer", "minimum": 0, "maximum": 10**15}
    version = _header(
        "Tus-Resumable", {"type": "string", "enum": ["1.0.0"]}, required=True, text="tus version"
    )
    checksum = _header(
        "Upload-Checksum",
        {
            "type": "string",
            "pattern": f"^(sha1|sha256|md5|crc32) {BASE64}$",
        },
        required=False,
        text="`sha256` (or sha1, md5, crc32), a space, the digest in base64",
    )
    upload_id = {
        "name": "upload_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    }
    body = {
        "content": {
            "application/offset+octet-stream": {"schema": {"type": "string", "format": "binary"}}
        }
    }
    state = {
        name: {"schema": {"type": kind}, "description": text}
        for name, kind, text in (
            ("Upload-Offset", "integer", "bytes that are safely here"),
            ("Upload-Length", "integer", "bytes that were declared"),
            ("Upload-Expires", "string", "when what is not finished is deleted"),
        )
    }
    common: dict[str, Any] = {
        "tags": ["uploads"],
        "security": [{"token": []}],
        "externalDocs": {"url": TUS},
    }

    def operation(
        name: str, text: str, answers: dict[str, Any], refusals: tuple[str, ...], **more: Any
    ) -> dict[str, Any]:
        responses = answers | {status: _problem(status) for status in refusals}
        return {**common, "operationId": name, "summary": text, "responses": responses, **more}

    upload_fields: dict[str, Any] = {
        "id": {"type": "string", "format": "uuid"},
        "original_name": {"type": "string"},
        "length_bytes": {"type": "integer"},
        "offset_bytes": {"type": "integer"},
        "created_at": {"type": "string", "format": "date-time"},
        "expires_at": {"type": "string", "format": "date-time"},
    }
    listed = {
        "type": "object",
        "title": "Uploads",
        "required": ["items"],
        "properties": {
            "items": {
                "type": "array",
                "items": {
                    "type": "object",
                    "title": "UploadLine",
                    "required": list(upload_fields),
                    "properties": upload_fields,
                },
            }
        },
    }
    usual = ("400", "401", "403", "405", "412", "429", "500")
    return {
        "/api/v1/uploads": {
            "options": {
                **common,
                "security": [],
                "operationId": "upload_options",
                "summary": "What this server's tus can do",
                "responses": {"204": {"description": "See the Tus-* headers"}},
            },
            "get": operation(
                "upload_list",
                "One's uploads that were not submitted: to resume, or to delete. Scope: `submit`.",
                {
                    "200": {
                        "description": "The uploads, the newest first",
                        "content": {"application/json": {"schema": listed}},
                    }
                },
                ("401", "403", "405", "429", "500"),
            ),
            "post": operation(
                "upload_create",
                "Declare an upload, perhaps with its first bytes. Scope: `submit`.",
                {
                    "201": {
                        "description": "Created",
                        "headers": {
                            "Location": {"schema": {"type": "string"}},
                            **state,
                        },
                    }
                },
                (*usual, "404", "409", "411", "413", "415", "460", "503", "507"),
                parameters=[
                    version,
                    _header("Upload-Length", size, required=True, text="the file's size, bytes"),
                    _header(
                        "Upload-Metadata",
                        {"type": "string", "pattern": f"^{METADATA_PAIR}(,{METADATA_PAIR})*$"},
                        required=False,
                        text=(
                            "pairs of a key, a space and a value in base64, separated by commas: "
                            "`filename`; `phase` (`flair-1/test`), so that what the phase would "
                            "refuse is refused before the first byte; `purpose` `labels` for "
                            "sealed labels of that phase, by its owners"
                        ),
                    ),
                    checksum,
                ],
            ),
        },
        "/api/v1/uploads/{upload_id}": {
            "parameters": [upload_id],
            "head": operation(
                "upload_offset",
                "Where to resume. Scope: `submit`.",
                {"200": {"description": "The state of the upload", "headers": state}},
                (*usual, "404", "410"),
                parameters=[version],
            ),
            "patch": operation(
                "upload_append",
                "Append bytes at the offset. Scope: `submit`.",
                {"204": {"description": "Appended", "headers": state}},
                (*usual, "404", "409", "410", "411", "413", "415", "423", "460", "503", "507"),
                parameters=[
                    version,
                    _header("Upload-Offset", size, required=True, text="where these bytes begin"),
                    checksum,
                ],
                requestBody=body,
            ),
            "delete": operation(
                "upload_delete",
                "Forget an upload. Scope: `submit`.",
                {"204": {"description": "Deleted"}},
                (*usual, "404", "410", "423"),
                parameters=[version],
            ),
        },
    }
