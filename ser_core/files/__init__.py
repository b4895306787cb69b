"""How tables and other files are read with limits, and written whole or not at all."""

import contextlib
import functools
import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from ser_core import paths
from ser_core.errors import SerError
from ser_core.files import reading

_METADATA_KEY = b"ser_core"


def lock(*parts: str) -> FileLock:
    """Return a lock that processes with the same results share, for what one of them may do at a time.

    Args:
        *parts: What is locked, such as the name of a Run.

    Returns:
        The lock, not yet acquired. Its file lies in the cache, so that nothing is left beside the results.

    Examples:
        >>> with lock("a Run"):
        ...     pass
    """
    path = paths.cache() / "locks" / f"{digest(str(paths.results().resolve()), *parts)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


@contextlib.contextmanager
def alone(what: str, note=lambda line: print(f"ser: {line}", file=sys.stderr)) -> Iterator[None]:
    """Keep other processes from doing the same at the same time; wait for the one that does, and say so.

    Args:
        what: What is done, such as ``features ravdess egemaps``.
        note: Called with a line if another process is waited for.

    Yields:
        Nothing, while no other process does the same.

    Examples:
        >>> with alone("an example"):
        ...     pass
    """
    while True:
        held = lock(what)
        with contextlib.suppress(FileNotFoundError):  # a process that left nothing removed the folder: make it again
            try:
                held.acquire(timeout=0)
            except Timeout:
                note(f"waiting for another process that makes: {what}")
                held.acquire()
            break
    try:
        yield
    finally:
        path = Path(held.lock_file)
        with contextlib.suppress(OSError):  # in use elsewhere, or on a system that removes no open file
            path.unlink()  # while it is held: who waits for it sees that it is gone, and makes another
        held.release()
        for folder in path.parents[:2]:
            with contextlib.suppress(OSError):
                folder.rmdir()  # the cache and its locks, if a refusal left them empty


def _umask() -> int:
    """Return which permissions files are made without."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@functools.cache
def _host() -> str:
    """Return six letters for this machine: a process id means nothing on another that shares the folder."""
    return digest(platform.node())[:6]


def _remove_left(path: Path) -> None:
    """Remove the temporary files of a file whose processes have ended."""
    begun = f".{path.name}.{_host()}-"
    for name in os.listdir(path.parent):
        process = name.removeprefix(begun).partition("-")[0]
        if name.startswith(begun) and process.isdecimal() and not _runs(int(process)):
            path.with_name(name).unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Return whether there is a process of this id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of somebody else
        return True
    return True


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and rename it on success; on failure nothing is left.

    What a process that was killed had begun is removed by the next that writes the same file on the same machine.

    Args:
        path: The file to write. Its folder is made if need be.

    Yields:
        The path to write to.

    Examples:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{_host()}-{os.getpid()}-")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None:
            raise
        # A full disk, as pyarrow tells it, has no name.
        raise SerError(f"{path}: cannot be written ({' '.join(str(error).split())})") from error
    finally:
        temporary.unlink(missing_ok=True)


def walk(folder: Path | str) -> Iterator[Path]:
    """Give every file below a folder, also behind links to folders, each folder once.

    Args:
        folder: The folder.

    Yields:
        Files in no fixed order, and links to nothing, as paths that begin with ``folder``.

    Examples:
        >>> from ser_core import paths
        >>> "walk" in {path.stem for path in walk(paths.repository() / "ser_core")}
        False
    """
    seen: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True, onerror=_refuse_closed):
        # Where links lead to a folder that was seen, or around in a circle, its files were given.
        here = os.stat(root)
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders.sort(key=lambda name: (name.startswith("."), os.path.islink(os.path.join(root, name)), name))
        yield from (Path(root, name) for name in names)


def _refuse_closed(error: OSError) -> None:
    """Stop at a folder that may not be read, which would be passed over in silence."""
    if isinstance(error, PermissionError):
        raise error


def write_parquet(table: pd.DataFrame, path: Path, metadata: dict | None = None) -> None:
    """Write a table as parquet, whole or not at all; the same table gives the same bytes.

    Args:
        table: The table; a named index is kept as a column.
        path: The file to write.
        metadata: JSON-serialisable facts about the table, read back by `read_metadata`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    named_index = table.index.name is not None
    arrow = pa.Table.from_pandas(table.reset_index() if named_index else table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({_METADATA_KEY: json.dumps(metadata or {}, sort_keys=True).encode()})
    floats = [field.name for field in arrow.schema if pa.types.is_floating(field.type)]
    others = [field.name for field in arrow.schema if not pa.types.is_floating(field.type)]
    with replacing(path) as temporary:
        pq.write_table(
            arrow, temporary, compression="zstd", use_dictionary=others, use_byte_stream_split=floats or False
        )


def read_parquet(path: Path, index: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table written by `write_parquet`.

    Args:
        path: The file.
        index: Column to use as the index, if any.
        columns: Read these alone, beside the index, as far as they are there; all if None.

    Returns:
        The table.

    Raises:
        SerError: If the file is missing, truncated or not parquet, or lacks the index column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise SerError(f"{path}: no such file")
    reading.notice(path)
    try:
        # Without pandas's own notes, which would turn columns of files that others wrote into an index.
        wanted = None if columns is None else [*columns, *([] if index is None else [index])]
        table = pq.read_table(path, columns=wanted).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise SerError(f"{path}: not a readable parquet file ({reason}); delete it and make it again") from error
    if index is not None:
        if index not in table:
            raise SerError(f"{path}: no column '{index}', found {list(table.columns)[:8]}")
        table = table.set_index(index)
    return table


def read_columns(path: Path) -> list[str]:
    """Return the names of the columns of a parquet file, without reading it.

    Args:
        path: The file.

    Raises:
        SerError: If the file is missing or not parquet.
    """
    return _schema(path).names


def _schema(path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    reading.notice(path)
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise SerError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]})") from error


def read_metadata(path: Path) -> dict:
    """Return the facts that `write_parquet` stored with a table; empty if there are none.

    Raises:
        SerError: If the file is missing or not parquet.
    """
    metadata = _schema(path).metadata or {}
    try:
        found = json.loads(metadata.get(_METADATA_KEY, b"{}"))
    except ValueError as error:
        raise SerError(f"{path}: its notes are not valid JSON ({error}); delete it and make it again") from error
    if not isinstance(found, dict):
        raise SerError(f"{path}: its notes are {type(found).__name__}, not facts by name; delete it and make it again")
    return found


def write_json(value: dict, path: Path) -> None:
    """Write JSON with sorted keys, whole or not at all."""
    with replacing(path) as temporary:
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8")


def stamp(path: Path) -> tuple[int, ...]:
    """Return what of a file changes with its content, without reading it: for caches within one process.

    The time of its entry is part of it, because nobody can set it back; ``cp -p`` sets back that of its content.

    Args:
        path: An existing file.

    Examples:
        >>> stamp(Path(__file__)) == stamp(Path(__file__))
        True
    """
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hex digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(*parts: object) -> str:
    """Return the first 16 hex digits of the sha256 of the parts' JSON: a key for stores.

    Examples:
        >>> digest("egemaps", {"level": "functionals"}) == digest("egemaps", {"level": "functionals"})
        True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
