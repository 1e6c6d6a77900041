"""What a recomputation of stored calls goes by: today's facts, and the configuration as it is now."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

import msgspec

from estimator import facts_version
from proxy.estimating import ConfiguredEstimator
from proxy.ledger.restating import Restating, StoredHours
from proxy.sections import Config, zone_of


def restating_by(config: Config) -> Restating:
    """Prepare for estimating stored calls; raises :class:`ConfigError`."""
    hours = StoredHours()
    estimate = ConfiguredEstimator(config, hours)
    zones = {row.name: zone_of(row, config.estimate.zone) for row in config.provider}
    return Restating(estimate, estimate.known, zones=zones, hours=hours)


def settings(config: Config) -> str:
    """Give a digest of all that decides an estimate: another digest, and what was begun must begin again."""
    path = config.estimate.price_list
    decides = (
        version("joulegate"),
        facts_version(),
        config.estimate,
        config.alias,
        config.deployment,
        config.evidence,
        [sorted(row.zones) for row in config.grid],
        [(row.name, row.zone, row.region) for row in config.provider],
        hashlib.sha256(Path(path).read_bytes()).hexdigest() if path is not None else None,
    )
    return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()[:16]
