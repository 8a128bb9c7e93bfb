"""Components of a stage of Algorithm 1: players (networks), objective, random motions and schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bundle.errors import flag
from bundle.networks import fast_to_train
from bundle.physics import MotionRange
from bundle.separation.adversarial import Discrimination, DiscriminatorLoss
from bundle.separation.losses import (
    GeneratorLoss,
    LayerDistance,
    LayerFidelity,
    Reconstruction,
    Supervision,
    SupervisorLoss,
)
from bundle.separation.weighted_loss import WeightedLoss
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer


@dataclass(frozen=True)
class Player:
    """A network with its optimizer; with several processes the network is DistributedDataParallel.

    On a CPU, the network is converted to the memory format channels last (:func:`bundle.networks.fast_to_train`).
    """

    network: nn.Module
    optimizer: Optimizer

    def __post_init__(self) -> None:
        fast_to_train(self.network)

    @property
    def bare(self) -> nn.Module:
        """The network for use in another player's step, without gradient synchronization between processes."""
        return self.network.module if isinstance(self.network, DistributedDataParallel) else self.network


@dataclass(frozen=True)
class Players:
    """The three networks that are trained together, in the order of iteration.

    Attributes:
        generator: N_G (Eq. 1) with its optimizer.
        supervisor: N_S (Eq. 2) with its optimizer.
        discriminator: N_D (Eq. 3) with its optimizer.
        use_supervisor: False is the ablation without N_S. N_S is not trained in epochs whose loss gives it no weight.
        use_discriminator: False is the ablation without N_D. N_D is not trained in epochs whose loss gives it no
            weight.
    """

    generator: Player
    supervisor: Player
    discriminator: Player
    use_supervisor: bool = True
    use_discriminator: bool = True

    def __post_init__(self) -> None:
        for switch in ("use_supervisor", "use_discriminator"):
            object.__setattr__(self, switch, flag(getattr(self, switch)))

    def __iter__(self) -> Iterator[Player]:
        return iter((self.generator, self.supervisor, self.discriminator))


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The losses of a stage.

    Attributes:
        late: loss of the generator: Eq. 7 in stage 2, Eq. 11 after epoch m in stage 1.
        early: loss of the generator up to epoch m, Eq. 11; None for ``late`` in all epochs.
        reconstruction: L0.
        supervision: L1.
        discrimination: L2.
        fidelity: L3.
        supervisor: Eq. 8 or 12.
        discriminator: Eq. 9.
        extra: extra terms of the generator's loss by name; ``extra_<name>`` in the output of a step.
    """

    late: GeneratorLoss
    early: GeneratorLoss | None = None
    reconstruction: nn.Module = field(default_factory=Reconstruction)
    supervision: nn.Module = field(default_factory=Supervision)
    discrimination: nn.Module = field(default_factory=Discrimination)
    fidelity: LayerFidelity | LayerDistance = field(default_factory=LayerFidelity)
    supervisor: nn.Module = field(default_factory=SupervisorLoss)
    discriminator: nn.Module = field(default_factory=DiscriminatorLoss)
    extra: Mapping[str, WeightedLoss] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RandomMotions:
    """The random motions f_s of a step.

    Attributes:
        ranges: ranges of each motion.
        count: number of motions per step, averaged.
        used: False is the ablation without f_s.
    """

    ranges: MotionRange = field(default_factory=MotionRange)
    count: int = 2
    used: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "used", flag(self.used))


@dataclass(frozen=True, kw_only=True)
class StageSchedule:
    """The epochs of a stage, counted over both stages.

    Attributes:
        epochs_before: number of epochs of the previous stage.
        early_epochs: m, number of epochs with the early loss.
    """

    epochs_before: int = 0
    early_epochs: int = 0
