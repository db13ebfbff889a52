"""The conformance kit of the seam ``attar.selectors``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attar.plugins import Averages
from attar.rng import derive, scoped
from attar.testing.compare import global_rng_untouched
from attar.testing.laws import Check, make_checks, require, run_checks
from attar.testing.shared import law_plugin_is_complete, subject

__all__ = ["SELECTOR_LAWS", "check_selector", "checks_for_selector"]


@dataclass(frozen=True)
class SelectorCase:
    """A selector under test."""

    plugin: Any
    group: str = "selectors"

    def features(self, m: int, d: int = 3) -> Tensor:
        """Return features of one class, float32 ``(m, d)``, where the selector uses them."""
        if not self.plugin.uses_features:
            return torch.empty(m, 0)
        return torch.randn((m, d), generator=derive(0, "kit", "features", m))

    def choose(self, features: Tensor, n: int, seed: int = 0) -> Tensor:
        """Return the rows chosen."""
        rows: Tensor = self.plugin.select(features, n, derive(seed, "kit", "select"))
        return rows


def _check_rows(rows: Tensor, n: int, m: int) -> None:
    asked = f"{n} of {m} rows"
    require(
        isinstance(rows, Tensor) and rows.dtype == torch.int64, f"asked for {asked} it gives no int64 rows"
    )
    require(rows.shape == (n,), f"asked for {asked} it gives a tensor of shape {tuple(rows.shape)}")
    require(len(rows.unique()) == n, f"asked for {asked} it gives {rows.tolist()}, with repetitions")
    require(0 <= int(rows.min()) <= int(rows.max()) < m, f"asked for {asked} it gives {rows.tolist()}")


def law_rows_are_distinct(case: SelectorCase) -> None:
    """It gives n distinct rows in range, as int64."""
    for m, n in ((12, 1), (12, 5), (12, 11)):
        _check_rows(case.choose(case.features(m), n), n, m)


def law_all_rows_can_be_asked_for(case: SelectorCase) -> None:
    """Asked for as many rows as there are, or for more, it gives all of them, each once."""
    for n in (6, 9):
        rows = case.choose(case.features(6), n)
        every = torch.equal(rows.sort().values, torch.arange(6))
        require(every, f"asked for {n} of 6 rows it gives {rows.tolist()}")


def law_one_sample_suffices(case: SelectorCase) -> None:
    """A class of one sample gives that sample."""
    rows = case.choose(case.features(1), 1)
    require(rows.tolist() == [0], f"of a class of one sample it gives {rows.tolist()}")


def law_duplicates_are_no_harm(case: SelectorCase) -> None:
    """Equal samples are different rows: a class of duplicates gives distinct rows."""
    features = case.features(4).repeat(3, 1)
    with warnings.catch_warnings():
        # A warning on data as ordinary as duplicates would reach every user of the selector.
        warnings.simplefilter("error")
        for n in (3, 6):
            _check_rows(case.choose(features, n), n, 12)
        _check_rows(case.choose(torch.ones_like(features), 4), 4, 12)


def law_generator_decides(case: SelectorCase) -> None:
    """Equal features and generators give equal rows, whatever the global generators hold."""
    features = case.features(12)
    chosen = []
    for seed in (1, 2, 3):
        with scoped(derive(seed, "kit", "elsewhere")):
            chosen.append(case.choose(features, 5).tolist())
    for other in chosen[1:]:
        require(chosen[0] == other, f"with equal generators it gives {chosen[0]} and {other}")


def law_global_rng_is_left_alone(case: SelectorCase) -> None:
    """Selecting neither seeds nor draws from a global generator."""
    with global_rng_untouched("selecting"):
        case.choose(case.features(12), 5)


def law_features_are_left_alone(case: SelectorCase) -> None:
    """The features given are not changed."""
    features = case.features(12)
    case.choose(features, 5)
    require(torch.equal(features, case.features(12)), "selecting changed the features")


def law_use_of_features_is_honest(case: SelectorCase) -> None:
    """Without ``uses_features`` the rows do not depend on features; with it they do."""
    flag = case.plugin.uses_features
    require(isinstance(flag, bool), f"uses_features must be True or False, but is {flag!r}")
    one = torch.randn((24, 3), generator=derive(0, "kit", "one"))
    other = torch.randn((24, 3), generator=derive(0, "kit", "other"))
    a, b = (case.choose(features, 5).tolist() for features in (one, other))
    if flag:
        require(a != b, "it says that it uses features, but chooses the same rows whatever they are")
    else:
        require(a == b, "it says that it uses no features, but chooses other rows for others")


def law_groups_are_whole(case: SelectorCase) -> None:
    """Where samples are means, each row is in one of n groups, and no group is empty."""
    if not isinstance(case.plugin, Averages):
        return
    for m, n in ((12, 1), (12, 5), (12, 12), (4, 9)):
        for features in (case.features(m), torch.ones_like(case.features(m))):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                groups = case.plugin.groups(features, n, derive(0, "kit", "groups"))
            require(groups.shape == (m,), f"asked for the groups of {m} rows it gives {tuple(groups.shape)}")
            found, wanted = groups.unique().tolist(), list(range(min(n, m)))
            require(found == wanted, f"asked for {n} means of {m} rows it gives the groups {found}")


SELECTOR_LAWS: tuple[Callable[[SelectorCase], None], ...] = (
    law_plugin_is_complete,
    law_rows_are_distinct,
    law_all_rows_can_be_asked_for,
    law_one_sample_suffices,
    law_duplicates_are_no_harm,
    law_generator_decides,
    law_global_rng_is_left_alone,
    law_features_are_left_alone,
    law_use_of_features_is_honest,
    law_groups_are_whole,
)


def checks_for_selector(plugin: Any, *, name: str | None = None) -> list[Check]:
    """Return a check for each law of a selector."""
    return make_checks(subject("selector", plugin, name), SELECTOR_LAWS, SelectorCase(plugin), plugin)


def check_selector(plugin: Any, *, name: str | None = None) -> None:
    """Try every law of a selector.

    Raises:
        LawBroken: Naming each law that is broken, and how.
    """
    run_checks(checks_for_selector(plugin, name=name))
