"""An iteration of an evaluator that separates joints: what is known of the answer travels in its output."""

from __future__ import annotations

from typing import Any

from bundle.quality import Answer
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys


def separate_batch(engine: Any, batch: Any) -> dict[str, Any]:
    """Separate the joints of a batch: the ``iteration_update`` of MONAI's ``SupervisedEvaluator``.

    Args:
        engine: the evaluator; its inferer is a :class:`bundle.quality.FlipInferer`, or any of MONAI's.
        batch: of joints.

    Returns:
        The output: ``image``, ``label`` and ``pred``, the layers, which the postprocessing changes, as of MONAI's
        evaluators; and ``answer``, the layers before it, and ``deviation`` of the answers to the joints and to their
        mirror images, if there were any (:class:`bundle.quality.Answer`). All are (B, 3, H, W).
    """
    images, labels = engine.prepare_batch(batch, engine.state.device, engine.non_blocking, **engine.to_kwargs)
    with engine.mode(engine.network):
        inferer = engine.inferer
        separate = inferer.answer if hasattr(inferer, "answer") else lambda *given: Answer(inferer(*given))
        answer = separate(images, engine.network)
    known = {} if answer.deviation is None else {"deviation": answer.deviation}
    output = {CommonKeys.IMAGE: images, CommonKeys.LABEL: labels, CommonKeys.PRED: answer.layers}
    engine.state.output = {**output, "answer": answer.layers, **known}
    engine.fire_event(IterationEvents.FORWARD_COMPLETED)
    engine.fire_event(IterationEvents.MODEL_COMPLETED)
    return engine.state.output
