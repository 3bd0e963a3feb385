"""Import timm where torchvision is absent or does not fit torch.

timm needs torchvision for data sets and transforms that are not used here, but imports it at once; and a torchvision
built for another torch fails on import (``operator torchvision::nms does not exist``). Then timm gets empty stand-ins,
which are taken away again, so that other packages that look for torchvision do not find them.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Iterator


class _Empty(types.ModuleType):
    """A module in which every name is an empty class."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__getattr__": lambda self, name: None}) if name != "InterpolationMode" else _Names()
        setattr(self, name, made)
        return made


class _Names:
    """An enumeration that has every member."""

    def __getattr__(self, name: str) -> str:
        return name.lower()


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Empty(spec.name)

    def exec_module(self, module) -> None:
        pass


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


def import_timm() -> types.ModuleType:
    """Return the module timm."""
    if "timm" in sys.modules:
        return sys.modules["timm"]
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        _forget()
        with _stand_ins():
            import timm
    else:
        import timm
    return timm
