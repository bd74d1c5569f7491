"""The starter: a program that makes a first submission out of a kit, as a script and a notebook.

There is one text, ``static/starter/starter.py``, in the percent format of cells that editors know;
the notebook is made from it, so that the two never differ (decision 423).
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[1] / "static" / "starter" / "starter.py"
CELL = "# %%"
MARKDOWN = " [markdown]"


@functools.cache
def script() -> str:
    """Return the program."""
    return PATH.read_text(encoding="utf-8")


@functools.cache
def notebook() -> str:
    """Return the program as a Jupyter notebook (nbformat 4.5)."""
    cells: list[dict[str, Any]] = []
    for number, text in enumerate(script().split(f"\n{CELL}")):
        head, _newline, body = text.removeprefix(CELL).partition("\n")
        source = body.strip("\n")
        cell: dict[str, Any] = {"cell_type": "code", "execution_count": None}
        cell |= {"id": f"cell-{number}", "metadata": {}, "outputs": []}
        if head == MARKDOWN:
            lines = (line.removeprefix("#").removeprefix(" ") for line in source.split("\n"))
            source = "\n".join(lines)
            cell = {"cell_type": "markdown", "id": f"cell-{number}", "metadata": {}}
        cells.append(cell | {"source": source.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    document = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
