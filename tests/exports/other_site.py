"""Run by the tests in a process of its own, on an empty database: migrate, import, ask.

``python -m tests.exports.other_site FILE ADDRESS…`` prints one JSON object: each address's answer
after the import and after all ranks were made anew.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime


def main(file: str, moment: str, *addresses: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "challenge.config.settings"
    import django

    django.setup()
    from django.core.cache import cache
    from django.core.management import call_command
    from django.test import Client

    from challenge.models import Phase, User
    from challenge.services.leaderboard import ranks

    call_command("migrate", verbosity=0)
    assert not User.objects.exists()
    call_command("import_challenge", file, "--publish", stdout=sys.stderr)

    def ask(address: str) -> str:
        cache.clear()  # the two sites of the test share it
        answer = Client().get(address, headers={"Host": "localhost"})
        assert answer.status_code == 200, answer
        return answer.content.decode()

    imported = {address: ask(address) for address in addresses}
    for phase in Phase.objects.all():
        ranks.recompute(phase=phase, compare=True, now=datetime.fromisoformat(moment))
    print(json.dumps({"imported": imported, "ranked": {one: ask(one) for one in addresses}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
