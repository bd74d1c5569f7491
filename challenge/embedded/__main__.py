"""``python -m challenge.embedded keep -- CMD … | status | stop | urls``."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

from challenge.embedded import client
from challenge.embedded.data_folder import DataFolder, default_folder


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m challenge.embedded", description="This checkout's embedded servers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    keep = commands.add_parser("keep", help="run a command while the servers run")
    keep.add_argument("arguments", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    commands.add_parser("urls", help="print DATABASE_URL and REDIS_URL of the servers")
    commands.add_parser("status", help="say whether they run (exit 0) or not (exit 3)")
    commands.add_parser("stop", help="stop them, whoever uses them")
    chosen = parser.parse_args()
    data = DataFolder(default_folder())
    if chosen.command == "keep":
        command = chosen.arguments[1:] if chosen.arguments[:1] == ["--"] else chosen.arguments
        if not command:
            parser.error("give a command after --")
        return run(command)
    if chosen.command == "urls":
        print(f"DATABASE_URL={data.database_url}\nREDIS_URL={data.redis_url}")
        return 0
    connection = client.connect_if_running(data)
    if connection is None:
        print("The embedded servers of this checkout are not running.")
        return 0 if chosen.command == "stop" else 3
    print(f"The embedded servers run under process {connection.supervisor_pid} in {data.folder}.")
    if chosen.command == "stop":
        os.kill(connection.supervisor_pid, signal.SIGTERM)
        connection.wait_closed()
        print("Stopped.")
    return 0


def run(command: list[str]) -> int:
    """The command's own exit code (128 + n where signal n ended it)."""
    try:
        client.connect_if_unset()
    except client.EmbeddedServersError as error:
        print(error, file=sys.stderr)
        return 1
    process = subprocess.Popen(command)
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent it to the command too, which decides
        return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
