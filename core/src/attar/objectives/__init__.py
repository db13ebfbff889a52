"""Losses, sources, and the methods composed of them."""

from attar.objectives.answers import Answered
from attar.objectives.cafe import CAFE, AlignedFeatures, CAFESettings
from attar.objectives.datadam import DATADAM, AttentionMatch, DataDAMSettings
from attar.objectives.dc import DC, DSA, ONE_STEP, DCSettings, DSASettings, GradientSettings, OneStepSettings
from attar.objectives.distribution import MeanEmbedding, MeanFeatures
from attar.objectives.dm import DM, DMSettings
from attar.objectives.gradient import GradientMatch, absolute, cosine_rows, squared
from attar.objectives.idc import IDC, IDCSettings
from attar.objectives.idm import IDM, IDMSettings
from attar.objectives.kernels import (
    FREPO,
    KIP,
    RFAD,
    FRePoSettings,
    KIPSettings,
    RFADSettings,
    RidgeSettings,
)
from attar.objectives.m3d import M3D, GaussianMMD, M3DSettings
from attar.objectives.ncfm import NCFM, CharacteristicMatch, NCFMSettings
from attar.objectives.pool import Pool
from attar.objectives.ridge import FeatureKernel, Kernel, ModelKernel, RidgeRegression, platt, squared_error
from attar.objectives.rounds import OnReal, OnSet, Rounds, Trainer
from attar.objectives.sources import Ensemble, Fresh

__all__ = [
    "CAFE",
    "DATADAM",
    "DC",
    "DM",
    "DSA",
    "FREPO",
    "IDC",
    "IDM",
    "KIP",
    "M3D",
    "NCFM",
    "ONE_STEP",
    "RFAD",
    "AlignedFeatures",
    "Answered",
    "AttentionMatch",
    "CAFESettings",
    "CharacteristicMatch",
    "DCSettings",
    "DMSettings",
    "DSASettings",
    "DataDAMSettings",
    "Ensemble",
    "FRePoSettings",
    "FeatureKernel",
    "Fresh",
    "GaussianMMD",
    "GradientMatch",
    "GradientSettings",
    "IDCSettings",
    "IDMSettings",
    "KIPSettings",
    "Kernel",
    "M3DSettings",
    "MeanEmbedding",
    "MeanFeatures",
    "ModelKernel",
    "NCFMSettings",
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
