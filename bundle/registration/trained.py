"""Registration by a trained network whose weights are loaded on first use."""

from __future__ import annotations

from pathlib import Path

from bundle.networks import LoadedOnUse
from bundle.registration.gauss_newton import BoneShift
from bundle.registration.network import Registrar
from bundle.registration.network_method import NetworkRegistration
from torch import Tensor


class TrainedRegistration(LoadedOnUse):
    """Registration by a network on the CPU (:class:`NetworkRegistration`); its weights are loaded on first use.

    Args:
        network: network that registers joints (:class:`bundle.registration.Registrar`).
        load_path: file of the weights.
        metadata: file of the bundle's metadata with the checksum of the weights; empty for user-trained weights.
    """

    what = "network that registers joints"
    remedy = "train it with configs/jobs/register_joints.yaml"

    name, antisymmetric = NetworkRegistration.name, NetworkRegistration.antisymmetric

    def __init__(self, network: Registrar, load_path: str | Path, metadata: str = "") -> None:
        super().__init__(network, load_path, metadata)
        self.registration = NetworkRegistration(network)

    def __call__(
        self, before: Tensor, masks: Tensor, after: Tensor, spacing: float, *, after_masks: Tensor | None = None
    ) -> tuple[BoneShift, BoneShift]:
        """See :meth:`bundle.registration.Registration.__call__`.

        Raises:
            InputError: the weights are missing or those of another network.
        """
        self.load()
        return self.registration(before, masks, after, spacing, after_masks=after_masks)
