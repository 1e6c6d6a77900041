"""Pieces of the OpenAPI document: a question, a change, a parameter."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

TEXT: Json = {"type": "string"}


def get(summary: str, schema: Json, *parameters: Json) -> Json:
    """Describe a question."""
    return {
        "get": {
            "summary": summary,
            "parameters": list(parameters),
            "responses": {"200": reply("As asked.", schema), **_failures(400, 503)},
        }
    }


def found(summary: str, schema: Json, *parameters: Json) -> Json:
    """Describe a question for one thing, which there may not be."""
    described = get(summary, schema, *parameters)
    described["get"]["responses"] |= _failures(404)
    return described


def post(summary: str, status: int, schema: Json, body: str | None, *parameters: Json) -> Json:
    """Describe a change; ``body`` names the schema of what is sent along."""
    described: Json = {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {str(status): reply("Done.", schema), **_failures(400, 401, 403, 404, 409, 415, 429, 503)},
    }
    if body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": ref(body)}}}
    return {"post": described}


def patch(summary: str, schema: Json, body: str, *parameters: Json) -> Json:
    """Describe a change of a part of something."""
    return {"patch": post(summary, 200, schema, body, *parameters)["post"]}


def delete(summary: str, schema: Json, *parameters: Json) -> Json:
    """Describe the end of something."""
    return {"delete": post(summary, 200, schema, None, *parameters)["post"]}


def reply(description: str, schema: Json) -> Json:
    """Describe an answer."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def parameter(name: str, description: str, schema: Json) -> Json:
    """Describe a parameter of the query."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def in_path(name: str, description: str, schema: Json = TEXT) -> Json:
    """Describe a part of the path."""
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def ref(name: str) -> Json:
    """Point to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(name: str) -> Json:
    """Describe a list of what a schema describes."""
    return {"type": "array", "items": ref(name)}


_FAILED = {
    400: "The question cannot be read; the message says why.",
    401: "A token is needed.",
    403: "It came from a page of another site.",
    404: "There is none of that name.",
    409: "That cannot be: the message says what stands against it.",
    415: "It is not JSON.",
    429: "Too many wrong tokens; `retry-after` says for how long to wait.",
    503: "The ledger cannot be read at the moment.",
}


def _failures(*statuses: int) -> Json:
    return {str(status): reply(_FAILED[status], ref("Error")) for status in statuses}
