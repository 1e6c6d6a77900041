"""What Google's APIs share: the model in the path, and errors of ours in their shape.

Source: google.rpc.Status and google.rpc.ErrorInfo as google-genai 3.4 parses them.
"""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from proxy.wire.canon import label
from proxy.wire.surface import Stripper

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def model_in_path(path: str) -> str | None:
    """Give the model that an action is called on ("models/NAME:action"); what is no base model keeps its collection."""
    above, _, called = unquote(path.partition("?")[0]).removesuffix("/").rpartition("/")
    collection, (name, _, action) = above.rpartition("/")[2], called.partition(":")
    if not (collection and name and action.isascii() and action.isalpha()):
        return None
    return label(name if collection == "models" else f"{collection}/{name}")


def bare_model(name: object) -> str | None:
    """Give a model's name out of its resource name: "models/NAME", "projects/…/models/NAME"."""
    named = label(name)
    return None if named is None else named.rpartition("models/")[2] or None


def error(status: int, code: str, message: str) -> bytes:
    """Give the body of an error of ours."""
    kind = _STATUS.get(status, "INTERNAL" if status >= 500 else "FAILED_PRECONDITION")
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code.upper(), "domain": "joulegate"}
    return msgspec.json.encode({"error": {"code": status, "message": message, "status": kind, "details": [reason]}})


class GoogleSurface:
    """A format of Google's: usage comes unasked and the model stands in the path, so that every body goes as it is."""

    name: str
    metered = True

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give ``body`` itself."""
        return body

    def stripper(self) -> Stripper | None:
        """Give None: nothing was added."""
        return None

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return error(status, code, message)
