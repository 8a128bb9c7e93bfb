"""Joints found in radiographs of whole hands."""

from __future__ import annotations

from bundle.hands.augmentation import HandPicture, RandHandViewsd
from bundle.hands.data import hand_items, load_hand, loaded_hands
from bundle.hands.evaluation import FinderReport
from bundle.hands.finder import HandFinder
from bundle.hands.found import FoundHand, FoundJoint, found_places
from bundle.hands.joint_finder import JointFinder
from bundle.hands.landmarks import LANDMARKS, Landmark
from bundle.hands.losses import HeatmapLoss
from bundle.hands.networks import FinderNetwork
from bundle.hands.recentring import Recentred, Recentring
from bundle.hands.training import LandmarkAccuracy, fixed_views, views_and_points

__all__ = [
    "LANDMARKS",
    "FinderNetwork",
    "FinderReport",
    "FoundHand",
    "FoundJoint",
    "HandFinder",
    "HandPicture",
    "HeatmapLoss",
    "JointFinder",
    "Landmark",
    "LandmarkAccuracy",
    "RandHandViewsd",
    "Recentred",
    "Recentring",
    "fixed_views",
    "found_places",
    "hand_items",
    "load_hand",
    "loaded_hands",
    "views_and_points",
]
