"""What a stage of Algorithm 1 is made of: its players, their objective, the random motions and the schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bundle.errors import flag
from bundle.physics import MotionRange
from bundle.separation.adversarial import Discrimination, DiscriminatorLoss
from bundle.separation.losses import (
    GeneratorLoss,
    LayerDistance,
    LayerFidelity,
    Reconstruction,
    Supervision,
    SupervisorLoss,
    WeightedLoss,
)
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

EXTRA = "extra_"
"""How the names of extra losses begin in the output of a training step."""


@dataclass(frozen=True)
class Player:
    """A network with the optimizer that steps it; of several processes the network is DistributedDataParallel."""

    network: nn.Module
    optimizer: Optimizer

    @property
    def bare(self) -> nn.Module:
        """The network as it is used in another player's step: no gradient is collected over the processes."""
        return self.network.module if isinstance(self.network, DistributedDataParallel) else self.network


@dataclass(frozen=True)
class Players:
    """The three networks that are trained together, in the order of iteration.

    Attributes:
        generator: N_G with its optimizer.
        supervisor: N_S with its optimizer.
        discriminator: N_D with its optimizer.
        use_supervisor: False is the ablation without N_S. Epochs whose loss gives it no weight do not train it.
        use_discriminator: False is the ablation without N_D; likewise.
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
        late: the generator's, Eq. 7 in stage 2 or Eq. 11 of the epochs after epoch m.
        early: Eq. 11 of the epochs up to epoch m; None for ``late`` in all epochs.
        reconstruction: L0.
        supervision: L1.
        discrimination: L2.
        fidelity: L3.
        supervisor: Eq. 8 or 12.
        discriminator: Eq. 9.
        extra: further terms of the generator's loss by name; the output of a step has them as ``extra_<name>``.
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
        ranges: of each motion.
        count: motions a step, averaged.
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
        epochs_before: epochs of the stage before it.
        early_epochs: m, the epochs of the early loss.
    """

    epochs_before: int = 0
    early_epochs: int = 0
