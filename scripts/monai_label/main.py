"""The app that MONAI Label starts: see docs/monai_label.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bundle.errors import InputError, report_plainly  # noqa: E402
from scripts.monai_label.answers import answering  # noqa: E402
from scripts.monai_label.datastore import JointDatastore  # noqa: E402
from scripts.monai_label.infer import BoneMasks, LayerSeparation  # noqa: E402
from scripts.monai_label.models import BoneDrawer, LayerSeparator  # noqa: E402
from scripts.monai_label.strategy import Uncertainty  # noqa: E402
from scripts.monai_label.train import BoneMaskTraining  # noqa: E402

NAME = "finger_joint_layer_separation"
SENT = "sent"
"""What a radiograph is called that a client sends with its request."""


class FingerJointApp(MONAILabelApp):
    """Bone masks and layers of finger joints.

    Args:
        app_dir: folder of this file.
        studies: folder of radiographs.
        conf: ``model_dir``, the folder of trained weights; ``model`` in ``app_dir`` where it is not given.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        model_dir = Path(conf.get("model_dir") or Path(app_dir) / "model")
        model_dir.mkdir(parents=True, exist_ok=True)
        self._draw, self._separate = BoneDrawer(ROOT, model_dir), LayerSeparator(ROOT)
        about = json.loads((ROOT / "configs" / "metadata.json").read_bytes())
        names = {"name": NAME, "description": about["description"], "version": about["version"]}
        super().__init__(app_dir, studies, dict(conf), **names)

    def init_datastore(self) -> Datastore:
        """The radiographs of the studies folder."""
        if self.studies.startswith(("http://", "https://")):
            msg = f"expected a folder of radiographs, got {self.studies}: copy the radiographs to a folder"
            raise InputError(msg)
        reload, read_only = settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD, settings.MONAI_LABEL_DATASTORE_READ_ONLY
        return JointDatastore(self.studies, auto_reload=reload, read_only=read_only)

    def init_infers(self) -> dict[str, InferTask]:
        """Bone masks as a label map, and layers."""
        separation = LayerSeparation(self._separate, self._draw, self.datastore())
        return {"bone_masks": BoneMasks(self._draw, self.datastore()), "layer_separation": separation}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Training of the bone masks."""
        return {"bone_masks": BoneMaskTraining(self._draw, ROOT)}

    def init_strategies(self) -> dict[str, Strategy]:
        """By the uncertainty of the separation, or at random."""
        return {"uncertainty": Uncertainty(self._separate, self._draw), "random": Random()}

    def infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Run a task; what cannot be used is answered by HTTP 400 and a message."""
        image = str(request.get("image", ""))
        path = self.datastore().get_image_uri(image) or image
        image_id = SENT if path == image else image
        with answering(path, image_id):
            return dict(super().infer({**request, "image_id": image_id}, datastore))

    def train(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Train; in a process of its own a message ends it, in the server it is answered by HTTP 400."""
        if not self._server_mode:
            report_plainly()
            return dict(super().train(request))
        with answering():
            return dict(super().train(request))

    def next_sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What to label next, without its path."""
        found = super().next_sample(request)
        return {key: value for key, value in found.items() if key != "path"}
