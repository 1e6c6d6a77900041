"""Forms that change something: read without a script, and known to come from a page of this console.

The guard refuses what a browser says is of another site; a form carries a token besides, which such a page cannot know.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from html import escape
from urllib.parse import parse_qs

from starlette.requests import Request

from proxy.console.access import Access
from proxy.console.guard import HEADERS, SESSION

WITH_A_FORM = {
    "content-security-policy": HEADERS["content-security-policy"].replace("form-action 'none'", "form-action 'self'"),
    "referrer-policy": "same-origin",  # or the browser would not say that the form was ours
}
_FIELD = "form"  # of the token
_BODY_BYTES = 8192
_FIELDS_AT_MOST = 32


async def fields_of(request: Request) -> dict[str, str]:
    """Read a form's fields, each once; none of what is too long or no form."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _BODY_BYTES:
            return {}
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_AT_MOST)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def token_field(access: Access, request: Request) -> str:
    """Write the field by which :func:`genuine` knows a form again."""
    return f'<input type="hidden" name="{_FIELD}" value="{escape(access.form_token(request.scope.get(SESSION)))}">'


def genuine(access: Access, request: Request, fields: Mapping[str, str]) -> bool:
    """Tell whether a form was made for who sends it, by this console; the time it takes says nothing of the token."""
    expected = access.form_token(request.scope.get(SESSION))
    return hmac.compare_digest(expected.encode(), fields.get(_FIELD, "").encode())
