"""Layer separation of finger-joint radiographs into soft tissue and two bones, and synthesis of any joint space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bundle.face import Hand, Joint, Layers, SyntheticJoint, joint_space, narrowing, separate, synthesize

__all__ = ["Hand", "Joint", "Layers", "SyntheticJoint", "joint_space", "narrowing", "separate", "synthesize"]


def __getattr__(name: str) -> Any:
    """Import the public interface on first access, so that importing one subpackage does not load the others."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from bundle import face

    return getattr(face, name)
