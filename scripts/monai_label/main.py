"""The app for MONAI Label; see docs/monai_label.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bundle.errors import InputError, report_plainly
from scripts.monai_label.answers import answering
from scripts.monai_label.datastore import JointDatastore
from scripts.monai_label.guard import Guard
from scripts.monai_label.infer import BatchBoneMasks, BoneMasks, LayerSeparation
from scripts.monai_label.models import BoneMaskPredictor, HandJointFinder, LayerSeparator
from scripts.monai_label.options import OPTIONS, SESSION, checked
from scripts.monai_label.strategy import AnyUnlabelled, Uncertainty
from scripts.monai_label.train import BoneMaskTraining
from scripts.monai_label.uploads import is_upload, keep_private, process_folder

NAME = "finger_joint_layer_separation"
SENT = "sent"
"""Id of a radiograph that a client sends with its request."""


class FingerJointApp(MONAILabelApp):
    """App for bone masks and layers of finger joints.

    Args:
        app_dir: folder of this file.
        studies: folder of radiographs.
        conf: ``model_dir``, the folder of trained weights; by default ``model`` in ``app_dir``.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        model_dir = Path(conf.get("model_dir") or Path(app_dir) / "model")
        model_dir.mkdir(parents=True, exist_ok=True)
        self._predict_masks, self._separate = BoneMaskPredictor(ROOT, model_dir), LayerSeparator(ROOT)
        about = json.loads((ROOT / "configs" / "metadata.json").read_bytes())
        names = {"name": NAME, "description": about["description"], "version": about["version"]}
        super().__init__(app_dir, studies, dict(conf), **names)

    def init_datastore(self) -> Datastore:
        """Open the radiographs of the studies folder."""
        if self.studies.startswith(("http://", "https://")):
            msg = f"{self.studies}: not a folder of radiographs. Copy the radiographs to a folder."
            raise InputError(msg)
        reload, read_only = settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD, settings.MONAI_LABEL_DATASTORE_READ_ONLY
        return JointDatastore(self.studies, self._separate.reference, HandJointFinder(ROOT), reload, read_only)

    def init_infers(self) -> dict[str, InferTask]:
        """Return the tasks: bone masks as a label map, and layers."""
        separation = LayerSeparation(self._separate, self._predict_masks, self.datastore())
        return {"bone_masks": BoneMasks(self._predict_masks, self.datastore()), "layer_separation": separation}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Return the training of the bone masks."""
        return {"bone_masks": BoneMaskTraining(self._predict_masks, ROOT)}

    def init_strategies(self) -> dict[str, Strategy]:
        """Return the strategies: uncertainty of the separation, or random."""
        return {"uncertainty": Uncertainty(self._separate, self._predict_masks), "random": AnyUnlabelled()}

    def init_batch_infer(self) -> BatchBoneMasks:
        """Return the prediction of bone masks of many images."""
        return BatchBoneMasks()

    def on_init_complete(self) -> None:
        """Install the guard of uploads and requests before the server answers any."""
        from monailabel.app import app

        keep_private()
        if app.middleware_stack is None:
            msg = "The server of MONAI Label is not running. Start it with monailabel.main start_server."
            raise InputError(msg)
        app.middleware_stack = Guard(app.middleware_stack, self)
        super().on_init_complete()

    def known(self, image_id: str, tag: str | None = None) -> bool:
        """Whether an image exists, or a label of it with a tag."""
        if tag is None:
            return image_id in self.datastore().list_images()
        return bool(self.datastore().get_label_uri(image_id, tag))

    def undo(self) -> dict[str, Any]:
        """Restore the weights from before the last training."""
        return {"weights": self._predict_masks.undo()}

    def infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Run a task; answer unusable input with HTTP 400 and a message."""
        image_id, path = self._radiograph(request)
        with answering(path, image_id):
            asked = checked({key: value for key, value in request.items() if key not in _FILES}, OPTIONS["infer"])
            task = known_task(self._infers, asked.get("model"))
            own = {**asked, "image": path, "image_id": image_id, "label": _sent_label(request)}
            file, said = task(own)
            label = self._kept(own, file, said)
        return {"label": label, "tag": DefaultLabelTag.ORIGINAL, "file": file, "params": said}

    def _radiograph(self, request: Mapping[str, Any]) -> tuple[str, str]:
        """Return id and path of a request's radiograph: from the datastore, its upload or its session."""
        asked = str(request.get("image", ""))
        if is_upload(asked) or self._is_of_session(asked, request.get("session")):
            return SENT, asked
        return asked, self.datastore().get_image_uri(asked)

    def _is_of_session(self, path: str, session: Any) -> bool:
        """Whether a path is the file of an open session."""
        name, sessions = session.get("name") if isinstance(session, Mapping) else None, self.sessions()
        found = sessions.get_session(SESSION.take(name)) if name and sessions else None
        return found is not None and found.image == path

    def _kept(self, request: Mapping[str, Any], file: str, said: Mapping[str, Any]) -> str:
        """Return the id of the label if inference saves it, otherwise its file."""
        if not request.get("save_label") or request["image_id"] == SENT:
            return file
        tag, info = (
            request.get("label_tag", DefaultLabelTag.ORIGINAL.value),
            {"model": request["model"], "params": said},
        )
        return self.datastore().save_label(request["image_id"], file, tag, info)

    def train(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Train; errors end a separate process with a message, or are answered with HTTP 400 in the server."""
        if self._server_mode:
            with answering():
                return self._train(request)
        report_plainly()
        with process_folder():
            return self._train(request)

    def _train(self, request: Mapping[str, Any]) -> dict[str, Any]:
        asked = checked(request, OPTIONS["train"])
        return dict(known_task(self._trainers, asked.get("model"))(asked, self.datastore()))

    def batch_infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Predict and save the masks of many images; a separate process removes its files at its end."""
        if self._server_mode:
            with answering():
                return self._batch_infer(checked(request, OPTIONS["batch_infer"]), self.datastore(), self.infer)
        report_plainly()
        with process_folder():
            return self._batch_infer(checked(request, OPTIONS["batch_infer"]), self.datastore(), self.infer)

    def next_sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the next image to label, without its path."""
        with answering():
            asked = checked(request, OPTIONS["activelearning"])
            found = known_task(self._strategies, asked.get("strategy"))(asked, self.datastore())
        return found or {}


_FILES = ("image", "label", "session", "description")
"""Keys that MONAI Label adds to the options of a request."""


def known_task(tasks: Mapping[str, Any], name: Any) -> Any:
    """Return a task by its name; raises :class:`InputError` if there is none."""
    if name not in tasks:
        msg = f"{name!r} is unknown. Choose one of {', '.join(tasks)}; GET /info lists them."
        raise InputError(msg)
    return tasks[name]


def _sent_label(request: Mapping[str, Any]) -> str:
    """Return the file of the label sent with a request; empty if there is none."""
    label = request.get("label") or ""
    if label and not is_upload(label):
        msg = '"label" is text. Send it as a file of the form.'
        raise InputError(msg)
    return str(label)
