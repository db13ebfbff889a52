"""Leaderboards: every method under one protocol, at equal count and, apart from it, at equal bytes."""

from attar.comparison.expected import expect
from attar.comparison.leaderboard import compare, compare_methods
from attar.comparison.plan import Plan, make_plan
from attar.comparison.recipes import Contender, Trial
from attar.comparison.results import Comparison, EqualBytesRow, Expected, PlanRecord, Ranking, Row, TrialRow
from attar.comparison.settings import CompareSettings

__all__ = [
    "CompareSettings",
    "Comparison",
    "Contender",
    "EqualBytesRow",
    "Expected",
    "Plan",
    "PlanRecord",
    "Ranking",
    "Row",
    "Trial",
    "TrialRow",
    "compare",
    "compare_methods",
    "expect",
    "make_plan",
]
