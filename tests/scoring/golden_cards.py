"""Writes the golden cards anew: ``python -m tests.scoring.golden_cards``, after a new version."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from scoring.engine.version import ENGINE_VERSION
from tests.scoring.metrics import test_card


def main() -> int:
    """Refuses to overwrite the cards of the present version with other numbers."""
    versions = test_card.GOLDEN / "versions.json"
    remembered = json.loads(versions.read_text()) if versions.exists() else {}
    if ENGINE_VERSION in remembered:
        print(f"version {ENGINE_VERSION} has its cards: raise ENGINE_VERSION", file=sys.stderr)
        return 1
    test_card.GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, document in test_card.made_cards(Path(folder)).items():
            lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in document.items()]
            text = (
                "{\n" + ",\n".join(lines) + "\n}\n"
            )  # a line per key, so that changes can be read
            (test_card.GOLDEN / f"{name}.json").write_text(text)
    remembered[ENGINE_VERSION] = test_card.golden_digest()
    versions.write_text(json.dumps(remembered, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
