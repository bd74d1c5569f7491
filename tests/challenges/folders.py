"""A small challenge folder for tests: valid as it is, and easy to spoil in one place."""

from __future__ import annotations

from pathlib import Path

TOML = """\
[challenge]
slug = "tiny"
published = true
title = { en = "Tiny", fr = "Minuscule" }
terms_version = "1"

[task]
id = "tiny"
patch_height_px = 8
patch_width_px = 8
label_offset = 1
unscored_policy = "full-matrix"
absent_policy = "skip"
prediction_pattern = 'PRED_(?P<id>[0-9]{6})'
truth_pattern = 'MSK_(?P<id>[0-9]{6})'
prediction_name = "PRED_{id}.tif"
ids_csv = "ids.csv"

[[task.classes]]
id = 0
key = "land"
name = { en = "land", fr = "terre" }
color = "#55ff00"
labels = [1]
scored = true

[[task.classes]]
id = 1
key = "water"
name = { en = "water", fr = "eau" }
color = "#1553ae"
labels = [2]
scored = true

[[task.classes]]
id = 2
key = "other"
name = { en = "other", fr = "autre" }
color = "#000000"
labels = [3, 4]
scored = false

[[phases]]
slug = "test"
name = { en = "Test", fr = "Test" }
published = true
opens_at = 2024-01-01T00:00:00Z
closes_at = 2030-01-01T00:00:00Z
daily_limit = 5
total_limit = 50
invalid_daily_limit = 20
archive_bytes = 1_000_000
visibility = "public"
detail = "domains"
ids_csv = "ids.csv"

[[results]]
name = "U-Net"
kind = "baseline"
miou = 0.5
std = 0.01
source = "a paper"
[results.ious]
land = 0.6
water = 0.4

[[downloads]]
file = "train.zip"
size = "50.7 GB"
content = { en = "Train", fr = "Entraînement" }
url = "https://example.org/train.zip"

[[pages]]
slug = "overview"
title = { en = "Overview", fr = "Présentation" }

[[pages]]
slug = "data"
title = { en = "Data", fr = "Données" }

[[pages]]
slug = "rules"
title = { en = "Rules", fr = "Règlement" }

[[announcements]]
key = "hello"
published_at = 2024-01-01T08:00:00Z
title = { en = "Hello", fr = "Bonjour" }
body = { en = "It is open.", fr = "C’est ouvert." }

[domains]
train = [
  { id = "D001_2020", department = "01", name = "Ain", year = 2020 },
]
test = [
  { id = "D002_2021", department = "02", name = "Aisne", year = 2021, patches = 2 },
]

[[nomenclature]]
label = 1
key = "land"
class = "land"
name = { en = "land", fr = "terre" }
color = "#55ff00"
train_percent = 60.0
test_percent = 55

[[nomenclature]]
label = 4
key = "shadow"
class = "other"
name = { en = "shadow", fr = "ombre" }
color = "#111111"
train_percent = 0.5
"""
IDS = "domain,zone,patch\nD002_2021,Z1_UU,000001\nD002_2021,Z1_UU,000002\n"
PAGE = "# {title}\n\n[[classes]]\n\nSee the [first page](overview).\n"


def write(folder: Path, *, replacing: str = "", by: str = "", name: str = "challenge.toml") -> Path:
    """Write the tiny challenge into ``folder``, with one text replaced in the file ``name``."""
    files = {
        "challenge.toml": TOML,
        "ids.csv": IDS,
        "pages/overview.en.md": PAGE.format(title="Overview"),
        "pages/overview.fr.md": PAGE.format(title="Présentation"),
        "pages/data.en.md": "# Data\n",
        "pages/data.fr.md": "# Données\n",
        "pages/rules.en.md": "# Rules\n",
        "pages/rules.fr.md": "# Règlement\n",
    }
    if replacing:
        assert files[name].count(replacing) >= 1, f"{replacing!r} is not in {name}"
        files[name] = files[name].replace(replacing, by, 1)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def line_of(text: str, *, name: str = "challenge.toml", after: str = "") -> int:
    """The line (from 1) where ``text`` first stands, perhaps after another text."""
    source = {"challenge.toml": TOML, "ids.csv": IDS}[name]
    start = source.index(after) if after else 0
    return source.count("\n", 0, source.index(text, start)) + 1
