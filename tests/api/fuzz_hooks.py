"""What schemathesis must know beyond the document (loaded by ``SCHEMATHESIS_HOOKS``)."""

from __future__ import annotations

import schemathesis

# tus sends bytes under a content type of its own.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
