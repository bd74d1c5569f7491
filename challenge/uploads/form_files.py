"""Files posted with a form: only where a form asks for one, from somebody, onto a disk with room.

Django reads a form's body before any view sees it, so without this a stranger could fill the
disk by posting a file to the log-in page.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import TemporaryFileUploadHandler

log = logging.getLogger(__name__)

MIB = 2**20
ROOM_EVERY_BYTES = 16 * MIB


class FormFileHandler(TemporaryFileUploadHandler):
    """Streams a form's file to a temporary one, within limits."""

    views_with_files: ClassVar[frozenset[str]] = frozenset({"web:submit"})

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],  # noqa: N803 - Django's name
        content_length: int,
        boundary: Any,
        encoding: str | None = None,
    ) -> None:
        """Refuse a body by its declared length. Raises `RequestDataTooBig` (answered by 400)."""
        limit = MIB
        match = getattr(self.request, "resolver_match", None)
        if match is not None and match.view_name in self.views_with_files:
            user = getattr(self.request, "user", None)
            if user is not None and user.is_authenticated:
                limit += int(settings.UPLOAD_LIMIT_BYTES)
        if content_length > limit:
            raise RequestDataTooBig(f"the form has {content_length} bytes; allowed are {limit}")
        if content_length > MIB:
            _check_room(content_length)
        self._unchecked_bytes = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._unchecked_bytes += len(raw_data)
        if self._unchecked_bytes >= ROOM_EVERY_BYTES:
            # Several forms may share the room that each found free.
            try:
                _check_room(0)
            except RequestDataTooBig:
                self.upload_interrupted()  # Django leaves a file begun to the garbage collector
                raise
            self._unchecked_bytes = 0
        super().receive_data_chunk(raw_data, start)


def _check_room(needed_bytes: int) -> None:
    folder = settings.FILE_UPLOAD_TEMP_DIR or tempfile.gettempdir()
    free = shutil.disk_usage(folder).free - int(settings.UPLOAD_RESERVE_BYTES)
    if needed_bytes > free:
        log.warning("a form's file of %s bytes was refused: %s is full", needed_bytes, folder)
        raise RequestDataTooBig("the server has no room at the moment")
