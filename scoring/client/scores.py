"""Score cards and leaderboards as tables."""

from __future__ import annotations

from typing import Any

from scoring.client.output import Output, figure
from scoring.client.texts import say


def _name(value: Any, lang: str) -> str:
    if isinstance(value, dict):
        return str(value.get(lang) or value.get("en") or next(iter(value.values()), ""))
    return str(value)


def show(score: dict[str, Any], *, output: Output) -> None:
    """A score card."""
    interval = score.get("miou_interval")
    within = f"  [{figure(interval[0])}, {figure(interval[1])}]" if interval else ""
    output.line(f"mIoU {figure(score['miou'])}{within}")
    for title, key in (("OA", "overall_accuracy"), ("F1", "mean_f1")):
        if score.get(key) is not None:
            output.line(f"{title:<4} {figure(score[key])}")
    if score.get("classes"):
        output.table(
            [
                (say("class", output.lang), False),
                ("IoU", True),
                (say("precision", output.lang), True),
                (say("recall", output.lang), True),
                ("F1", True),
            ],
            [
                (
                    _name(one["name"], output.lang)
                    if one["scored"]
                    else f"({_name(one['name'], output.lang)})",
                    figure(one["iou"]),
                    figure(one["precision"]),
                    figure(one["recall"]),
                    figure(one["f1"]),
                )
                for one in score["classes"]
            ],
        )
    for note in score.get("notes", []):
        output.remark(note["message"])


def show_board(board: dict[str, Any], *, output: Output) -> None:
    """A leaderboard, references marked."""
    lang = output.lang
    rows = [(one["miou"] or 0.0, _board_row(one, lang)) for one in board["rows"]]
    rows += [(one["miou"] or 0.0, _board_row(one, lang)) for one in board["baselines"]]
    rows += [
        (one["miou"], ("", one["name"], say("reference", lang), figure(one["miou"]), "", ""))
        for one in board["references"]
    ]
    rows.sort(key=lambda row: -row[0])
    output.table(
        [
            (say("rank", lang), True),
            (say("team", lang), False),
            (say("method", lang), False),
            ("mIoU", True),
            ("±", False),
            (say("date", lang), False),
        ],
        [cells for _miou, cells in rows],
    )


def _board_row(one: dict[str, Any], lang: str) -> tuple[object, ...]:
    interval = one.get("interval")
    within = f"[{figure(interval[0])}, {figure(interval[1])}]" if interval else ""
    mark = " *" if one["is_mine"] else ""
    return (
        one["rank"] or "",
        one["team"] + mark,
        one["method"] if one["rank"] else f"{one['method']} ({say('reference', lang)})",
        figure(one["miou"]),
        within,
        one["created_at"][:10],
    )
