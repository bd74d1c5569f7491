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


def nodes() -> int:
    """Count the machines on which torchrun or `srun` started processes of this training."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["WORLD_SIZE"]) // int(os.environ["LOCAL_WORLD_SIZE"])
    if "SLURM_JOB_ID" in os.environ and _slurm_tasks() > 1:
        said = os.environ.get("SLURM_STEP_NUM_NODES") or os.environ.get("SLURM_NNODES")
        return int(said or 1)
    return 1


def devices_here(devices: int | str) -> int | str:
    """Give how many devices of this machine are used: torchrun has one process for each.

    Raises ValueError where a number was asked for that differs.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return devices
    started = int(os.environ["LOCAL_WORLD_SIZE"])
    if str(devices) not in ("auto", str(started)):
        raise ValueError(
            f"devices {devices}: torchrun started {started} processes on this machine; give its "
            "--nproc-per-node the same number"
        )
    return started


def _slurm_tasks() -> int:
    """Count the tasks that `srun` started; 1 in a batch script that doesn't use it."""
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS")
    if tasks is None and "SLURM_STEP_ID" in os.environ:
        tasks = os.environ.get("SLURM_NTASKS")
    return int(tasks or 1)
