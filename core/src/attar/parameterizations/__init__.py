"""How the values of a tensor set are stored and decoded."""

from attar.parameterizations.plain import PLAIN, Plain

__all__ = ["PLAIN", "Plain"]
