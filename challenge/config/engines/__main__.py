"""``python -m challenge.config.engines keep -- CMD … | status | stop | urls``."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

from challenge.config.engines import holder
from challenge.config.engines.places import Place, default_folder


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m challenge.config.engines", description="This checkout's embedded engines."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    keep = commands.add_parser("keep", help="run a command while the engines are up")
    keep.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    commands.add_parser("urls", help="print DATABASE_URL and REDIS_URL of the engines")
    commands.add_parser("status", help="say whether they run (exit 0) or not (exit 3)")
    commands.add_parser("stop", help="stop them, whoever holds them")
    chosen = parser.parse_args()
    place = Place(default_folder())
    if chosen.command == "keep":
        words = chosen.words[1:] if chosen.words[:1] == ["--"] else chosen.words
        if not words:
            parser.error("give a command after --")
        return run(words)
    if chosen.command == "urls":
        print(f"DATABASE_URL={place.database_url}\nREDIS_URL={place.redis_url}")
        return 0
    held = holder.join(place)
    if held is None:
        print("The engines of this checkout are not running.")
        return 0 if chosen.command == "stop" else 3
    print(f"The engines run under process {held.keeper_pid} in {place.folder}.")
    if chosen.command == "stop":
        os.kill(held.keeper_pid, signal.SIGTERM)
        held.wait_gone()
        print("Stopped.")
    return 0


def run(words: list[str]) -> int:
    """The command's own exit code (128 + n where signal n ended it)."""
    try:
        holder.hold_if_unset()
    except holder.EnginesError as error:
        print(error, file=sys.stderr)
        return 1
    process = subprocess.Popen(words)
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent it to the command too, which decides
        return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
