"""What the codes in the ledger's column ``reason`` mean, in a sentence each.

Rows keep the code, which is stable; people read the sentence. A provider's own error code is a reason
too, and none of ours.
"""

from __future__ import annotations

from typing import Final

# Why the gate refused a call itself: its outcome is ``rejected``.
REFUSALS: Final = {
    "invalid_http": "what came was no HTTP/1.1 request",
    "request_header_fields_too_large": "the request's head was larger than the gate takes",
    "request_timeout": "the request's head did not arrive in time",
    "transfer_coding_unknown": "the request's body came in a transfer coding other than chunked",
    "missing_api_key": "the gate asks for a key of its own, and the request had none",
    "invalid_api_key": "the request's key of this gate is not known",
    "keys_unavailable": "the keys of this gate could not be looked up",
    "expired_api_key": "the request's key of this gate has expired",
    "address_not_allowed": "the request's key may not be used from the client's address",
    "provider_not_allowed": "the request's key may not be used for the provider",
    "model_not_allowed": "the request's key may not be used for the model, or without naming one",
    "budget_exceeded": "a budget of the caller is used up, or has too little left for the call",
    "rate_limit_exceeded": "the caller asks more often, or more at once, than a limit allows",
    "budget_unknown": "nobody could say what is left of a budget of the caller: the recorder or its ledger is away",
    "invalid_request": "the request's body could not be read for its model",
    "missing_model": "the request named no model, which decides the provider",
    "model_not_found": "no provider is known for the model asked for",
    "unknown_provider": "the provider named in the request is not known here",
    "provider_not_configured": "the provider has no address yet: it needs an origin in the configuration",
    "provider_without_credential": "the gate has no credential of the provider to use for this caller",
    "request_too_large": "the request's body was too large to read its model from",
    "not_translated": "the model's route translates, and not from the format of the request",
    "missing_provider_key": "the model's route translates, and the request came with nobody's credential",
}

# Why a call was not ``ok``, or why its tokens are not the provider's own count.
ENDINGS: Final = {
    "upstream_connect_timeout": "the provider did not accept a connection in time",
    "upstream_tls_failed": "the provider's certificate or TLS handshake failed",
    "upstream_unreachable": "the provider could not be reached",
    "upstream_invalid": "the provider's reply was not HTTP as it should be",
    "upstream_closed": "the provider closed the connection before its reply had ended",
    "upstream_cancelled": "the gate broke the call off",
    "client_gone": "the client left before the reply had ended",
    "client_gone_before_sending": "the client left before anything was sent to the provider",
    "gate_shut_down": "the gate was shut down before the reply had ended",
    "gate_failed": "the gate itself failed; its log says more",
    "gate_process_ended": "the gate process ended before the call did; what it consumed nobody knows",
    "end_not_written": "the record of the call's end could not be written to the journal",
    "provider_error": "the provider of a translated call failed it",
    "provider_timeout": "the provider of a translated call did not answer in time",
    "provider_unreachable": "the provider of a translated call could not be reached",
    "translation_failed": "the call could not be translated; the gate's log says more",
    "unsupported_parameter": "the request has a parameter that is not translated, or that its provider lacks",
    "url_not_fetched": "the request names an image or a file behind a URL, and a translated call fetches none",
    "credential_not_taken": "the request came with a key, and the translated route works with the operator's alone",
    "usage.not_reported": "the provider's reply stated no usage",
    "usage.pending": "the provider had not finished: a later reply states the usage",
    "usage.counted_before": "the usage stands on another row, where the provider showed it first",
    "usage.on_turns": "each turn on the connection is a row of its own, with its usage",
    "usage.none_on_error": "the provider answered with an error, which states no usage",
    "usage.no_reply": "no reply came that could state any usage",
    "usage.surface_without_usage": "replies of this kind state no usage",
}


def sentence(outcome: str, reason: str) -> str:
    """Say what a reason means; one that is not ours is the provider's own word."""
    found = (REFUSALS if outcome == "rejected" else ENDINGS).get(reason)
    if found is not None:
        return found
    kind, _, status = reason.partition("_")
    if kind == "status" and status.isdigit():
        return f"the provider answered with status {status}"
    return f"the provider's own word: {reason}"
