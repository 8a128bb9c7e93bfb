"""Layer separation of finger-joint radiographs into soft tissue and two bones, and synthesis of any joint space.

>>> from bundle import Joint, separate, synthesize
>>> joint = Joint.phantom(seed=0)  # or Joint.read("joint.dcm")
>>> wider = synthesize(separate(joint), change_mm=0.5)
>>> wider.radiograph.shape
torch.Size([1, 256, 256])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bundle.face import Hand, Joint, Layers, SyntheticJoint, joint_space, narrowing, separate, synthesize

__all__ = ["Hand", "Joint", "Layers", "SyntheticJoint", "joint_space", "narrowing", "separate", "synthesize"]


def __getattr__(name: str) -> Any:
    """Import the public interface on first access, so that importing one subpackage does not load the others."""
    if name == "__version__":
        from bundle.io import bundle_version

        return bundle_version()
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from bundle import face

    return getattr(face, name)
