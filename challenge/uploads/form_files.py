"""Files posted with a form: only to a view that takes one, by a person, while there is space.

Django reads a form's body before any view sees it, so without this anybody could fill the disk by
posting a file to the log-in page.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from typing import Any, ClassVar, cast

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpRequest

from challenge.errors import Refusal
from challenge.services import stream_slots
from challenge.uploads import streams

log = logging.getLogger(__name__)

MIB = 2**20
CHECK_SPACE_EVERY_BYTES = 16 * MIB


class FormFileHandler(TemporaryFileUploadHandler):
    """Streams a form's file to a temporary one, within limits."""

    views_with_files: ClassVar[frozenset[str]] = frozenset(
        {"web:submit", "web:desk-task", "web:desk-kit", "web:challenge-import", "web:documents"}
    )

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],  # noqa: N803 - Django's name
        content_length: int,
        boundary: Any,
        encoding: str | None = None,
    ) -> None:
        """Refuse a body by its declared length. Raises `RequestDataTooBig` (answered by 413)."""
        limit = MIB
        user = None
        match = getattr(self.request, "resolver_match", None)
        if match is not None and match.view_name in self.views_with_files:
            user = getattr(self.request, "user", None)
            if user is not None and user.is_authenticated:
                limit += int(settings.UPLOAD_LIMIT_BYTES)
        if content_length > limit:
            raise RequestDataTooBig(f"the form has {content_length} bytes; allowed are {limit}")
        if content_length > MIB:
            _check_free_space(content_length)
            if user is not None and user.pk is not None:
                self._occupy_slot(user.pk)
        self._unchecked_bytes = 0

    def _occupy_slot(self, user_id: int) -> None:
        """Occupy a slot for streaming. Raises ``Refusal`` (503) where there is none."""
        request = cast(HttpRequest, self.request)
        try:
            stream_slots.occupy(request, user_id=user_id, direction=stream_slots.Direction.UPLOAD)
        except Refusal:
            streams.Body(request).drain()
            raise

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._unchecked_bytes += len(raw_data)
        if self._unchecked_bytes >= CHECK_SPACE_EVERY_BYTES:
            # Several simultaneous forms may count the same free space.
            try:
                _check_free_space(0)
            except RequestDataTooBig:
                self.upload_interrupted()  # deletes the temporary file, which Django would leave
                raise
            self._unchecked_bytes = 0
        super().receive_data_chunk(raw_data, start)


def _check_free_space(needed_bytes: int) -> None:
    folder = settings.FILE_UPLOAD_TEMP_DIR or tempfile.gettempdir()
    free_bytes = shutil.disk_usage(folder).free - int(settings.UPLOAD_RESERVE_BYTES)
    if needed_bytes > free_bytes:
        log.warning("a form's file of %s bytes was refused: %s is full", needed_bytes, folder)
        raise RequestDataTooBig("the server has no free space at the moment")
