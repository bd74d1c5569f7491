"""Columns of the database that stand in an export as they are, and are imported as they are."""

from __future__ import annotations

PHASE = (
    "frozen_at", "freeze_hides_own", "late_until", "settled_at", "revealed_at", "counted_zones",
    "ranked_at", "ranks_version", "ranks_step", "result_version",
)  # fmt: skip
SUBMISSION = (
    "id", "number", "created_at", "archive_sha256", "archive_bytes", "method_name",
    "method_description", "external_data", "code_url", "paper_url", "baseline_seconds",
    "method_seconds", "hardware", "is_baseline", "is_final", "disqualified_at",
)  # fmt: skip
TRAINING_RUN = (
    "recipe", "recipe_text", "recipe_digest", "overrides", "data_root", "seed", "group",
    "queued_at", "started_at", "finished_at",
)  # fmt: skip
EVALUATION = (
    "revision", "state", "priority", "attempt", "queued_at", "started_at", "finished_at",
    "error_code", "patches_done", "patches_total", "problems", "problems_more",
)  # fmt: skip
EVENT = ("from_state", "to_state", "attempt", "at", "reason")
