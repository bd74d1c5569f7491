"""Which of a training's processes this is, and who starts the others."""

from __future__ import annotations

import os
from typing import Any

from baselines import dependencies

# As torchrun, Lightning and Slurm number the processes of one training, the surest first.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


def is_first() -> bool:
    """Tell whether this is the process that speaks and writes, not one beside it."""
    return next((os.environ[name] for name in _RANKS if name in os.environ), "0") == "0"


def plugins() -> list[Any]:
    """Give what Lightning must be told about who starts the processes.

    Lightning takes every Slurm job for one that starts a process a device, and would use one device
    of four where `srun` starts a single task or isn't used; there it shall start the others itself.
    """
    dependencies.lightning()
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    if "SLURM_JOB_ID" not in os.environ or "TORCHELASTIC_RUN_ID" in os.environ:
        return []  # Lightning sees for itself
    if _slurm_tasks() > 1:
        return [SLURMEnvironment(auto_requeue=False)]  # we resume by our own checkpoints
    return [LightningEnvironment()]


def _slurm_tasks() -> int:
    """Count the tasks that `srun` started; 1 in a batch script that doesn't use it."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS")
    if tasks is None and "SLURM_STEP_ID" in os.environ:
        tasks = os.environ.get("SLURM_NTASKS")
    return int(tasks or 1)
