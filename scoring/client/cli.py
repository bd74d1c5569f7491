"""Arguments of ``flair``, and how a command ends."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from scoring import __version__, terminal
from scoring.client import commands, downloads
from scoring.client.errors import CommandError, Exit
from scoring.client.output import Output, plain
from scoring.client.texts import LANGUAGES, language, say
from scoring.engine import resource_limits
from scoring.engine.version import ENGINE_VERSION

Command = Callable[[argparse.Namespace, Output], Exit]

EPILOG = """\
exit codes: 0 done; 1 not valid, or declined by the server; 2 wrong usage; 3 server out of reach;
4 not logged in; 5 still running at --timeout; 6 the scorer failed; 130 interrupted.
environment: FLAIR_SERVER, FLAIR_TOKEN, FLAIR_LANG, FLAIR_CONFIG_DIR, FLAIR_CACHE_DIR.
"""


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--server", help="address of the site (else FLAIR_SERVER, else the last)")
    common.add_argument("--json", action="store_true", help="one JSON object on stdout")
    common.add_argument("--quiet", action="store_true", help="no progress, no remarks")
    common.add_argument("--lang", choices=LANGUAGES, help="language of messages (else LANG)")

    root = argparse.ArgumentParser(
        prog="flair",
        description="Check, pack, submit and follow predictions of a land-cover challenge.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"flair {__version__} (score engine {ENGINE_VERSION})"
    root.add_argument("--version", action="version", version=version)
    actions = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, parents=[common], help=text, description=text)
        action.set_defaults(run=run)
        return action

    login = add("login", commands.login, "keep a token of your account page for a server")
    login.add_argument("--token", help="the token; - reads it from stdin; else it is asked for")
    login.add_argument("--forget", action="store_true", help="delete the stored token")

    add("phases", commands.list_phases, "list the phases of a site, as other commands name them")

    check = add("check", commands.check, "look for everything the server would refuse")
    check.add_argument("predictions", help="zip or folder")
    _add_phase(check)
    check.add_argument("--offline", action="store_true", help="use the list fetched before")

    pack = add("pack", commands.pack, "make a valid, reproducible zip out of a folder")
    pack.add_argument("folder", help="predictions at any depth")
    _add_phase(pack)
    pack.add_argument("-o", "--out", help="the zip's name (else the folder's, with .zip)")
    pack.add_argument("--force", action="store_true", help="overwrite")
    pack.add_argument("--offline", action="store_true", help="use the list fetched before")

    submit = add("submit", commands.submit, "check, upload, hand in, wait for the score")
    submit.add_argument("predictions", help="zip")
    _add_phase(submit)
    submit.add_argument("--method", required=True, help="name of the method")
    submit.add_argument("--description", default="", help="what the method does")
    submit.add_argument("--external-data", default="", help="data used beyond the challenge's")
    submit.add_argument("--code-url", default="")
    submit.add_argument("--paper-url", default="")
    submit.add_argument("--baseline-seconds", type=float, help="inference time of the baseline")
    submit.add_argument("--method-seconds", type=float, help="of this method, same hardware")
    submit.add_argument("--hardware", default="", help="on which both were measured")
    submit.add_argument("--mail", action="store_true", help="e-mail me the result")
    submit.add_argument("--no-check", action="store_true", help="upload without checking first")
    submit.add_argument("--no-wait", action="store_true", help="end once it is accepted")
    submit.add_argument("--timeout", type=float, help="seconds to wait for the score")

    status = add("status", commands.status, "one submission, or the latest ones")
    status.add_argument("submission", nargs="?", help="its id")
    status.add_argument("--phase", help="only of this phase, such as flair-1/test")
    status.add_argument("--limit", type=int, default=20, help="how many")
    status.add_argument("--wait", action="store_true", help="wait for the score")
    status.add_argument("--timeout", type=float, help="seconds to wait for the score")

    board = add("leaderboard", commands.leaderboard, "a phase's leaderboard")
    board.add_argument("phase", help="such as flair-1/test")
    board.add_argument("--csv", action="store_true", help="as CSV")

    fetch = add("download", commands.download, "fetch lists, kits, score cards, receipts, data")
    fetch.add_argument("what", choices=downloads.KINDS)
    fetch.add_argument(
        "name",
        help="ids, task, kit: a phase; data: a challenge; score, receipt, archive: a submission",
    )
    fetch.add_argument("--file", help="data: which file; without it they are listed")
    fetch.add_argument("-o", "--out", help="file or folder")
    fetch.add_argument("--force", action="store_true", help="overwrite")
    return root


def _add_phase(action: argparse.ArgumentParser) -> None:
    action.add_argument("--phase", required=True, help="challenge/phase, such as flair-1/test")


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    terminal.prepare()
    args = parser().parse_args(argv)
    output = Output(lang=args.lang or language(), as_json=args.json, quiet=args.quiet)
    command: Command = args.run
    try:
        return int(command(args, output))
    except CommandError as error:
        return _fail(error, output)
    except KeyboardInterrupt:
        text = say("interrupted", output.lang)
        _complain({"code": "interrupted", "message": text, "file": None}, text, output)
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read us has gone (`flair leaderboard | head`); nothing is wrong.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        return int(Exit.OK)
    except OSError as error:
        if error.filename is None:
            reason = resource_limits.describe(error)
            return _fail(CommandError("no-access", path=args.command, reason=reason), output)
        reason = error.strerror or str(error)
        return _fail(CommandError("no-access", path=error.filename, reason=reason), output)


def _fail(error: CommandError, output: Output) -> int:
    _complain(error.to_json(output.lang), error.text(output.lang), output)
    return int(error.exit_code)


def _complain(problem: dict[str, Any], text: str, output: Output) -> None:
    if output.as_json:
        output.result({"errors": [problem]})
    else:
        sys.stderr.write(f"flair: {plain(text)}\n")
