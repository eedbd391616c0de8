"""Figures as the bytes of files, drawn by processes beside the one that writes the page."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
from matplotlib.figure import Figure

from kernels.cores import cores
from testbed.processes import processes

FORMATS: dict[str, dict[str, None]] = {  # and what is not written into them: no clock in what is reproducible
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None, "Creator": None},
}
MOST = 8  # processes: there are no more figures
LAID_OUT: dict[Any, bool] = {"figure.constrained_layout.use": False}  # beside the style, where a figure has its layout
Images: TypeAlias = dict[str, bytes]


def saved(figure: Figure, kinds: Sequence[str], style: Path) -> Images:
    """A figure in each of these FORMATS, in a style of matplotlib's.

    Its layout is found once: as long as a figure has an engine for it, even one that does nothing, a save draws twice.
    """
    with mpl.rc_context(fname=style):
        figure.draw_without_rendering()
    images = {}
    with mpl.rc_context(LAID_OUT, fname=style):
        figure.set_layout_engine(None)
        for kind in kinds:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, metadata=FORMATS[kind], transparent=kind == "svg")
            images[kind] = buffer.getvalue()
    return images


@contextmanager
def drawing(style: Path) -> Iterator[Callable[[Figure, Sequence[str]], Callable[[], Images]]]:
    """A function that begins to save a figure, and returns one that waits for its images.

    The processes import matplotlib alone, while the caller reads its tables; on one core there are none.
    """
    if cores() == 1:
        yield lambda figure, kinds: lambda: saved(figure, kinds, style)
        return
    pool = processes(min(cores(), MOST), _ready)

    def begin(figure: Figure, kinds: Sequence[str]) -> Callable[[], Images]:
        content = pickle.dumps(figure)
        begun: Future[Images] = pool.submit(_saved, content, kinds, style)

        def images() -> Images:
            try:
                return begun.result()
            except BrokenProcessPool:  # it was killed, for memory perhaps
                return saved(pickle.loads(content), kinds, style)

        return images

    try:
        yield begin
    finally:
        pool.shutdown(wait=False, kill_workers=True)


def _saved(figure: bytes, kinds: Sequence[str], style: Path) -> Images:
    return saved(pickle.loads(figure), kinds, style)


def _ready() -> None:
    """What a process does first; by then it has imported this module. Backends are imported when they first save."""
    from matplotlib.backends import backend_agg, backend_pdf, backend_svg  # noqa: F401
