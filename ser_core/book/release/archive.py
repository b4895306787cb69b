"""A zip file that depends on nothing but names and contents: sorted, stored, one time, no other fields."""

import filecmp
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from ser_core import files
from ser_core.errors import SerError

SUMS = "SHA256SUMS"
"""The list of checksums of every other file, at the top of a bundle."""
MODES = (0o100644, 0o100755)
"""What a file may be: plain, or a program."""
_EARLIEST = 315_532_800  # 1 January 1980: before it, a zip file has no time
_BROKEN = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, struct.error, OSError)


def write(
    members: Mapping[str, Path | bytes], target: Path, *, seconds: int, programs: frozenset[str] = frozenset()
) -> None:
    """Write a zip file, whole or not at all; the same members and time give the same bytes.

    The files are stored, not compressed: what zlib writes differs between its versions.

    Args:
        members: Name in the archive -> file or bytes.
        target: The zip file.
        seconds: Time of every file, since 1970, UTC.
        programs: Names of the files that can be run.

    Raises:
        SerError: If a name is not plain, see `check_name`.
    """
    time = datetime.fromtimestamp(max(seconds, _EARLIEST), UTC).timetuple()[:6]
    with files.replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(members):
            content = members[name]
            data = content if isinstance(content, bytes) else content.read_bytes()
            archive.writestr(_entry(check_name(name), time, MODES[name in programs]), data)


def _entry(name: str, time: tuple, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, time)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


def check_name(name: str) -> str:
    """Return a name as it is, if it is a plain path below the archive.

    Args:
        name: A name in an archive.

    Raises:
        SerError: If it is absolute, leads out of the archive, or has characters that some systems cannot write.

    Examples:
        >>> check_name("a/b.txt")
        'a/b.txt'
        >>> check_name("../b.txt")
        Traceback (most recent call last):
        ser_core.errors.SerError: '../b.txt': not a plain path below the archive
    """
    path = PurePosixPath(name)
    plain = name.isprintable() and not set(name) & set('\\:*?"<>|') and str(path) == name
    if not plain or path.is_absolute() or ".." in path.parts or name == ".":
        raise SerError(f"{name!r}: not a plain path below the archive")
    return name


def unpack(path: Path, folder: Path) -> list[str]:
    """Unpack an archive of `write`, and say which of its bytes are not as `write` writes them.

    Args:
        path: The zip file, of anybody.
        folder: An empty folder.

    Returns:
        What is wrong, a line each, with the name of the file; empty if nothing is.

    Raises:
        SerError: If it cannot be read at all, is compressed, or has names that lead elsewhere.
    """
    if not path.is_file():
        raise SerError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(path, entries)
            wrong = []
            for entry in entries:
                try:
                    archive.extract(entry, folder)
                except _BROKEN as error:
                    wrong.append(f"{entry.filename}: was changed ({error})")
            return wrong or _check_bytes(path, entries, archive.start_dir, folder)
    except _BROKEN as error:
        if isinstance(error, SerError):
            raise
        raise SerError(f"{path}: not a readable zip file ({error}); fetch it again") from error


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if len({name.lower() for name in names}) < len(names):
        raise SerError(f"{path}: a name stands twice in it; make bundles by: make release")
    for entry in entries:
        try:
            check_name(entry.filename)
        except SerError as error:
            raise SerError(f"{path}: {error}") from error
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise SerError(f"{path}: {entry.filename} is compressed; a bundle holds its files as they are")


def _check_bytes(path: Path, entries: list[zipfile.ZipInfo], start: int, folder: Path) -> list[str]:
    """Write the archive again, and name the file where the two differ first."""
    with tempfile.TemporaryDirectory() as place:
        again = Path(place) / "again.zip"
        programs = frozenset(entry.filename for entry in entries if entry.external_attr >> 16 == MODES[1])
        time = datetime(*entries[0].date_time, tzinfo=UTC) if entries else datetime.now(UTC)
        members = {entry.filename: folder / entry.filename for entry in entries}
        write(members, again, seconds=int(time.timestamp()), programs=programs)
        if filecmp.cmp(path, again, shallow=False):
            return []
        place_of = _first_difference(path, again)
    before = [entry for entry in entries if entry.header_offset <= place_of < start]
    name = max(before, key=lambda entry: entry.header_offset).filename if before else "the list of files at the end"
    return [f"{name}: was changed (byte {place_of} of the archive)"]


def _first_difference(first: Path, second: Path) -> int:
    place = 0
    with first.open("rb") as one, second.open("rb") as other:
        while (here := one.read(1 << 20)) == (there := other.read(1 << 20)) and here:
            place += len(here)
    return place + next(
        (i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), min(len(here), len(there))
    )
