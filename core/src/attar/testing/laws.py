"""Laws and checks: what every part of the kit is made of.

A law is a function of a case (a plugin with what is needed to try it) that raises
:class:`LawBroken` where the plugin does not keep it. Its name is that of the function without
``law_``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from attar.errors import AttarError

__all__ = ["Check", "LawBroken", "law_name", "make_checks", "require", "run_checks"]


class LawBroken(AttarError):
    """A plugin does not keep a law of its seam; the message says which, and how."""


@dataclass(frozen=True)
class Check:
    """One law to be tried on one plugin.

    Attributes:
        subject: The plugin, such as ``objective dm``.
        law: Name of the law.
        test: Tries the law; raises if it is broken.
        known_failure: Why the plugin's authors expect the law to be broken, or None.
    """

    subject: str
    law: str
    test: Callable[[], None]
    known_failure: str | None = None

    @property
    def name(self) -> str:
        """Name of plugin and law, which identifies the check in a test report."""
        return f"{self.subject} {self.law}".replace(" ", "-")

    def run(self) -> None:
        """Try the law.

        Raises:
            LawBroken: If the plugin breaks it, or fails with an exception of its own.
        """
        try:
            self.test()
        except LawBroken as broken:
            raise LawBroken(f"{self.subject} breaks the law {self.law!r}: {broken}") from broken
        except Exception as error:
            raise LawBroken(
                f"{self.subject} breaks the law {self.law!r}: it raised {type(error).__name__}: {error}"
            ) from error


def require(condition: bool, how: str) -> None:
    """Raise :class:`LawBroken` with the sentence `how` unless the condition holds."""
    if not condition:
        raise LawBroken(how)


C = TypeVar("C")


def law_name(law: Callable[..., None]) -> str:
    """Return the name of a law."""
    return law.__name__.removeprefix("law_")


def make_checks(subject: str, laws: Sequence[Callable[[C], None]], case: C, plugin: Any) -> list[Check]:
    """Return a check for each law, marking the failures that the plugin declares.

    A plugin declares them as ``known_failures``, a mapping from law to written reason.

    Raises:
        LawBroken: If it declares a failure of a law that does not exist, or without a reason.
    """
    known: Mapping[str, str] = getattr(plugin, "known_failures", {})
    names = [law_name(law) for law in laws]
    odd = sorted(known.keys() - set(names))
    require(not odd, f"{subject} declares a known failure of {odd[:1]}, which is no law of its seam")
    mute = sorted(law for law, reason in known.items() if not str(reason).strip())
    require(not mute, f"{subject} declares a known failure of {mute[:1]} without a reason")

    def bound(law: Callable[[C], None]) -> Callable[[], None]:
        return lambda: law(case)

    return [
        Check(subject=subject, law=name, test=bound(law), known_failure=known.get(name))
        for name, law in zip(names, laws, strict=True)
    ]


def _outcome(check: Check) -> str | None:
    """Return what is wrong after trying a check, or None."""
    try:
        check.run()
    except LawBroken as broken:
        return None if check.known_failure is not None else str(broken)
    if check.known_failure is not None:
        return f"{check.subject} keeps the law {check.law!r}, which it declares broken: remove that"
    return None


def run_checks(checks: Iterable[Check]) -> None:
    """Try all checks and then report what was found.

    Raises:
        LawBroken: With one sentence, on a line of its own, for each law that is broken, and for
            each that is declared broken and is not.
    """
    found = [problem for problem in map(_outcome, checks) if problem is not None]
    if found:
        raise LawBroken("\n".join(found))
