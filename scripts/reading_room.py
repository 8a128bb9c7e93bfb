"""Look at joints, measure them and let people judge them, in a browser on this machine.

    python scripts/reading_room.py outputs/inference          # results, a data set, or a folder of radiographs
    python scripts/reading_room.py --demo                     # phantoms
    python scripts/reading_room.py data_set --for-readers     # only its reader studies, without joints and figures

The server listens on 127.0.0.1 and needs no network. Readings are stored in --output_dir.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted, raise_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

from bundle.errors import InputError, report_plainly, seed_argument


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    given = parser().parse_args(arguments)
    report_plainly()
    if bool(given.folder) == given.demo:
        msg = "Pass one folder, or --demo for phantoms."
        raise InputError(msg)
    end_when_interrupted()
    try:
        from bundle.reading_room import Demo, Place, library_of, readings_folder, rooms_of, serve, study_rooms
    except ModuleNotFoundError as error:
        msg = f"{error.name} is not installed. Run: pip install -r requirements-room.txt"
        raise InputError(msg) from error
    finally:
        raise_when_interrupted()
    folder, seed = None if given.demo else Path(given.folder), seed_argument("--seed", given.seed)
    library = Demo(seed=seed) if folder is None else library_of(folder, given.spacing)
    readings = given.output_dir or readings_folder(folder)
    rooms = study_rooms(readings) if given.for_readers else rooms_of(library, readings, seed)
    serve(rooms, Place(given.host, given.port, not given.no_browser), say=lambda line: print(line, flush=True))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(description="Look at joints, measure them and let people judge them.")
    made.add_argument("folder", nargs="?", help="results of inference, a data set, or radiographs")
    made.add_argument("--demo", action="store_true", help="show phantoms instead of a folder")
    made.add_argument("--port", type=int, default=8765)
    made.add_argument("--host", default="127.0.0.1", help="another address needs the token that is printed")
    made.add_argument("--no-browser", action="store_true", help="open no browser")
    made.add_argument("--for-readers", action="store_true", help="show the reader studies alone, without figures")
    made.add_argument("--spacing", type=float, default=0.0, help="pixel size in mm of radiographs that state none")
    made.add_argument("--seed", type=int, default=0, help="random seed of phantoms and of orders")
    made.add_argument("--output_dir", type=Path, help="folder of readings and studies; usually in outputs/")
    return made


if __name__ == "__main__":
    main()
