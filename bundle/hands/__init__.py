"""Joints found in radiographs of whole hands."""

from __future__ import annotations

from bundle.hands.augmentation import HandPicture, RandHandViewsd
from bundle.hands.data import hand_items, loaded_hands
from bundle.hands.losses import HeatmapLoss
from bundle.hands.networks import FinderNetwork
from bundle.hands.training import LandmarkAccuracy, fixed_views, views_and_points

__all__ = [
    "FinderNetwork",
    "HandPicture",
    "HeatmapLoss",
    "LandmarkAccuracy",
    "RandHandViewsd",
    "fixed_views",
    "hand_items",
    "loaded_hands",
    "views_and_points",
]
