"""What every Celery task of ours does first: nothing, in maintenance."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task

log = logging.getLogger(__name__)


class SiteTask(Task):  # type: ignore[misc]
    """A Celery task that begins nothing in maintenance. What runs already goes on to its end.

    A message is a hint: the sweep sends it again afterwards.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the Celery task, unless the site is in maintenance."""
        from challenge.selectors import maintenance_mode  # needs Django's settings

        if maintenance_mode.current():
            log.info("the site is in maintenance: %s does nothing", self.name)
            return None
        return super().__call__(*args, **kwargs)
