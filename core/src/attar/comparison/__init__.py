"""Leaderboards: every method under one protocol, at equal count and, apart from it, at equal bytes."""

from attar.comparison.leaderboard import compare, compare_methods
from attar.comparison.plan import Plan, make_plan
from attar.comparison.recipes import Contender, Trial
from attar.comparison.results import Comparison, EqualBytesRow, PlanRecord, Ranking, Row, TrialRow
from attar.comparison.settings import CompareSettings

__all__ = [
    "CompareSettings",
    "Comparison",
    "Contender",
    "EqualBytesRow",
    "Plan",
    "PlanRecord",
    "Ranking",
    "Row",
    "Trial",
    "TrialRow",
    "compare",
    "compare_methods",
    "make_plan",
]
