"""The commands, each a function of its arguments; the return value is the exit code."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from scoring.client import checking, credentials, downloads, packing, phases, scores, tus
from scoring.client.api import Api
from scoring.client.credentials import Account
from scoring.client.errors import CommandError, Exit
from scoring.client.output import Output, percent, size
from scoring.client.texts import say
from scoring.engine.scorer.verdicts import Rejected

POLL_FIRST_S = 0.5
POLL_MAX_S = 5.0
MOVING = frozenset({"queued", "scoring"})
RESULT_CODES = {
    "scored": Exit.OK,
    "rejected": Exit.REFUSED,
    "cancelled": Exit.REFUSED,
    "failed": Exit.FAILED,
}


def _account(args: argparse.Namespace, *, need_token: bool = True) -> Account:
    return credentials.find(server=args.server, need_token=need_token)


def _reader(args: argparse.Namespace) -> Account:
    """The account of a check: offline nothing is sent, so no token is looked for."""
    if args.offline:
        return Account(credentials.find_server(args.server), None)
    return _account(args, need_token=False)


def login(args: argparse.Namespace, output: Output) -> Exit:
    """Try a token and keep it."""
    server = credentials.find_server(args.server)
    if args.forget:
        credentials.forget(server)
        output.say("logged-out", server=server)
        output.result({"server": server, "logged_in": False})
        return Exit.OK
    if args.token == "-":
        token = sys.stdin.readline()
    else:
        token = args.token or getpass.getpass(say("token-prompt", output.lang))
    token = credentials.clean_token(token)
    if token is None:
        raise CommandError("token-empty")
    account = Account(server, token)
    with Api(account, lang=output.lang) as api:
        me = api.get("me")
    path = credentials.remember(account)
    output.say("logged-in", server=account.server, user=me["username"], path=path)
    output.result({"server": account.server, "logged_in": True, **me})
    return Exit.OK


def check(args: argparse.Namespace, output: Output) -> Exit:
    """Look for everything that the server would refuse."""
    account = _reader(args)
    path = Path(args.predictions)
    with Api(account, lang=output.lang) as api:
        task = phases.fetch(args.phase, api=api, offline=args.offline)
    with output.bar("checking") as step:
        verdict = checking.check(path, task=task, on_progress=step)
    checking.show(verdict, path=path, task=task, output=output)
    output.result(checking.as_json(verdict, path=path, task=task, lang=output.lang))
    return Exit.REFUSED if isinstance(verdict, Rejected) else Exit.OK


def pack(args: argparse.Namespace, output: Output) -> Exit:
    """Make a valid zip out of a folder of predictions."""
    account = _reader(args)
    folder = Path(args.folder)
    if not folder.is_dir():
        raise CommandError("file-missing", path=str(folder))
    with Api(account, lang=output.lang) as api:
        task = phases.fetch(args.phase, api=api, offline=args.offline)
    out = Path(args.out) if args.out else Path(f"{folder.resolve().name}.zip")
    with output.bar("packing") as step:
        packed = packing.pack(folder, out=out, spec=task.spec, force=args.force, on_progress=step)
    output.say(
        "packed",
        path=packed.path,
        count=packed.count,
        size=size(packed.size_bytes),
        sha256=packed.sha256,
    )
    if packed.ignored:
        output.say("pack-ignored", count=len(packed.ignored), first=packed.ignored[0])
    with output.bar("checking") as step:
        verdict = checking.check(packed.path, task=task, on_progress=step)
    checking.show(verdict, path=packed.path, task=task, output=output)
    output.result(
        {
            **checking.as_json(verdict, path=packed.path, task=task, lang=output.lang),
            "count": packed.count,
            "bytes": packed.size_bytes,
            "sha256": packed.sha256,
            "ignored": list(packed.ignored),
        }
    )
    return Exit.REFUSED if isinstance(verdict, Rejected) else Exit.OK


def submit(args: argparse.Namespace, output: Output) -> Exit:
    """Check, upload, hand in, wait for the score."""
    account = _account(args)
    path = Path(args.predictions)
    if path.is_dir():
        raise CommandError("submit-folder", path=str(path), phase=args.phase)
    if not path.is_file():
        raise CommandError("file-missing", path=str(path))
    with Api(account, lang=output.lang) as api:
        if not args.no_check:
            task = phases.fetch(args.phase, api=api)
            with output.bar("checking") as step:
                verdict = checking.check(path, task=task, on_progress=step)
            if isinstance(verdict, Rejected):
                checking.show(verdict, path=path, task=task, output=output)
                output.result(checking.as_json(verdict, path=path, task=task, lang=output.lang))
                return Exit.REFUSED
        if not args.no_wait:
            _quota(args.phase, api=api)  # a token that may not read the score is told so now
        submission = _hand_in(args, path, api=api, output=output)
        if args.no_wait:
            output.result(submission)
            return Exit.OK
        return _wait(submission, timeout_s=args.timeout, api=api, output=output)


def _hand_in(args: argparse.Namespace, path: Path, *, api: Api, output: Output) -> dict[str, Any]:
    file = tus.File.of(path)
    memory = tus.Memory(file, api.account.server)
    with output.bar("uploading", is_bytes=True) as step:
        upload = tus.upload(
            path,
            api=api,
            on_progress=step,
            on_resume=lambda done: output.say(
                "resuming", percent=100 * done // max(1, file.size_bytes)
            ),
            on_cut=lambda reason, wait_s: output.say("cut", reason=reason, wait_s=f"{wait_s:.1f}"),
            memory=memory,
            phase=args.phase,
        )
    facts = {
        "phase": args.phase,
        "upload": upload,
        "method_name": args.method,
        "method_description": args.description,
        "external_data": args.external_data,
        "code_url": args.code_url,
        "paper_url": args.paper_url,
        "baseline_seconds": args.baseline_seconds,
        "method_seconds": args.method_seconds,
        "hardware": args.hardware,
        "mail_on_result": args.mail,
    }
    submission = _submit_upload(facts, api=api)
    memory.forget()
    received, sent = submission["archive"]["sha256"], packing.sha256(path)
    if received != sent:
        raise CommandError(
            "state-elsewhere", exit_code=Exit.FAILED, path=str(path), found=received, wanted=sent
        )
    output.say(
        "submitted",
        number=submission["number"],
        team=submission["team"],
        id=submission["id"],
    )
    with suppress(CommandError):  # accepted is accepted, whatever happens to this question
        quota = _quota(args.phase, api=api)
        left = {
            name: "∞" if quota[key] is None else quota[key]
            for name, key in (("today", "left_today"), ("total", "left_total"))
        }
        output.say("left", **left)
    return submission


def _quota(phase: str, *, api: Api) -> dict[str, Any]:
    return dict(api.get(f"{phases.address(phase)}/quota"))


def _submit_upload(facts: dict[str, Any], *, api: Api) -> dict[str, Any]:
    """Hand in an upload; again where an earlier try was heard but its answer was lost."""
    for attempt in range(tus.FAILURES_MAX):
        try:
            return dict(api.post("submissions", facts))
        except CommandError as error:
            if error.code == "upload-used":
                known = error.params.get("params", {}).get("submission")
                return dict(api.get(f"submissions/{known}"))
            is_passing = error.code == "upload-not-ready" or (
                error.exit_code is Exit.UNREACHABLE and attempt < tus.FAILURES_MAX - 1
            )
            if not is_passing:
                raise
            time.sleep(min(tus.PAUSE_MAX_S, tus.PAUSE_FIRST_S * 2**attempt))
    raise CommandError("upload-not-ready", exit_code=Exit.UNREACHABLE, message="upload-not-ready")


def _wait(submission: dict[str, Any], *, timeout_s: float | None, api: Api, output: Output) -> Exit:
    started_s, pause_s = time.monotonic(), POLL_FIRST_S
    with output.bar("state-queued") as step:
        while submission["state"] in MOVING:
            step(submission["patches_done"], submission["patches_total"] or 1)
            waited_s = time.monotonic() - started_s
            if timeout_s is not None and waited_s > timeout_s:
                raise CommandError(
                    "still-running",
                    exit_code=Exit.STILL_RUNNING,
                    state=submission["state"],
                    doing=say(f"state-{submission['state']}", output.lang),
                    seconds=int(waited_s),
                    id=submission["id"],
                )
            time.sleep(pause_s)
            pause_s = min(POLL_MAX_S, pause_s * 1.3)
            try:
                submission = api.get(f"submissions/{submission['id']}")
            except CommandError as error:
                # A restart of the server is no end: the submission is safe there.
                if error.exit_code is not Exit.UNREACHABLE:
                    raise
    return _show_result(submission, api=api, output=output)


def _show_result(submission: dict[str, Any], *, api: Api, output: Output) -> Exit:
    """A submission's result, as its exit code."""
    state = submission["state"]
    score = None
    if state == "scored" and not submission["score_hidden"]:
        score = api.get(f"submissions/{submission['id']}/score")
    output.result({**submission, "score": score})
    if score is not None:
        scores.show(score, output=output)
    elif state == "scored":
        output.say("score-hidden")
    else:
        output.line(say(f"state-{state}", output.lang))
    for problem in submission["problems"]:
        output.line(problem["message"])
    if submission["problems_more"]:
        output.say("check-more", count=submission["problems_more"])
    return RESULT_CODES.get(state, Exit.OK)


def list_phases(args: argparse.Namespace, output: Output) -> Exit:
    """Every phase of every challenge: how it is named here, and until when it is open."""
    with Api(_account(args, need_token=False), lang=output.lang) as api:
        listed = api.get("challenges")
    output.result(listed)
    found = [phase for challenge in listed["items"] for phase in challenge["phases"]]
    if not found:
        output.say("no-phases")
    output.table(
        [
            (say("phase", output.lang), False),
            (say("state", output.lang), False),
            (say("closes", output.lang), False),
            (say("name", output.lang), False),
        ],
        [
            (
                phase["phase"],
                say(phases.window_code(phase), output.lang),
                (phase["closes_at"] or "–")[:16].replace("T", " "),
                phase["name"].get(output.lang) or phase["name"].get("en", ""),
            )
            for phase in found
        ],
        whole=(0, 1, 2),
    )
    return Exit.OK


def status(args: argparse.Namespace, output: Output) -> Exit:
    """One submission, or the latest ones."""
    with Api(_account(args), lang=output.lang) as api:
        if args.submission:
            submission = api.get(f"submissions/{args.submission}")
            if args.wait and submission["state"] in MOVING:
                return _wait(submission, timeout_s=args.timeout, api=api, output=output)
            return _show_result(submission, api=api, output=output)
        listed = api.get("submissions", phase=args.phase, limit=args.limit)
    output.result(listed)
    if not listed["items"]:
        output.say("no-submissions")
    output.table(
        [
            ("id", False),
            ("#", True),
            (say("phase", output.lang), False),
            (say("method", output.lang), False),
            (say("state", output.lang), False),
            ("mIoU, %", True),
            (say("date", output.lang), False),
        ],
        [
            (
                submission["id"],
                submission["number"],
                submission["phase"],
                submission["method_name"],
                say(f"state-{submission['state']}", output.lang),
                percent(submission["miou"]),
                submission["created_at"][:16].replace("T", " "),
            )
            for submission in listed["items"]
        ],
        whole=(0, 1, 2, 4, 5, 6),
    )
    return Exit.OK


def leaderboard(args: argparse.Namespace, output: Output) -> Exit:
    """A phase's leaderboard."""
    url = f"{phases.address(args.phase)}/leaderboard"
    with Api(_account(args, need_token=False), lang=output.lang) as api:
        if args.csv:
            sys.stdout.write(api.text(url, format="csv"))
            return Exit.OK
        board = api.get(url)
    output.result(board)
    if not board["rows"] and not board["baselines"]:
        output.say("no-ranks")
    scores.show_board(board, output=output)
    return Exit.OK


def download(args: argparse.Namespace, output: Output) -> Exit:
    """Fetch ids, a score card, a receipt, an archive, or files of the data set."""
    need_token = args.what not in {"ids", "task"}
    with Api(_account(args, need_token=need_token), lang=output.lang) as api:
        return downloads.run(args, api=api, output=output)
