"""Storage of separated joints as the source joints of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ignite.distributed as idist
from bundle.base import one_thread
from bundle.datasets.sources import COMPUTED, KeptSources, Source, SourceStore, stated_joint_space
from bundle.errors import InputError
from bundle.inference import JointQuality, Results
from bundle.io import Item, check_output
from bundle.measurement import facing_centers, measure_joint_space
from bundle.networks import TORCH
from bundle.physics import SeparatedBones
from bundle.quality import FlipInferer
from bundle.workflow import GeneratorWeights
from torch import Tensor


class SourceWriter(Results):
    """Writer of separated joints for a data set (:class:`bundle.datasets.SourceStore`).

    Several processes share the joints.

    Args:
        output_dir: folder of the source joints.
        settings: see :class:`bundle.inference.Results`.
        weights: weights of the generator.
        quality: assessment of the joints.
        defined_by: see :class:`bundle.inference.Results`.
        inferer: see :class:`bundle.inference.Results`.
    """

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        weights: GeneratorWeights,
        quality: JointQuality,
        defined_by: Sequence[str] = (),
        inferer: FlipInferer | None = None,
    ) -> None:
        super().__init__(output_dir, settings, weights, defined_by, inferer)
        self.store = SourceStore(output_dir)
        self.quality = quality

    def begin(self) -> None:
        """See :meth:`bundle.inference.Results.begin`; several runs may use a store that is complete.

        Raises:
            InputError: the processes of the run separate by different runtimes.
        """
        _check_runtimes(self.inferer)
        if self.joints and not self.rejected and not self.left(self.joints):
            check_output(self.output_dir, self.run)
        else:
            super().begin()

    def left(self, joints: Sequence[Item]) -> list[Item]:
        """Return this process's share of the joints that are not stored yet or whose files have changed since."""
        rank, processes = idist.get_rank(), idist.get_world_size()
        return [joint for joint in joints[rank::processes] if not self._is_kept(joint)]

    def has_all(self, joints: Sequence[Item]) -> bool:
        """See :meth:`bundle.inference.Results.has_all`."""
        return all(self._is_kept(joint) for joint in joints)

    def write_lines(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """See :meth:`bundle.inference.Results.write_lines`; only one process writes."""
        if idist.get_rank() == 0:
            super().write_lines(name, lines)

    def kept(self, joints: Sequence[Item]) -> KeptSources:
        """Return the stored source joints in the order of ``joints``, looked up on first use."""
        return KeptSources(self.store, [str(joint["name"]) for joint in joints])

    def _is_kept(self, joint: Item) -> bool:
        found = self.store.find(str(joint["name"]))
        return found is not None and found.digest == joint.get("digest", "")

    def add(self, joint: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        """Assess and store a joint; see :meth:`bundle.inference.Results.add`."""
        with one_thread():
            image, judged = joint["image"].detach().cpu(), self.quality(joint, output)
            layers = output["pred"].detach().cpu()[None]
            bones = SeparatedBones.of(layers, image[None, 1:], float(joint["spacing"]))
            self.store.write(self._source(joint, layers, image[1:], judged), bones, image[:1])

    def _source(self, joint: Mapping[str, Any], layers: Tensor, masks: Tensor, judged: Mapping[str, Any]) -> Source:
        spacing = float(joint["spacing"])
        known: dict[str, Any] = {key: str(joint[key]) for key in ("name", "joint", "finger", "side")}
        return Source(
            **known,
            spacing_mm=spacing,
            **stated_joint_space(measure_joint_space(layers, masks[None], spacing)),
            edges_mm=facing_centers(masks.numpy() > 0.5, spacing).tolist(),
            masks=str(joint.get("masks", "given")),
            digest=str(joint.get("digest", "")),
            separator=self.settings["separator"],
            flagged=bool(judged["flagged"]),
            expected_overlap_rmse=judged["expected_overlap_rmse"],
            reasons=list(judged.get("reasons", [])),
            computed={key: judged[key] for key in COMPUTED if key in judged},
        )


def _check_runtimes(inferer: FlipInferer | None) -> None:
    """Refuse processes on machines with different runtimes, whose results differ in the last digits."""
    if inferer is None or idist.get_world_size() < 2:
        return
    gathered: Any = idist.all_gather(inferer.runtime_name)
    names = sorted(set(gathered))
    if len(names) > 1:
        msg = f"the processes of the run use different runtimes, {' and '.join(names)}. Pass --runtime {TORCH} to all."
        raise InputError(msg)
