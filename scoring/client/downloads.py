"""What can be fetched: patch lists, practice kits, score cards, receipts, archives, the data."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from scoring.client import http_client, phases
from scoring.client.api import Api
from scoring.client.errors import CommandError, Exit
from scoring.client.output import Output, size
from scoring.client.texts import say

CHUNK_BYTES = 1024 * 1024
KINDS = ("ids", "task", "kit", "score", "receipt", "archive", "data")


def run(args: argparse.Namespace, *, api: Api, output: Output) -> Exit:
    """Fetch one thing; ``args.what`` says which, ``args.name`` of what."""
    if args.what == "data":
        return _data(args, api=api, output=output)
    if args.what == "ids":
        text = api.text(f"{phases.address(args.name)}/patches", format="csv")
        out = _out(args, f"{args.name.replace('/', '-')}-patches.csv")
        return _save(text, out, output=output)
    if args.what == "task":
        task = api.get(f"{phases.address(args.name)}/task")
        return _save(
            json.dumps(task), _out(args, f"{args.name.replace('/', '-')}-task.json"), output=output
        )
    if args.what == "kit":
        return _kit(args, api=api, output=output)
    if args.what == "archive":
        out = _out(args, f"{args.name}.zip")
        _stream(f"submissions/{args.name}/archive", out, client=api.http, api=api, output=output)
        return _saved(out, output=output)
    document = api.get(f"submissions/{args.name}/{args.what}")
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return _save(text, _out(args, f"{args.name}-{args.what}.json"), output=output)


def _data(args: argparse.Namespace, *, api: Api, output: Output) -> Exit:
    files = api.get(f"challenges/{args.name}/downloads")["items"]
    if not args.file:
        output.result({"items": files})
        output.table(
            [
                (say("file", output.lang), False),
                (say("size", output.lang), True),
                ("", False),
                ("URL", False),
            ],
            [
                (
                    file["file"],
                    file["size"],
                    file["content"].get(output.lang, file["content"].get("en", "")),
                    file["url"],
                )
                for file in files
            ],
            whole=(0, 3),
        )
        return Exit.OK
    chosen = {file["file"]: file["url"] for file in files}
    if args.file not in chosen:
        raise CommandError("download-unknown", name=args.file, known=", ".join(chosen))
    out = _out(args, Path(urlsplit(chosen[args.file]).path).name or args.file)
    # A client of its own: the token is for our server, not for where the data lies.
    with http_client.make_client(follow_redirects=True, timeout=30.0) as client:
        _stream(chosen[args.file], out, client=client, api=api, output=output)
    return _saved(out, output=output)


def _kit(args: argparse.Namespace, *, api: Api, output: Output) -> Exit:
    """Fetch a phase's practice kit; what arrived is kept only if it has the announced digest."""
    address = f"{phases.address(args.name)}/kit"
    kit = api.get(address)
    out = _out(args, str(kit["file_name"]))
    # Named by the digest: another kit meanwhile is begun anew.
    draft = out.with_name(f"{out.name}.{kit['sha256'][:12]}")
    if not draft.exists():
        _stream(f"{address}/archive", draft, client=api.http, api=api, output=output)
    with draft.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != kit["sha256"]:
        draft.unlink()
        raise CommandError(
            "digest-differs", exit_code=Exit.UNREACHABLE, path=str(out), found=found,
            wanted=kit["sha256"],
        )  # fmt: skip
    draft.replace(out)
    return _saved(out, output=output)


def _out(args: argparse.Namespace, name: str) -> Path:
    out = Path(args.out) if args.out else Path(name)
    if out.is_dir():
        out /= name
    if out.exists() and not args.force:
        raise CommandError("file-exists", path=str(out))
    return out


def _save(text: str, out: Path, *, output: Output) -> Exit:
    out.write_text(text, encoding="utf-8", newline="")
    return _saved(out, output=output)


def _saved(out: Path, *, output: Output) -> Exit:
    count = out.stat().st_size
    output.say("saved", path=out, size=size(count))
    output.result({"path": str(out), "bytes": count})
    return Exit.OK


def _stream(url: str, out: Path, *, client: httpx.Client, api: Api, output: Output) -> None:
    """Fetch a large file; what an earlier try left behind is continued where the server can."""
    draft = out.with_name(out.name + ".part")
    done = draft.stat().st_size if draft.exists() else 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    try:
        with client.stream("GET", url, headers=headers) as answer:
            if not answer.is_success:
                answer.read()
                raise api.refusal(answer)
            if answer.status_code != 206:
                done = 0
            total = done + int(answer.headers.get("Content-Length", 0))
            with (
                draft.open("ab" if done else "wb") as file,
                output.bar("downloading", is_bytes=True) as step,
            ):
                for chunk in answer.iter_raw(CHUNK_BYTES):
                    file.write(chunk)
                    done += len(chunk)
                    step(done, total)
    except httpx.TransportError as error:
        raise api.unreachable(error) from error
    if total and done != total:
        raise CommandError(
            "unreachable", exit_code=Exit.UNREACHABLE, server=url, reason=f"{done} of {total} bytes"
        )
    os.replace(draft, out)  # noqa: PTH105  one word with its meaning: atomically
