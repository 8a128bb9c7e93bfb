"""Active learning: label next the radiograph with the most uncertain separation."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import Any

from bundle.errors import InputError
from monailabel.interfaces.tasks.strategy import Strategy
from scripts.monai_label.answers import without_path
from scripts.monai_label.datastore import JointDatastore
from scripts.monai_label.models import BoneMaskPredictor, LayerSeparator
from scripts.monai_label.view import JointView

NOT_FOUND = 1.0
"""Uncertainty of a joint with a missing bone: above every standard deviation of intensities in [0, 1]."""

AT_ONCE = 32
"""Maximum number of joints scored per request; the others keep their scores, or wait."""

_log = logging.getLogger(__name__)


class AnyUnlabelled(Strategy):
    """Random choice of an image without a label."""

    def __init__(self) -> None:
        super().__init__("Any image without a label")

    def __call__(self, request: Mapping[str, Any], datastore: JointDatastore) -> dict[str, Any] | None:
        """Return the id of an image; None if all have a label."""
        images = datastore.get_unlabeled_images()
        return {"id": random.choice(images)} if images else None


class Uncertainty(Strategy):
    """Choice of the unlabelled image whose separation, with predicted masks, differs most from its mirror image's.

    Scores are computed on demand, and again when the weights have changed. They are stored in the info of the image,
    under ``uncertainty``: ``score``, or a ``reason`` why there is none, and the ``weights``.

    Args:
        separate: separation.
        predict_masks: segmentation.
    """

    def __init__(self, separate: LayerSeparator, predict_masks: BoneMaskPredictor) -> None:
        super().__init__("The image with the most uncertain separation")
        self.separate = separate
        self.predict_masks = predict_masks

    def __call__(self, request: Mapping[str, Any], datastore: JointDatastore) -> dict[str, Any] | None:
        """Return the id of the image with the highest score, and the score; None if no image can be scored."""
        images, weights = datastore.get_unlabeled_images(), f"{self.separate.source}, {self.predict_masks.source}"
        known = {image_id: datastore.get_image_info(image_id).get("uncertainty", {}) for image_id in images}
        outdated = [image_id for image_id, found in known.items() if found.get("weights") != weights]
        for image_id in outdated[: request.get("at_once", AT_ONCE)]:
            known[image_id] = {**self._score(image_id, datastore), "weights": weights}
            datastore.update_image_info(image_id, {"uncertainty": known[image_id]})
        scores = {image_id: found["score"] for image_id, found in known.items() if "score" in found}
        if not scores:
            return None
        chosen = max(scores, key=scores.__getitem__)
        return {"id": chosen, "score": scores[chosen]}

    def _score(self, image_id: str, datastore: JointDatastore) -> dict[str, Any]:
        """Return the score of an image, that of its most uncertain joint, or why it has none."""
        try:
            return {"score": max(self._score_joint(image_id, view) for view in datastore.views(image_id).joints)}
        except InputError as error:
            reason = without_path(str(error), datastore.get_image_uri(image_id), image_id)
            _log.warning(f"Not scored: {reason}")
            return {"reason": reason}

    def _score_joint(self, image_id: str, view: JointView) -> float:
        """Return the uncertainty of a joint's separation with predicted masks."""
        masks = self.predict_masks(view.image)
        if not masks.flatten(1).any(dim=1).all():
            return NOT_FOUND
        return self.separate(view.image, masks, image_id, view.spacing).uncertainty
