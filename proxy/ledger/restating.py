"""A stored call estimated anew: from its row back to the facts of the call, and from these to a row as of today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from estimator import Intensity
from estimator.errors import UnknownZoneError
from estimator.grid import grid
from estimator.units import JOULES_PER_KWH
from estimator.usage import Usage, UsageLine
from proxy.call import Closed, Opened
from proxy.ledger.row import Estimator, Familiar, composed
from proxy.ledger.tables import ESTIMATE, CallRow, LineRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DIGITS = 12  # of a grid's grams per kWh that are found again from a row's grams and joules
_USAGE = tuple(name for name in Usage.__dataclass_fields__ if name != "units")


class StoredHours:
    """The grid's intensity in the hour of a stored call, as that call's row has it: nobody is asked again."""

    def __init__(self) -> None:
        self.row: CallRow | None = None

    def at(self, zone: str, at: datetime) -> Intensity | None:
        """Give the intensity that the row was estimated with; ``None`` where that was the year's mean."""
        row = self.row
        if row is None or row.grid_source is None or row.zone != zone or not row.joules or row.grams_co2e is None:
            return None
        if row.grid_source == grid(zone).source:
            return None
        per_kwh = row.grams_co2e / row.joules * JOULES_PER_KWH
        return Intensity(
            zone=zone,
            grams_per_kwh=float(f"{per_kwh:.{_DIGITS}g}"),
            boundary="life_cycle",  # or not: no figure depends on it
            start=at,
            end=at,
            source=row.grid_source,
        )


class Restating:
    """Estimates stored calls; ``zones`` says where the machines of the configured providers are now."""

    def __init__(
        self,
        estimate: Estimator,
        familiar: Familiar | None,
        *,
        zones: Mapping[str, str | None],
        hours: StoredHours,
    ) -> None:
        self._estimate, self._familiar = estimate, familiar
        self._zones, self._hours = zones, hours

    def restated(self, row: CallRow, lines: Sequence[LineRow]) -> tuple[CallRow, tuple[LineRow, ...]] | None:
        """Give a row and its lines with the estimates of today, and all else as it was.

        ``None`` where they cannot be made again: the row is a sum of many calls, and a release wrote it that did not
        say of how many.
        """
        if _many(row.surface) and None in (row.summed_calls, *(line.summed_calls for line in lines)):
            return None
        self._hours.row = row
        made = composed(self._closed(row, lines), self._estimate, self._familiar)
        today = {name: getattr(made.row, name) for name in ESTIMATE}
        again = tuple(
            msgspec.structs.replace(line, **{name: getattr(new, name) for name in _OF_A_LINE})
            for line, new in zip(lines, made.lines, strict=True)
        )
        return msgspec.structs.replace(row, **today), again

    def _closed(self, row: CallRow, lines: Sequence[LineRow]) -> Closed:
        provider = row.provider
        opened = Opened(
            id=row.id,
            operation_id=row.operation_id,
            attempt=row.attempt,
            started_at_us=(row.started_at - _EPOCH) // _MICROSECOND,
            team=row.team,
            project=row.project,
            user=row.user,
            key_id=row.key_id,
            tags={},
            provider=provider,
            surface=row.surface,
            model_requested=row.model_requested,
            stream=row.stream,
            request_bytes=row.request_bytes,
            zone=_zone(row.zone) if provider is None else self._zones.get(provider, _zone(row.zone)),
        )
        known = row.usage_source != "absent"
        return Closed(
            opened=opened,
            ended_at_us=opened.started_at_us,
            outcome=row.outcome,
            status=row.status,
            model=row.model,
            provider_request_id=row.provider_request_id,
            usage=Usage(**{name: getattr(row, name) for name in _USAGE}, units=row.units or {}) if known else None,
            usage_source=row.usage_source,
            flags=(),
            reason=row.reason,
            latency_us=0,
            time_to_first_token_us=None,
            overhead_us=None,
            response_bytes=0,
            service_tier=row.service_tier,
            lines=tuple(map(_line, lines)),
            calls=row.summed_calls or 1,
            region=row.region,
        )


_OF_A_LINE = tuple(name for name in ESTIMATE if name in LineRow.__struct_fields__)
_COUNTED = tuple(name for name in _USAGE if name in LineRow.__struct_fields__)


def _line(line: LineRow) -> UsageLine:
    usage = Usage(**{name: getattr(line, name) for name in _COUNTED}, units=line.units or {})
    return UsageLine(kind=line.kind, model=line.model, usage=usage, calls=line.summed_calls or 1)


def _many(surface: str) -> bool:
    """Tell whether replies of a surface may state the usage of many calls together."""
    return "batch" in surface


def _zone(stored: str | None) -> str | None:
    """Give a row's zone; ``None`` where there is no figure for it any more."""
    try:
        return grid(stored).zone if stored is not None else None
    except UnknownZoneError:
        return None
