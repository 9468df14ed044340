"""The model that answers, and the one that takes its place when training has written another."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from hashgen.base.errors import HashgenError
from hashgen.serving.core import Core

_log = logging.getLogger(__name__)


class Live:
    """A model folder, loaded, and loaded again when another takes its place.

    core: None until `open` has ended. version: which one it is; pictures are kept under it. warnings: what answers say
    besides: a new model that cannot be loaded.
    """

    def __init__(self, folder: Path, load: Callable[[Path], Core]) -> None:
        self._folder, self._load = folder, load
        self._tried = ""
        self.core: Core | None = None
        self.version = ""
        self.warnings: list[str] = []

    async def open(self) -> None:
        """Load the model. Raises HashgenError, as `Suggester.load` does."""
        version = self._stamp()
        self.core = await asyncio.to_thread(self._load, self._folder)
        self.version = self._tried = version

    async def check(self) -> bool:
        """Load the model beside the one that answers if it is another; returns whether it took its place.

        One that cannot be loaded changes nothing but `warnings`. It is tried again when its file changes.
        """
        version = self._stamp()
        # Between two renames there is no folder for an instant.
        if version in ("", self._tried):
            return False
        try:
            core = await asyncio.to_thread(self._load, self._folder)
        # Whatever is wrong with the new one, the old one goes on.
        except Exception as error:
            self._tried = version
            reason = str(error) if isinstance(error, HashgenError) else type(error).__name__
            reason = reason.replace(str(self._folder), self._folder.name)  # where it lies is nobody's business
            self.warnings = [f"the newest model cannot be loaded, so the one before it answers ({reason})"]
            _log.warning("%s", self.warnings[0])
            return False
        self.core, self.version, self._tried, self.warnings = core, version, version, []
        return True

    def _stamp(self) -> str:
        """What tells one model folder from the next; empty if there is none."""
        try:
            found = (self._folder / "model.json").stat()
        except OSError:
            return ""
        return f"{found.st_dev}-{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
