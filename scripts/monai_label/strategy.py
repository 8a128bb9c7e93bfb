"""Which radiograph to label next: the one whose separation is least sure."""

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

NOT_FOUND = 1.0
"""Uncertainty of a joint on which a bone is not found: above every standard deviation of intensities in [0, 1]."""

AT_ONCE = 32
"""Joints that are scored in one request at most; the others keep their scores, or wait."""

_log = logging.getLogger(__name__)


class AnyUnlabelled(Strategy):
    """Picks any image without a label."""

    def __init__(self) -> None:
        super().__init__("Any image without a label")

    def __call__(self, request: Mapping[str, Any], datastore: JointDatastore) -> dict[str, Any] | None:
        """The id of an image; None where all have a label."""
        images = datastore.get_unlabeled_images()
        return {"id": random.choice(images)} if images else None


class Uncertainty(Strategy):
    """Picks the image without a label whose separation, by drawn masks, differs most from that of its mirror image.

    Scores are computed when they are first asked for, and again when the weights have changed. They are kept in the
    info of the image, under ``uncertainty``: ``score``, or a ``reason`` why there is none, and the ``weights``.

    Args:
        separate: the separation.
        predict_masks: the segmentation.
    """

    def __init__(self, separate: LayerSeparator, predict_masks: BoneMaskPredictor) -> None:
        super().__init__("The image whose separation is least sure")
        self.separate = separate
        self.predict_masks = predict_masks

    def __call__(self, request: Mapping[str, Any], datastore: JointDatastore) -> dict[str, Any] | None:
        """The id of the image with the highest score, and the score; None where no image can be scored."""
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
        """The score of an image, or why it has none."""
        try:
            view = datastore.view(image_id)
            masks = self.predict_masks(view.image)
            if not masks.flatten(1).any(dim=1).all():
                return {"score": NOT_FOUND}
            return {"score": self.separate(view.image, masks, image_id, view.spacing).uncertainty}
        except InputError as error:
            reason = without_path(str(error), datastore.get_image_uri(image_id), image_id)
            _log.warning(f"Not scored: {reason}")
            return {"reason": reason}
