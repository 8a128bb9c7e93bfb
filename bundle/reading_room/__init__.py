"""The reading room: a local web application to look at joints, to measure them and to let people judge them."""

from __future__ import annotations

from bundle.reading_room.demo import Demo
from bundle.reading_room.exporting import exported_page
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.running import Place, library_of, readings_folder, rooms_of, serve, study_rooms

__all__ = [
    "Demo",
    "OpenedJoint",
    "Place",
    "exported_page",
    "library_of",
    "readings_folder",
    "rooms_of",
    "serve",
    "study_rooms",
]
