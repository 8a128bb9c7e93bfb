"""Finger-joint layer separation: soft tissue, lower bone and upper bone of a joint radiograph, and any joint space."""
