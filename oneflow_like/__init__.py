"""Not the Python package: this folder holds C++ sources that happen to bear its name.

Python started in the repository's root finds this folder first. When the real package is installed
(or its folder stands on sys.path), this module steps aside for it.
"""

import importlib.machinery
import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _find_installed():
    elsewhere = [path for path in sys.path if os.path.abspath(path or os.curdir) != _HERE]
    spec = importlib.machinery.PathFinder.find_spec(__name__, elsewhere)
    if spec is None or spec.origin is None or os.path.abspath(spec.origin) == __file__:
        # Editable installs are found by a hook of their own, not by a folder on sys.path.
        for finder in sys.meta_path:
            if finder is importlib.machinery.PathFinder or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(__name__, None)
            if spec is not None and spec.origin not in (None, os.path.abspath(__file__)):
                return spec
        return None
    return spec


def _step_aside():
    spec = _find_installed()
    if spec is None:
        raise ImportError(
            "oneflow_like is not installed: this is its source tree, where the folder "
            "oneflow_like/ holds C++ sources; run ./scripts/quickstart, or `pip install .`")
    module = sys.modules[__name__]
    module.__spec__ = spec
    module.__file__ = spec.origin
    module.__path__ = spec.submodule_search_locations
    module.__loader__ = spec.loader
    module.__package__ = __name__
    spec.loader.exec_module(module)


_step_aside()
