"""The gate's side of a translated call: what it tells the translator, which serves nobody but this start's gates."""

from __future__ import annotations

from typing import Final

from proxy.errors import Refusal
from proxy.gate import Received
from proxy.routing import Translation
from proxy.teams import KEY_SLOTS, Admitted, Headers

# Names that begin so are taken out of every client's request, so these come from a gate or from nobody.
SECRET: Final = b"x-joulegate-translator"
ROUTE: Final = b"x-joulegate-route"  # its number in the configuration: what is translated for whom stands there
CREDENTIAL: Final = b"x-joulegate-credential"
OPERATORS: Final = b"operator"

PATHS: Final = {
    "openai.chat": b"/chat/completions",
    "openai.embeddings": b"/embeddings",
    "openai.responses": b"/responses",
}


def to_translator(
    call: Received, provider: str, translation: Translation, admitted: Admitted, *, ours: bool
) -> tuple[bytes, Headers]:
    """Give path and headers of a call to the translator; with ``ours`` it uses the operator's credential.

    Raises :class:`Refusal` for what is not translated, and for a call with nobody's credential: the SDK
    would look for one by itself.
    """
    path = PATHS.get(call.surface.name)
    if path is None or not call.path.endswith(path):
        message = (
            "The route of this model translates chat completions, embeddings and responses in OpenAI's format; "
            f"for anything else use the provider's own API at /{provider}/…"
        )
        raise Refusal(400, "not_translated", message)
    headers = [(b"content-type", b"application/json"), (ROUTE, b"%d" % translation.route)]
    headers.append((SECRET, translation.secret.reveal()))
    if ours:
        return b"/v1" + path, [*headers, (CREDENTIAL, OPERATORS)]
    key = next((value for name, value in admitted.headers if name in KEY_SLOTS and not _signs(value)), None)
    if key is None:
        message = f"This call has no credential for provider {provider}: bring the provider's key or one of ours."
        raise Refusal(401, "missing_provider_key", message)
    return b"/v1" + path, [*headers, (b"authorization", key)]


def _signs(value: bytes) -> bool:
    """Tell whether a header holds a signature of the client's own request, which holds for no other."""
    return value.startswith(b"AWS4-HMAC-SHA256")
