"""Score cards and leaderboards as tables."""

from __future__ import annotations

from typing import Any

from scoring.client.output import Output, percent
from scoring.client.texts import say


def _name(value: Any, lang: str) -> str:
    if isinstance(value, dict):
        return str(value.get(lang) or value.get("en") or next(iter(value.values()), ""))
    return str(value)


def show(score: dict[str, Any], *, output: Output) -> None:
    """A score card."""
    interval = score.get("miou_interval")
    within = f"  [{percent(interval[0])}, {percent(interval[1])}]" if interval else ""
    output.line(f"mIoU {percent(score['miou'])} %{within}")
    for title, key in (("OA", "overall_accuracy"), ("F1", "mean_f1")):
        if score.get(key) is not None:
            output.line(f"{title:<4} {percent(score[key])} %")
    if score.get("classes"):
        output.table(
            [
                (say("class", output.lang), False),
                ("IoU, %", True),
                (say("precision", output.lang), True),
                (say("recall", output.lang), True),
                ("F1", True),
            ],
            [
                (
                    _name(line["name"], output.lang)
                    if line["scored"]
                    else f"({_name(line['name'], output.lang)})",
                    percent(line["iou"]),
                    percent(line["precision"]),
                    percent(line["recall"]),
                    percent(line["f1"]),
                )
                for line in score["classes"]
            ],
        )
    for note in score.get("notes", []):
        output.remark(note["message"])


def show_board(board: dict[str, Any], *, output: Output) -> None:
    """A leaderboard, references marked."""
    lang = output.lang
    rows = [(row["miou"] or 0.0, _board_row(row, lang)) for row in board["rows"]]
    rows += [(row["miou"] or 0.0, _board_row(row, lang)) for row in board["baselines"]]
    rows += [
        (row["miou"], ("", row["name"], say("reference", lang), percent(row["miou"]), "", ""))
        for row in board["references"]
    ]
    rows.sort(key=lambda pair: -pair[0])
    output.table(
        [
            (say("rank", lang), True),
            (say("team", lang), False),
            (say("method", lang), False),
            ("mIoU, %", True),
            ("±", False),
            (say("date", lang), False),
        ],
        [cells for _miou, cells in rows],
    )


def _board_row(row: dict[str, Any], lang: str) -> tuple[object, ...]:
    interval = row.get("interval")
    within = f"[{percent(interval[0])}, {percent(interval[1])}]" if interval else ""
    mark = " *" if row["is_mine"] else ""
    return (
        row["rank"] or "",
        row["team"] + mark,
        row["method"] if row["rank"] else f"{row['method']} ({say('reference', lang)})",
        percent(row["miou"]),
        within,
        row["created_at"][:10],
    )
