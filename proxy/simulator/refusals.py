"""Errors in the shape and words a client of OpenAI knows."""

from __future__ import annotations

from proxy.simulator.asking import JsonObject

OVERLOADED = "The server had an error while processing your request. Sorry about that!"
KINDS = {  # status: (type, code, message)
    400: ("invalid_request_error", None, "Invalid request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: (
        "invalid_request_error",
        "unsupported_country_region_territory",
        "Country, region, or territory unsupported.",
    ),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    429: ("tokens", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
    500: ("server_error", None, OVERLOADED),
    503: ("server_error", "service_unavailable", "The engine is currently overloaded, please try again later."),
}


def refusal(
    status: int, message: str | None = None, *, code: str | None = None, param: str | None = None
) -> JsonObject:
    """Give the body of an error."""
    kind, usual_code, usual_message = KINDS.get(status) or KINDS[500 if status >= 500 else 400]
    error = {"message": message or usual_message, "type": kind, "param": param}
    return {"error": error | {"code": code if message is not None else usual_code}}
