"""Iteration of an evaluator that separates joints and passes the uncertainty of the prediction on in its output."""

from __future__ import annotations

from typing import Any

from bundle.joint import Keys
from bundle.quality import Answer
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys


def separate_batch(engine: Any, batch: Any) -> dict[str, Any]:
    """Separate the joints of a batch: the ``iteration_update`` of MONAI's ``SupervisedEvaluator``.

    Args:
        engine: evaluator, with a :class:`bundle.quality.FlipInferer` or any inferer of MONAI.
        batch: batch of joints.

    Returns:
        Output with ``image``, ``label`` and ``pred``, the layers, which postprocessing changes, as from MONAI's
        evaluators; ``answer``, the layers before postprocessing; and, if the mirror images were separated as well,
        ``deviation`` between the two predictions (:class:`bundle.quality.Answer`). All are (B, 3, H, W). The
        ``spacing`` of the batch, (B, 1), is passed on.
    """
    images, labels = engine.prepare_batch(batch, engine.state.device, engine.non_blocking, **engine.to_kwargs)
    with engine.mode(engine.network):
        inferer = engine.inferer
        separate = inferer.answer if hasattr(inferer, "answer") else lambda *given: Answer(inferer(*given))
        answer = separate(images, engine.network)
    known = {} if answer.deviation is None else {"deviation": answer.deviation}
    known |= {Keys.SPACING: batch[Keys.SPACING]} if Keys.SPACING in batch else {}
    output = {CommonKeys.IMAGE: images, CommonKeys.LABEL: labels, CommonKeys.PRED: answer.layers}
    engine.state.output = {**output, "answer": answer.layers, **known}
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)
    return engine.state.output
