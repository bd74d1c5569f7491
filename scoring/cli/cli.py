"""The arguments of ``python -m scoring``; `commands` runs them.

Exit status: 0 done, 1 the predictions are refused, 2 wrong usage or our own fault.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scoring import __version__, terminal
from scoring.cli import commands, sealing
from scoring.engine.version import ENGINE_VERSION

SPEC_HELP = "shipped challenge (flair-1, flair-2, flair-hub) or a challenge.toml [default: flair-1]"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run one command; the exit status."""
    terminal.prepare()
    arguments = vars(_parser().parse_args(argv))
    command = arguments.pop("command")
    try:
        return int(command(**arguments))
    except commands.CommandFailed as failed:
        print(f"scoring: {failed}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stdout = None  # the reader has gone; nothing may be flushed to it at exit
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scoring",
        description="Score, check and compare predictions of a segmentation challenge, offline.",
    )
    version = f"scoring {__version__} (score engine {ENGINE_VERSION})"
    parser.add_argument("--version", action="version", version=version)
    sub = parser.add_subparsers(required=True, metavar="COMMAND")

    score = sub.add_parser("score", help="score predictions against labels")
    score.set_defaults(command=commands.score)
    score.add_argument(
        "--labels", required=True, type=Path, help="folder with MSK_*.tif, or a packed file"
    )
    _add_predictions(score)
    _add_spec(score)
    score.add_argument("--evidence", type=Path, help="also write the counts of every patch here")
    _add_running(score)

    validate = sub.add_parser("validate", help="check predictions without any label")
    validate.set_defaults(command=commands.validate)
    validate.add_argument(
        "--ids",
        type=Path,
        help="expected patches: CSV with a column 'patch', folder or zip "
        "of files named by patch [default: the challenge's own list]",
    )
    _add_predictions(validate)
    _add_spec(validate)
    _add_running(validate)

    pack = sub.add_parser("pack", help="check masks and pack them into one file")
    pack.set_defaults(command=commands.pack)
    pack.add_argument("--labels", required=True, type=Path, help="folder with MSK_*.tif")
    pack.add_argument("--out", required=True, type=Path, help="the file to write")
    pack.add_argument("--ids", type=Path, help="expected patches, as for validate")
    _add_spec(pack)
    _add_json(pack)

    compare = sub.add_parser("compare", help="is A truly better than B? (paired bootstrap)")
    compare.set_defaults(command=commands.compare)
    compare.add_argument("a", type=Path, metavar="A", help="evidence file or score JSON")
    compare.add_argument("b", type=Path, metavar="B", help="evidence file or score JSON")
    compare.add_argument("--spec", help="task to compare under [default: the files' own]")
    _add_json(compare)

    rescore = sub.add_parser("rescore", help="score again from evidence, without the archive")
    rescore.set_defaults(command=commands.rescore)
    rescore.add_argument("evidence", type=Path, help="evidence file of an earlier score")
    rescore.add_argument("--ids", type=Path, help="these patches only, as for validate")
    rescore.add_argument("--spec", help="another task [default: the file's own]")
    _add_json(rescore)

    verify = sub.add_parser("verify-split", help="check an opened list of public zones")
    verify.set_defaults(command=commands.verify_split)
    verify.add_argument(
        "labels",
        type=Path,
        metavar="FILE",
        help="the answer of GET /api/v1/challenges/…/phases/…/labels after the reveal",
    )
    verify.add_argument(
        "--commitment", help="the one noted before the close [default: the file's own]"
    )
    _add_json(verify)

    _add_sealing(sub)

    bench = sub.add_parser("bench", help="measure the engine on made data")
    bench.set_defaults(command=commands.bench)
    bench.add_argument("--patches", type=int, default=600, help="how many [default: 600]")
    bench.add_argument("--uncompressed", action="store_true", help="uncompressed TIFFs instead")
    _add_json(bench)
    return parser


def _add_sealing(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    seal = sub.add_parser("seal", help="seal a zip of masks for a platform's labels worker")
    seal.set_defaults(command=sealing.seal)
    seal.add_argument("--masks", required=True, type=Path, help="zip of masks")
    seal.add_argument("--key", required=True, help="the labels worker's public key, or its file")
    seal.add_argument(
        "--fingerprint", required=True, help="of that key, from who runs the labels worker"
    )
    seal.add_argument("--recovery-key", help="a public key of your own, to open the file again")
    _add_context(seal)

    unseal = sub.add_parser("unseal", help="open a sealed zip of masks with the recovery key")
    unseal.set_defaults(command=sealing.unseal)
    unseal.add_argument("--sealed", required=True, type=Path, help="the sealed file")
    unseal.add_argument("--key-file", required=True, type=Path, help="the private key")
    _add_context(unseal)

    key = sub.add_parser("recovery-key", help="make a recovery key; print its public half")
    key.set_defaults(command=sealing.recovery_key)
    key.add_argument("--out", required=True, type=Path, help="the private key's file")


def _add_context(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--challenge", required=True, help="the challenge's name in addresses")
    parser.add_argument("--phase", required=True, help="the phase's name in addresses")
    parser.add_argument("--uploader", required=True, help="user name of who uploads the file")
    parser.add_argument("--out", required=True, type=Path, help="the file to write")


def _add_predictions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--predictions", required=True, type=Path, help="zip or folder")


def _add_spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", default="flair-1", help=SPEC_HELP)


def _add_running(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, help="decoders [default: one per core]")
    parser.add_argument(
        "--no-isolation",
        action="store_true",
        help="decode in this process, for your own files on a system without Landlock",
    )
    _add_json(parser)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", dest="as_json", help="one JSON object instead of text"
    )
