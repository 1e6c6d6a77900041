"""Errors for wrong use of the library; traffic never raises them (it gets ``None`` and a reason)."""

from __future__ import annotations


class EstimatorError(Exception):
    """Base of every error this library raises on purpose."""


class UnknownMethodError(EstimatorError, ValueError):
    """The method is neither ``roofline`` nor ``audit``."""


class UnknownZoneError(EstimatorError, ValueError):
    """No electricity zone or cloud region has this name."""


class UnknownGpuError(EstimatorError, ValueError):
    """The hardware table has no such accelerator."""


class DeploymentError(EstimatorError, ValueError):
    """A deployment that cannot be: no GPUs, an unknown precision, a batch below one."""


class CardError(EstimatorError, ValueError):
    """A model card whose parameters cannot be: not a range, not counts, more of them active than there are."""


class FactsError(EstimatorError):
    """A shipped data file is missing or does not say what it must."""


class WorkloadError(EstimatorError, ValueError):
    """A row of a table of workloads lacks a fact or states one that cannot be."""


class ComparisonError(EstimatorError, ValueError):
    """Two estimates that cannot be compared, since one has no joules."""


class EvidenceError(EstimatorError, ValueError):
    """Joules of a meter or a provider that cannot be."""


class PriceListError(EstimatorError, ValueError):
    """A price list of one's own that says too little, too much or something impossible."""
