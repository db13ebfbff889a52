"""Losses, sources, and the methods composed of them."""

from attar.objectives.dc import DC, DSA, ONE_STEP, DCSettings, DSASettings, GradientSettings, OneStepSettings
from attar.objectives.distribution import MeanEmbedding, MeanFeatures
from attar.objectives.dm import DM, DMSettings
from attar.objectives.gradient import GradientMatch, absolute, cosine_rows, squared
from attar.objectives.idc import IDC, IDCSettings
from attar.objectives.kernels import (
    FREPO,
    KIP,
    RFAD,
    FRePoSettings,
    KIPSettings,
    RFADSettings,
    RidgeSettings,
)
from attar.objectives.pool import Pool
from attar.objectives.ridge import FeatureKernel, Kernel, ModelKernel, RidgeRegression, platt, squared_error
from attar.objectives.rounds import OnReal, OnSet, Rounds, Trainer
from attar.objectives.sources import Ensemble, Fresh

__all__ = [
    "DC",
    "DM",
    "DSA",
    "FREPO",
    "IDC",
    "KIP",
    "ONE_STEP",
    "RFAD",
    "DCSettings",
    "DMSettings",
    "DSASettings",
    "Ensemble",
    "FRePoSettings",
    "FeatureKernel",
    "Fresh",
    "GradientMatch",
    "GradientSettings",
    "IDCSettings",
    "KIPSettings",
    "Kernel",
    "MeanEmbedding",
    "MeanFeatures",
    "ModelKernel",
    "OnReal",
    "OnSet",
    "OneStepSettings",
    "Pool",
    "RFADSettings",
    "RidgeRegression",
    "RidgeSettings",
    "Rounds",
    "Trainer",
    "absolute",
    "cosine_rows",
    "platt",
    "squared",
    "squared_error",
]
