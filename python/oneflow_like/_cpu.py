"""Pins the BLAS library's kernels together with our own loops.

OFL_CPU_LEVEL (v4, v3 or base) pins our loops when the extension is loaded; the library reads
OPENBLAS_CORETYPE when it is loaded. Imported before either. The C++ program oneflow-like-exec has
the same table.
"""

import os

CORES = {"v4": "SkylakeX", "v3": "Haswell", "base": "Prescott"}


def pin(environment=os.environ):
    """Gives BLAS the level's core; an OPENBLAS_CORETYPE that is set already stands."""
    core = CORES.get(environment.get("OFL_CPU_LEVEL"))
    if core is not None:
        environment.setdefault("OPENBLAS_CORETYPE", core)


pin()
