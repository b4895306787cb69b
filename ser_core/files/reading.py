"""What a chapter reads: every file that its kernel opens is noted, and compared with what the chapter declares."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ser_core.errors import SerError

WATCHED = ("results", "book", "data_cards", "experiments", "notebooks", ".cache")
"""Folders of the repository of which a chapter may read only what it declares."""


def record(log: str) -> None:
    """Write the path of every file that this process opens for reading into a file, from now on.

    Other code's opens count, too, since Python itself reports them. Libraries that open files without Python, such as
    pyarrow, are not seen unless `notice` is called beside them.

    Args:
        log: A file to append to, one absolute path a line, each once.
    """
    lines = open(log, "a", buffering=1, encoding="utf-8", errors="surrogateescape")  # open as long as the process lives
    seen: set[str] = set()

    def hook(event: str, arguments: tuple) -> None:
        if event != "open":
            return
        path, mode, flags = arguments
        reading = mode.startswith(("r", "U")) if mode else not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if reading and isinstance(path, str | bytes):
            path = os.path.abspath(os.fsdecode(path))
            if path not in seen:
                seen.add(path)
                lines.write(path + "\n")

    sys.addaudithook(hook)


def notice(path: str | os.PathLike) -> None:
    """Report that a file is opened for reading, where a library does it without Python; does nothing more.

    Args:
        path: The file.
    """
    sys.audit("open", os.fspath(path), "r", os.O_RDONLY)


def check(declared: Sequence[str], log: Path, root: Path, results: Path) -> None:
    """Compare what is declared with what was read.

    Args:
        declared: Files and folders, relative to the repository.
        log: What `record` wrote. Only paths in the folders `WATCHED` count.
        root: The repository.
        results: The folder that stands for ``results``, wherever it is.

    Raises:
        SerError: If a file was read that nothing declared covers, or no file of something declared was read.
    """
    opened = [Path(line).resolve() for line in log.read_text(encoding="utf-8", errors="surrogateescape").splitlines()]
    bases = {results.resolve(): Path("results"), **{root.resolve() / name: Path(name) for name in WATCHED}}
    read = {name / path.relative_to(base) for path in opened for base, name in bases.items() if base in path.parents}
    covers = {path: {name for name in declared if Path(name) in (path, *path.parents)} for path in read}
    if undeclared := sorted(str(path) for path, names in covers.items() if not names):
        others = f" and {len(undeclared) - 1} more" if len(undeclared) > 1 else ""
        raise SerError(f"it reads {undeclared[0]}{others}, which its 'inputs' do not name; add the file or its folder")
    if unread := [name for name in declared if name not in set().union(*covers.values())]:
        raise SerError(f"its 'inputs' name {unread}, of which it reads no file; leave them out")
