"""The console's JSON: how rows and sums are written, and the OpenAPI document that describes them.

Dollars are exact and so travel as decimal strings; null is unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import msgspec

from proxy.console.health import Health
from proxy.console.reports import FORMS
from proxy.ledger.read import DIMENSIONS, Totals
from proxy.ledger.tables import CallRow
from proxy.reports.making import NAMES
from proxy.reports.period import Period

CALLS_MOST = 500


def call_json(row: CallRow) -> dict[str, Any]:
    """Write a ledger row."""
    return {name: _exact(getattr(row, name)) for name in CallRow.__struct_fields__}


def totals_json(by: Sequence[str], period: Period, groups: Sequence[Totals], total: Totals) -> dict[str, Any]:
    """Write sums; each group names its dimensions in ``by``."""

    def figures(group: Totals) -> dict[str, Any]:
        return {name: _exact(getattr(group, name)) for name in Totals.__dataclass_fields__ if name != "key"}

    return {
        "from": period.start,
        "to": period.end,
        "tz": period.zone.key,
        "groups": [{"by": dict(zip(by, group.key, strict=True)), **figures(group)} for group in groups],
        "total": figures(total),
    }


def _exact(value: object) -> object:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


def openapi() -> dict[str, Any]:
    """Describe the API (OpenAPI 3.1), its schemas made from the types that are written."""
    _, schemas = msgspec.json.schema_components([CallRow, Totals, Health], ref_template="#/components/schemas/{name}")
    call, figures = schemas.pop("CallRow"), schemas.pop("Totals")
    figures["properties"].pop("key")
    for schema in (call, figures):
        schema["required"] = list(schema["properties"])
        for each in schema["properties"].values():
            each.pop("default", None)
    schemas |= {
        "Call": call | {"title": "Call", "description": "One row of the ledger's table `calls`."},
        "Totals": figures | {"title": "Totals", "description": "Sums; unknown figures are left out and counted."},
        "Group": {
            "allOf": [{"$ref": "#/components/schemas/Totals"}],
            "properties": {"by": {"type": "object", "additionalProperties": {"type": ["string", "null"]}}},
            "required": ["by"],
        },
        "Error": {
            "type": "object",
            "properties": {"error": {"type": "object", "properties": {"message": {"type": "string"}}}},
            "required": ["error"],
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Joulegate console", "version": version("joulegate")},
        "paths": {
            "/api/calls": _get(
                "The last calls recorded here, the latest first.",
                {"type": "object", "properties": {"calls": _list("Call")}, "required": ["calls"]},
                _parameter("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": CALLS_MOST}),
            ),
            "/api/totals": _get(
                "Sums over a period, split by dimensions; today's by default.",
                {
                    "type": "object",
                    "properties": {
                        "from": {"type": "string", "format": "date-time"},
                        "to": {"type": "string", "format": "date-time"},
                        "tz": {"type": "string"},
                        "groups": _list("Group"),
                        "total": {"$ref": "#/components/schemas/Totals"},
                    },
                    "required": ["from", "to", "tz", "groups", "total"],
                },
                _parameter("by", f"Dimensions, separated by commas: {', '.join(DIMENSIONS)}.", _TEXT),
                *_PERIOD,
            ),
            "/api/reports/{name}": _get(
                "A report as `joulegate report` makes it; the current month by default.",
                {"type": "object", "properties": {"report": {"type": "string"}, "rows": {"type": "array"}}},
                _parameter("name", "Which.", {"type": "string", "enum": list(NAMES)})
                | {"in": "path", "required": True},
                _parameter("by", f"Dimensions, separated by commas: {', '.join(DIMENSIONS)}.", _TEXT),
                _parameter("where", "Only calls with this: NAME=VALUE; may be repeated.", _TEXT),
                _parameter("allocate", "Of cost: TEAM=dollars or TEAM=tokens; may be repeated.", _TEXT),
                _parameter("assume", "Of models, grids, scale: MODEL=READ+WRITTEN tokens; may be repeated.", _TEXT),
                _parameter("per_day", "Of scale: conversations a day.", {"type": "integer"}),
                _parameter("grids", "Of models, grids, scale: zones, separated by commas.", _TEXT),
                _parameter("format", "How it is written.", {"type": "string", "enum": list(FORMS)}),
                *_PERIOD,
            ),
            "/api/health": _get("How the metering is doing.", {"$ref": "#/components/schemas/Health"}),
            "/api/live": {
                "get": {
                    "summary": "Server-sent events: an event `call` with a Call for each call recorded from now on.",
                    "responses": {"200": {"description": "A stream.", "content": {"text/event-stream": {}}}},
                }
            },
        },
        "components": {"schemas": schemas},
    }


def _get(summary: str, schema: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    def reply(description: str, shape: dict[str, Any]) -> dict[str, Any]:
        return {"description": description, "content": {"application/json": {"schema": shape}}}

    failed = {"$ref": "#/components/schemas/Error"}
    return {
        "get": {
            "summary": summary,
            "parameters": list(parameters),
            "responses": {
                "200": reply("As asked.", schema),
                "400": reply("The question cannot be read; the message says why.", failed),
                "503": reply("The ledger cannot be read at the moment.", failed),
            },
        }
    }


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


_TEXT = {"type": "string"}
_PERIOD = (
    _parameter("from", "First day, or a moment.", _TEXT),
    _parameter("to", "Last day, included, or a moment.", _TEXT),
    _parameter("month", "One month, 2026-11.", _TEXT),
    _parameter("tz", "IANA time zone that decides what a day is.", _TEXT),
)
