"""What losses have in common that see so many real samples of each class."""

from __future__ import annotations

from attar.batch import Batch
from attar.contracts.matching import RealDraw
from attar.errors import InternalError

__all__ = ["DrawsByClass"]


class DrawsByClass:
    """A loss that sees `per_class` real samples of each class.

    Attributes:
        per_class: Real samples of each class; smaller classes give all they have.
    """

    per_class: int

    @property
    def real(self) -> RealDraw:
        """Real samples wanted."""
        return RealDraw(per_class=self.per_class)

    def given(self, real: Batch | None) -> Batch:
        """Return the real samples that the loss was given.

        Raises:
            InternalError: If it was given none, though it asks for them.
        """
        if real is None:
            raise InternalError(f"{type(self).__name__} asks for real data and was given no real data")
        return real
