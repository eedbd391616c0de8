"""What the bytes of a run depend on besides its study: versions, backend, kind of machine."""

from __future__ import annotations

import importlib.metadata
import platform

import kernels

DISTRIBUTIONS = ("lmc-testbed", "torch", "numpy", "scipy", "polars", "safetensors")


def environment(backend: str) -> dict[str, str]:
    """Everything that the bytes of a run depend on besides the study, for its manifest.

    >>> environment("reference")["backend"]
    'reference'
    """
    vector = f", {8 * kernels.native.vector_bytes()}-bit vectors" if backend == "native" else ""
    note = {"threads": "results do not depend on the number of threads"} if backend == "native" else {}
    if backend == "gpu":
        note = {"gpu": kernels.gpu.name(), "triton": _version("triton")}
    return {
        "backend": backend,
        "machine": f"{platform.system()} {platform.machine()}{vector}",
        **note,
        "python": platform.python_version(),
        **{name: _version(name) for name in DISTRIBUTIONS},
    }


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
