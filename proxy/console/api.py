"""The console's JSON: how rows and sums are written, and the OpenAPI document that describes them.

Dollars are exact and so travel as decimal strings; null is unknown, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import msgspec

from proxy.console import budgets, calculator, directory_api
from proxy.console.describing import TEXT, get, in_path, list_of, parameter
from proxy.console.health import Health
from proxy.console.reports import FORMS
from proxy.ledger.read import DIMENSIONS, Totals
from proxy.ledger.tables import CallRow
from proxy.reports.making import NAMES
from proxy.reports.period import Period

CALLS_MOST = 500
_NOT_WRITTEN = ("key", "joules_by_estimate_key")  # of Totals


def call_json(row: CallRow) -> dict[str, Any]:
    """Write a ledger row."""
    return {name: _exact(getattr(row, name)) for name in CallRow.__struct_fields__}


def totals_json(by: Sequence[str], period: Period, groups: Sequence[Totals], total: Totals) -> dict[str, Any]:
    """Write sums; each group names its dimensions in ``by``."""

    def figures(group: Totals) -> dict[str, Any]:
        return {name: _exact(getattr(group, name)) for name in Totals.__struct_fields__ if name not in _NOT_WRITTEN}

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
    _, schemas = msgspec.json.schema_components(
        [CallRow, Totals, Health, calculator.Mean, *directory_api.TYPES, *budgets.TYPES],
        ref_template="#/components/schemas/{name}",
    )
    call, figures = schemas.pop("CallRow"), schemas.pop("Totals")
    for name in _NOT_WRITTEN:
        figures["properties"].pop(name)
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
            "properties": {"error": {"type": "object", "properties": {"message": TEXT, "field": TEXT}}},
            "required": ["error"],
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Joulegate console", "version": version("joulegate")},
        "paths": {
            "/api/calls": get(
                "The last calls recorded here, the latest first.",
                {"type": "object", "properties": {"calls": list_of("Call")}, "required": ["calls"]},
                parameter("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": CALLS_MOST}),
            ),
            "/api/totals": get(
                "Sums over a period, split by dimensions; today's by default.",
                {
                    "type": "object",
                    "properties": {
                        "from": {"type": "string", "format": "date-time"},
                        "to": {"type": "string", "format": "date-time"},
                        "tz": {"type": "string"},
                        "groups": list_of("Group"),
                        "total": {"$ref": "#/components/schemas/Totals"},
                    },
                    "required": ["from", "to", "tz", "groups", "total"],
                },
                parameter("by", f"Dimensions, separated by commas: {', '.join(DIMENSIONS)}.", TEXT),
                *_PERIOD,
            ),
            "/api/reports/{name}": get(
                "A report as `joulegate report` makes it; the current month by default.",
                {"type": "object", "properties": {"report": {"type": "string"}, "rows": {"type": "array"}}},
                in_path("name", "Which.", {"type": "string", "enum": list(NAMES)}),
                parameter("by", f"Dimensions, separated by commas: {', '.join(DIMENSIONS)}.", TEXT),
                parameter("where", "Only calls with this: NAME=VALUE; may be repeated.", TEXT),
                parameter("allocate", "Of cost: TEAM=dollars or TEAM=tokens; may be repeated.", TEXT),
                parameter("assume", "Of models, grids, scale: MODEL=READ+WRITTEN tokens; may be repeated.", TEXT),
                parameter("per_day", "Of scale: conversations a day.", {"type": "integer"}),
                parameter("grids", "Of models, grids, scale: zones, separated by commas.", TEXT),
                parameter("format", "How it is written.", {"type": "string", "enum": list(FORMS)}),
                *_PERIOD,
            ),
            **directory_api.paths(),
            **calculator.paths(),
            **budgets.paths(),
            "/api/health": get("How the metering is doing.", {"$ref": "#/components/schemas/Health"}),
            "/api/live": {
                "get": {
                    "summary": "Server-sent events: an event `call` with a Call for each call recorded from now on.",
                    "responses": {"200": {"description": "A stream.", "content": {"text/event-stream": {}}}},
                }
            },
        },
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}, {}],  # the latter: on loopback there may be none
    }


_PERIOD = (
    parameter("from", "First day, or a moment.", TEXT),
    parameter("to", "Last day, included, or a moment.", TEXT),
    parameter("month", "One month, 2026-11.", TEXT),
    parameter("tz", "IANA time zone that decides what a day is.", TEXT),
    parameter("from_calls", "Read the calls themselves where no sums are kept.", {"type": "boolean"}),
)
