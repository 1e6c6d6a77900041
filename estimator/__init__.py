"""Joulegate's estimator: usage in, FLOPs, joules, grams, liters and dollars out.

A library of its own: it reads its data files and nothing else.

>>> from estimator import Usage, estimate
>>> estimate(Usage(input_tokens=2000, output_tokens=1000), "llama-3.1-8b-instruct").tier
'open_model'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from estimator.compare import Comparison, compare
from estimator.deployments import Deployment, Speculation
from estimator.estimate import METHODS, Centre, Estimate, centre, estimate
from estimator.facts import facts_version, sources
from estimator.grid import known_regions, known_zones
from estimator.intensity import Intensity
from estimator.models import Architecture, ModelCard, known_models, resolve
from estimator.ranges import Range
from estimator.usage import Usage

if TYPE_CHECKING:
    from estimator.contract import ExchangeRate, PriceList, price_list
    from estimator.evidence import Evidence
    from estimator.uncertainty import Total, Uncertain, total, uncertain
    from estimator.workload import Workload, WorkloadEstimate, estimate_workload
    from estimator.workload_rows import workload_of

__all__ = [
    "METHODS",
    "Architecture",
    "Centre",
    "Comparison",
    "Deployment",
    "Estimate",
    "Evidence",
    "ExchangeRate",
    "Intensity",
    "ModelCard",
    "PriceList",
    "Range",
    "Speculation",
    "Total",
    "Uncertain",
    "Usage",
    "Workload",
    "WorkloadEstimate",
    "centre",
    "compare",
    "estimate",
    "estimate_workload",
    "facts_version",
    "known_models",
    "known_regions",
    "known_zones",
    "price_list",
    "resolve",
    "sources",
    "total",
    "uncertain",
    "workload_of",
]

# What a plain estimate does without is imported when it is asked for; none is called as its module is.
_LATER: Final = {
    "Evidence": "estimator.evidence",
    "ExchangeRate": "estimator.contract",
    "PriceList": "estimator.contract",
    "Total": "estimator.uncertainty",
    "Uncertain": "estimator.uncertainty",
    "Workload": "estimator.workload",
    "WorkloadEstimate": "estimator.workload",
    "estimate_workload": "estimator.workload",
    "price_list": "estimator.contract",
    "total": "estimator.uncertainty",
    "uncertain": "estimator.uncertainty",
    "workload_of": "estimator.workload_rows",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = globals()[name] = getattr(import_module(_LATER[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
