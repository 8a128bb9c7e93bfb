"""Registration of two radiographs of a joint and measurement of the narrowing between them."""

from __future__ import annotations

from bundle.registration.alignment import FrameMotion, warp_bones
from bundle.registration.following import FollowUp
from bundle.registration.gauss_newton import BoneRegistration, BoneShift
from bundle.registration.losses import MixedRegistration, SeenRegistration, TrueRegistration
from bundle.registration.method import Registration
from bundle.registration.narrowing import PairReading, exceeds_detectable, make_registration, read_pair
from bundle.registration.network import Registrar
from bundle.registration.network_method import NetworkRegistration
from bundle.registration.pair_lists import RadiographPairs, pairs_of_joint
from bundle.registration.pairs import RandPairs, prepare_pairs
from bundle.registration.phase_correlation import PhaseCorrelation
from bundle.registration.plausibility import judge_registration
from bundle.registration.report import NarrowingReport, NarrowingWriter, PairQuality
from bundle.registration.synthetic_pairs import SyntheticPairs
from bundle.registration.trained import TrainedRegistration

__all__ = [
    "BoneRegistration",
    "BoneShift",
    "FollowUp",
    "FrameMotion",
    "MixedRegistration",
    "NarrowingReport",
    "NarrowingWriter",
    "NetworkRegistration",
    "PairQuality",
    "PairReading",
    "PhaseCorrelation",
    "RadiographPairs",
    "RandPairs",
    "Registrar",
    "Registration",
    "SeenRegistration",
    "SyntheticPairs",
    "TrainedRegistration",
    "TrueRegistration",
    "exceeds_detectable",
    "judge_registration",
    "make_registration",
    "pairs_of_joint",
    "prepare_pairs",
    "read_pair",
    "warp_bones",
]
