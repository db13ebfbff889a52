"""Losses, sources, and the methods composed of them."""

from attar.objectives.answers import Answered
from attar.objectives.backprop import (
    DD,
    RAT_BPTT,
    RTP,
    BackpropMethod,
    BackpropSettings,
    DDSettings,
    RaTSettings,
    RTPSettings,
)
from attar.objectives.cafe import CAFE, AlignedFeatures, CAFESettings
from attar.objectives.datadam import DATADAM, AttentionMatch, DataDAMSettings
from attar.objectives.dc import DC, DSA, ONE_STEP, DCSettings, DSASettings, GradientSettings, OneStepSettings
from attar.objectives.distribution import MeanEmbedding, MeanFeatures, embed, feature_maps
from attar.objectives.dm import DM, DMSettings
from attar.objectives.drawn import DrawsByClass
from attar.objectives.gradient import GradientMatch, absolute, cosine_rows, squared
from attar.objectives.idc import IDC, IDCSettings
from attar.objectives.idm import IDM, IDMSettings
from attar.objectives.inner import InnerAdam, InnerOptimizer, InnerSGD, InnerTraining, adjoint, plain, stopped
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
from attar.objectives.mtt import (
    DATM,
    MTT,
    TESLA,
    DATMSettings,
    MTTSettings,
    TESLASettings,
    TrajectoryMethod,
    TrajectorySettings,
)
from attar.objectives.ncfm import NCFM, CharacteristicMatch, NCFMSettings
from attar.objectives.pool import Pool
from attar.objectives.rates import FixedRate, OneRate, RatePerStep, Rates
from attar.objectives.ridge import FeatureKernel, Kernel, ModelKernel, RidgeRegression, platt, squared_error
from attar.objectives.rounds import OnReal, OnSet, Rounds, Trainer
from attar.objectives.sources import Ensemble, Fresh
from attar.objectives.sre2l import SRE2L, RecoverLoss, SRe2LSettings
from attar.objectives.teachers import Teachers
from attar.objectives.trajectories import Trajectories, TrajectoryMatch
from attar.objectives.unrolled import UnrolledLoss

__all__ = [
    "CAFE",
    "DATADAM",
    "DATM",
    "DC",
    "DD",
    "DM",
    "DSA",
    "FREPO",
    "IDC",
    "IDM",
    "KIP",
    "M3D",
    "MTT",
    "NCFM",
    "ONE_STEP",
    "RAT_BPTT",
    "RFAD",
    "RTP",
    "SRE2L",
    "TESLA",
    "AlignedFeatures",
    "Answered",
    "AttentionMatch",
    "BackpropMethod",
    "BackpropSettings",
    "CAFESettings",
    "CharacteristicMatch",
    "DATMSettings",
    "DCSettings",
    "DDSettings",
    "DMSettings",
    "DSASettings",
    "DataDAMSettings",
    "DrawsByClass",
    "Ensemble",
    "FRePoSettings",
    "FeatureKernel",
    "FixedRate",
    "Fresh",
    "GaussianMMD",
    "GradientMatch",
    "GradientSettings",
    "IDCSettings",
    "IDMSettings",
    "InnerAdam",
    "InnerOptimizer",
    "InnerSGD",
    "InnerTraining",
    "KIPSettings",
    "Kernel",
    "M3DSettings",
    "MTTSettings",
    "MeanEmbedding",
    "MeanFeatures",
    "ModelKernel",
    "NCFMSettings",
    "OnReal",
    "OnSet",
    "OneRate",
    "OneStepSettings",
    "Pool",
    "RFADSettings",
    "RTPSettings",
    "RaTSettings",
    "RatePerStep",
    "Rates",
    "RecoverLoss",
    "RidgeRegression",
    "RidgeSettings",
    "Rounds",
    "SRe2LSettings",
    "TESLASettings",
    "Teachers",
    "Trainer",
    "Trajectories",
    "TrajectoryMatch",
    "TrajectoryMethod",
    "TrajectorySettings",
    "UnrolledLoss",
    "absolute",
    "adjoint",
    "cosine_rows",
    "embed",
    "feature_maps",
    "plain",
    "platt",
    "squared",
    "squared_error",
    "stopped",
]
