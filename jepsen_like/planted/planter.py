"""Changes a module as it is imported."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path

from jepsen_like.planted.bugs import PlantedBug


def plant(bug: PlantedBug) -> None:
    """From now on this process has the bug. RuntimeError when its module was imported before."""
    if bug.module in sys.modules:
        raise RuntimeError(f"{bug.module} was imported too early to be changed")
    sys.meta_path.insert(0, _Planter(bug))


class _Planter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from changed source."""

    def __init__(self, bug: PlantedBug) -> None:
        self._bug = bug

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Only the bug's module."""
        if fullname != self._bug.module:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert found is not None
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=self)

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the changed source."""
        assert module.__file__ is not None
        source = self._bug.planted(Path(module.__file__).read_text(encoding="utf-8"))
        exec(compile(source, module.__file__, "exec"), module.__dict__)  # noqa: S102  # own source
