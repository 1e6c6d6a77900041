from __future__ import annotations

from datetime import UTC, datetime

from proxy.estimating import ConfiguredEstimator
from proxy.reports.making import Question, question_of
from proxy.reports.words import Words
from proxy.sections import Config

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)


def question(name: str, **said) -> Question:
    """Ask for a report in the words of its options."""
    return question_of(name, Words(**said), ConfiguredEstimator(Config()).supposed, NOW)
