from collections.abc import Callable, Iterable

import pytest
from attar.testing import Check, LawBroken


def _broken(checks: Iterable[Check]) -> dict[str, str]:
    found = {}
    for check in checks:
        try:
            check.run()
        except LawBroken as broken:
            found[check.law] = str(broken)
    return found


@pytest.fixture
def broken() -> Callable[[Iterable[Check]], dict[str, str]]:
    """Returns the laws that checks find broken, each with the sentence that says how."""
    return _broken
