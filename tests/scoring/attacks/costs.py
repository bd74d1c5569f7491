"""What every known attack costs the scorer; ``python -m tests.scoring.attacks.costs`` prints it.

Part of `make bench`: fails where an attack takes more than `LIMIT_S` seconds of CPU, which holds on
an idle machine. The tests ask only that the cost is bounded.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scoring.engine.kernels import choice
from tests.scoring.attacks import accepted, by_programs, table, unlisted
from tests.scoring.attacks.accepted import OTHER_PIXELS
from tests.scoring.attacks.world import World

ATTACKS = [*table.ATTACKS, *unlisted.ATTACKS, *by_programs.ATTACKS]
ACCEPTED = [*accepted.ACCEPTED, *unlisted.ACCEPTED, *by_programs.ACCEPTED]
LIMIT_S = 2.0
SHOWN = 5
TIMEOUT_S = 600.0
ROOT = Path(__file__).resolve().parents[3]

Results = dict[str, dict[str, Any]]


def cases() -> dict[str, Callable[[World], bytes]]:
    """All attacks and what is accepted, by ``attack NAME`` and so on."""
    return (
        {"honest": lambda w: w.archive()}
        | {f"attack {a.name}": a.build for a in ATTACKS}
        | {f"accept {a.name}": a.build for a in (*ACCEPTED, *OTHER_PIXELS)}
    )


def write_archives(folder: Path) -> None:
    """Write every case as ``0.zip``, ``1.zip``, … and a packed ``truth``."""
    world = World()
    world.write_truth(folder / "truth")
    for number, build in enumerate(cases().values()):
        (folder / f"{number}.zip").write_bytes(build(world))


def measure(folder: Path, *options: str, kernels: str = choice.COMPILED) -> Results:
    """The runner's results, by case, of what `write_archives` wrote; `options` are the runner's."""
    names = list(cases())
    paths = [str(folder / f"{number}.zip") for number in range(len(names))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.scoring.attacks.runner", folder / "truth", *options],
        input="\n".join(paths).encode(),
        cwd=ROOT,
        env={**os.environ, choice.VARIABLE: kernels},
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-4000:])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip(names, rows, strict=True))


def main() -> int:
    """Print the costliest attacks; 1 where one takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        write_archives(Path(folder))
        results = measure(Path(folder))
    slowest = sorted(results, key=lambda name: -results[name]["cpu_s"])[:SHOWN]
    print(f"The {SHOWN} costliest of {len(results)} archives (at most {LIMIT_S:g} s of CPU each):")
    for name in slowest:
        peak = max(results[name]["scorer_bytes"], results[name]["decoder_bytes"])
        print(f"  {results[name]['cpu_s']:5.2f} s  {peak / 2**20:4.0f} MiB  {name}")
    return int(results[slowest[0]]["cpu_s"] > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
