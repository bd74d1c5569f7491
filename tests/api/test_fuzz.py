"""schemathesis with all its checks against the running server finds nothing.

``FUZZ_EXAMPLES`` sets the examples per operation: the suite's own number makes somewhat more than
two thousand cases, ``make fuzz-api`` many more.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests import factories
from tests.api.conftest import build_world, token_of
from tests.live_site import LiveSite

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))


def test_nothing_is_found(site: LiveSite, tmp_path: Path) -> None:
    world = build_world()
    # One person who may do everything: captain of a team and organiser of the challenge.
    factories.make_organiser(world.challenge, world.captain)
    token = token_of(world.captain)
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG, encoding="utf-8")
    result = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", f"{site.url}/api/v1/openapi.json"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--checks", "all", "--max-examples", str(EXAMPLES), "--workers", "1"),
            *("--generation-database", "none", "--no-color"),
            "--continue-on-failure",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("fuzz_hooks.py"))},
        timeout=880,
        check=False,
    )
    report = result.stdout + result.stderr
    (tmp_path / "report.txt").write_text(report, encoding="utf-8")
    assert result.returncode == 0, report[-6000:]
    cases = re.search(r"(\d+) generated", report)
    assert cases, report[-2000:]
    assert int(cases[1]) >= (2000 if EXAMPLES >= 12 else 1000)


# Beyond the statuses that schemathesis takes for granted, some rules live outside a schema: each
# exception names the one operation that it is for.
CONFIG = """\
[[operations]]  # tus itself prescribes 412, 460 and their like, and unknown headers are no fault
include-path-regex = "/uploads"
checks.missing_required_header.expected-statuses = [400, 401, 411, 412, 415]
checks.negative_data_rejection.expected-statuses = [
  200, 201, 204, 400, 401, 403, 404, 405, 409, 411, 412, 413, 415, 423, 429, 460,
]
checks.positive_data_acceptance.expected-statuses = [
  200, 201, 204, 400, 401, 403, 404, 409, 410, 413, 415, 423, 429, 460,
]

[[operations]]  # one's own team is a team, and not one to merge with
include-path-regex = "/merge-requests$"
checks.positive_data_acceptance.expected-statuses = [200, 401, 403, 404, 409, 422, 429]

[[operations]]  # what a visible name is cannot be said by a pattern
include-path-regex = "/team$"
checks.positive_data_acceptance.expected-statuses = [200, 401, 403, 404, 409, 422, 429]

[[operations]]  # an address of an e-mail is checked by rules of its own
include-path-regex = "/invitations$"
checks.positive_data_acceptance.expected-statuses = [200, 401, 403, 404, 409, 422, 429]

[[operations]]  # lines of a team are removed for a reason, which is another field
include-path-regex = "/registrations/"
checks.positive_data_acceptance.expected-statuses = [200, 401, 403, 404, 409, 422, 429]

[[operations]]  # the desk: reasons of spaces, times that are past, audiences
include-path-regex = "/(role-inv|roles/|disqualify$|grants|messages|announcements|time-zone)"
checks.positive_data_acceptance.expected-statuses = [200, 401, 403, 404, 409, 422, 429]

[[operations]]  # addresses have rules of their own; half a million escaped letters are too large
include-path-regex = "/admission"
checks.positive_data_acceptance.expected-statuses = [200, 401, 403, 404, 409, 422, 429]
checks.negative_data_rejection.expected-statuses = [
  400, 401, 403, 404, 405, 409, 413, 415, 422, 429,
]

[[operations]]  # a phase closes after it opens, and has a name in some language
include-path-regex = "/organise/challenges/.*/phases"
checks.positive_data_acceptance.expected-statuses = [200, 401, 403, 404, 409, 422, 429]

[[operations]]  # an address of the web is checked by rules of its own
include-path-regex = "/documents"
checks.positive_data_acceptance.expected-statuses = [200, 401, 403, 404, 409, 422, 429]

[[operations]]  # an invented token is like one that is over
include-path-regex = "/invitations/accept$"
checks.positive_data_acceptance.expected-statuses = [200, 401, 403, 404, 409, 410, 429]

[[operations]]  # an address of the web is checked by rules of its own
include-path-regex = "/webhooks$"
checks.positive_data_acceptance.expected-statuses = [200, 201, 401, 403, 404, 409, 422, 429]

[[operations]]  # addresses of code and paper likewise
include-path-regex = "/submissions$"
checks.positive_data_acceptance.expected-statuses = [200, 201, 401, 403, 404, 409, 422, 429]
"""
