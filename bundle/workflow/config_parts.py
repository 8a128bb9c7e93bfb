"""Parts of a run's configuration that its worker processes build for themselves."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from bundle.errors import InputError
from bundle.workflow.ending import running_workflow
from monai.bundle import ConfigParser


class ConfigPart:
    """A part of the running configuration; pickled, it is the configuration, from which another process builds it.

    Args:
        id: id of the part in the configuration.
        built: the part as built in this process.

    Raises:
        InputError: there is no running configuration.
    """

    def __init__(self, id: str, built: Any) -> None:
        workflow = running_workflow()
        if workflow is None:
            msg = f"{id} is a part of a run's configuration. Start the run by monai.bundle."
            raise InputError(msg)
        self.id, self.config, self.built = id, dict(workflow.parser.get()), built

    @cached_property
    def built(self) -> Any:
        """The part, built once per process."""
        return ConfigParser(dict(self.config)).get_parsed_content(self.id)

    def __getstate__(self) -> dict[str, Any]:
        return {"id": self.id, "config": self.config}
