"""The short text fields of a ``multipart/form-data`` body: the model of an upload, not the upload.

The boundary is the body's own first line, so no header is needed. Source: RFC 7578, RFC 2046 §5.1.
"""

from __future__ import annotations

import re

_VALUE_LIMIT = 64 * 1024  # bytes of a field that are read
_FIELDS_AT_MOST = 64
_NAME = re.compile(rb';[ \t]*name="([^"\r\n]*)"', re.IGNORECASE)
_FILE = re.compile(rb";[ \t]*filename\*?=", re.IGNORECASE)


def fields(body: bytes) -> dict[str, str]:
    """Give the fields that are no files, by name; the last of each name. Empty where this is no multipart body."""
    line_end = body.find(b"\r\n", 0, 256)
    if not body.startswith(b"--") or line_end < 3:
        return {}
    delimiter = b"\r\n" + body[:line_end]
    found: dict[str, str] = {}
    at = line_end
    for _ in range(_FIELDS_AT_MOST):
        head_end = body.find(b"\r\n\r\n", at)
        if head_end < 0:
            break
        end = body.find(delimiter, head_end + 2)
        if end < 0:
            break
        head = body[at:head_end]
        name = _NAME.search(head)
        if name is not None and _FILE.search(head) is None and end - head_end < _VALUE_LIMIT:
            found[name[1].decode("utf-8", "replace")] = body[head_end + 4 : end].decode("utf-8", "replace")
        at = end + len(delimiter)
        if body.startswith(b"--", at):
            break
    return found
