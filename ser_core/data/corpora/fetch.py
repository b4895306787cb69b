"""Getting a corpus: download with resume and checksum where it is public, the exact steps where it is not."""

import hashlib
import lzma
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ser_core.data import corpora
from ser_core.data.corpora import urdu_sindhi
from ser_core.data.corpora.base import Download
from ser_core.errors import SerError

_BLOCK = 1 << 16  # what is lost of a download that breaks off
_TIMEOUT_S = 60
_SLOWEST = 1_000  # bytes a second, over _TIMEOUT_S; a server that drips is waited for without end otherwise
_LARGEST = 20 * 2**30  # bytes of a download whose size is not published
_LARGEST_UNPACKED, _MOST_TIMES = 100 * 2**20, 50  # an archive may unpack to so many bytes, or so many times its size
_DAMAGED = (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, zlib.error, lzma.LZMAError, NotImplementedError)
_ACCESS = {
    "public": "to all, but has to be fetched by hand",
    "request": "by request only",
    "gated": "by agreement only",
}


def fetch(name: str, to: Path, *, progress: bool = True) -> str:
    """Download a public corpus into a folder, or say how to get one that has to be fetched by hand.

    A download that was cut off goes on where it stopped when the same call is made again. A file with a wrong
    size or checksum is removed. Nothing is downloaded that is already there with the right checksum.

    Args:
        name: One of `ser_core.data.corpora.NAMES` or `ser_core.data.corpora.ABSENT`, or ``urdu_sindhi``.
        to: Folder to make ``<name>/`` in, the value for ``SER_DATA``.
        progress: Show a progress bar.

    Returns:
        What was done and where it is, or for a corpus without a file to fetch, the steps.

    Raises:
        SerError: If there is no such corpus, a server does not answer, or what it sends is not the file.
    """
    if name == urdu_sindhi.NAME:  # feature vectors, and so no corpus with a Clips table
        folder = Path(to) / name
        return f"Urdu-Sindhi is feature vectors without recordings.\n{urdu_sindhi.HOW_TO_GET}.\nPut it into {folder}."
    info = corpora.info(name)
    terms = f"Licence: {info.licence}. Cite {info.citation} (see book/references.bib)."
    folder = Path(to) / name
    if not info.downloads:
        return f"{info.title} is available {_ACCESS[info.access]}. {terms}\n{info.how_to_get}\nPut it into {folder}."
    unchecked = []
    for item in info.downloads:
        digest = download(item, folder, progress=progress)
        if not (item.md5 or item.sha256):
            unchecked.append(f"{item.filename}: no checksum is published; sha256 {digest}, keep it to compare")
        if item.unpack:
            unpack(folder / item.filename, folder, strip=item.strip)
    return "\n".join([f"{info.title} is in {folder}; set SER_DATA={Path(to)}. {terms}", *unchecked])


def download(item: Download, folder: Path, *, progress: bool = True) -> str:
    """Download one file, going on where an earlier try stopped.

    Args:
        item: The file.
        folder: Where to put it, as ``item.filename``; it is ``<filename>.part`` until it is whole and checked.
        progress: Show a progress bar.

    Returns:
        The file's sha256, 64 hex digits.

    Raises:
        SerError: If the server does not answer or answers with an error, if the connection breaks (the part
            is kept), or if size or checksum are wrong (the part is removed).
    """
    import requests
    import urllib3
    from tqdm import tqdm

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / item.filename, folder / f"{item.filename}.part"
    if target.is_file() and (item.md5 or item.sha256):
        if not (wrong := _wrong(item, target)):
            return _digest(target, "sha256")
        raise SerError(f"{target}: {wrong}; delete it and fetch again")
    have = part.stat().st_size if part.is_file() else 0
    try:
        # Without identity the server may compress what it sends, and then a range counts compressed bytes.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(item.url, headers=headers, stream=True, timeout=_TIMEOUT_S) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                pass  # the part is already whole, or longer than the file, which the check below finds
            else:
                answer.raise_for_status()
                if item.url.startswith("https:") and not answer.url.startswith("https:"):
                    raise SerError(f"{item.url}: the server leads to {answer.url}, which is not encrypted; not fetched")
                if answer.status_code != requests.codes.partial_content:
                    have = 0  # the server sends all of it again
                length = answer.headers.get("Content-Length", "")
                total = have + int(length) if length.isdecimal() else None
                most = item.size or _LARGEST
                _check_size(item, total or 0, most, part)
                bar = tqdm(
                    total=total, initial=have, unit="B", unit_scale=True, desc=item.filename, disable=not progress
                )
                with part.open("ab" if have else "wb") as file, bar:
                    for block in _blocks(item, answer):
                        file.write(block)
                        bar.update(len(block))
                        _check_size(item, file.tell(), most, part, " or more")
                if total is not None and part.stat().st_size < total:
                    raise SerError(f"{item.url}: the connection broke; the same command goes on where it stopped")
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        if isinstance(error, SerError):
            raise
        kept = "; the same command goes on where it stopped" if part.is_file() and part.stat().st_size else ""
        raise SerError(f"{item.url}: {_reason(error)}{kept}") from error
    if wrong := _wrong(item, part):
        part.unlink()
        raise SerError(f"{item.url}: {wrong}; the download was removed, fetch again, or check the address")
    part.replace(target)
    return _digest(target, "sha256")


def _blocks(item: Download, answer) -> Iterator[bytes]:
    """Give what a server sends as it comes, and stop where it sends next to nothing."""
    since, got = time.monotonic(), 0
    # read1 does not wait for a whole block, as requests does.
    while block := answer.raw.read1(_BLOCK):
        yield block
        got += len(block)
        if (passed := time.monotonic() - since) > _TIMEOUT_S:
            if got < _SLOWEST * passed:
                raise SerError(
                    f"{item.url}: {got} bytes came in {passed:.0f} s; the same command goes on where it stopped"
                )
            since, got = time.monotonic(), 0


def _check_size(item: Download, size: int, most: int, part: Path, more: str = "") -> None:
    """Stop a download that is larger than it is published to be, and remove it."""
    if size > most:
        part.unlink(missing_ok=True)
        raise SerError(
            f"{item.url}: wrong size: {size} bytes{more}, expected {most}; the download was removed, fetch again, or "
            f"check the address"
        )


def _reason(error: Exception) -> str:
    """Return an error of requests in a few words."""
    answer = getattr(error, "response", None)
    if answer is not None:
        return f"the server answers {answer.status_code} {answer.reason}"
    return f"no answer ({type(error).__name__})"


def _wrong(item: Download, path: Path) -> str:
    """Return what is wrong with a file's size or checksums; empty if nothing is."""
    size = path.stat().st_size
    if item.size is not None and size != item.size:
        return f"wrong size: {size} bytes, expected {item.size}"
    for kind, expected in (("md5", item.md5), ("sha256", item.sha256)):
        if expected and (found := _digest(path, kind)) != expected:
            return f"wrong checksum: {kind} {found}, expected {expected}"
    return ""


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def unpack(archive: Path, folder: Path, *, strip: int = 0) -> list[Path]:
    """Unpack a zip; every member is written whole or not at all, and none outside the folder.

    Args:
        archive: The zip.
        folder: Where to unpack.
        strip: Leading folders of the members' names to leave out.

    Returns:
        The files written.

    Raises:
        SerError: If it is no zip, is damaged, or a member is a link or leads outside the folder; then nothing
            of it is written.
    """
    folder = Path(folder)
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = list(_members(zipped, archive, strip))
            _check_members(members, archive)
            if damaged := zipped.testzip():
                raise zipfile.BadZipFile(f"its member '{damaged}' is damaged")
            for member, relative in members:
                target = folder / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f"{target.name}.part")
                try:
                    with zipped.open(member) as source, part.open("wb") as file:
                        shutil.copyfileobj(source, file, _BLOCK)
                    part.replace(target)
                finally:
                    part.unlink(missing_ok=True)
    except (*_DAMAGED, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # a folder that may not be written to
        raise SerError(f"{archive}: not a whole zip file ({error}); delete it and fetch again") from error
    return [folder / relative for _, relative in members]


def _check_members(members: list[tuple[zipfile.ZipInfo, PurePosixPath]], archive: Path) -> None:
    """Refuse an archive that holds nothing, a file twice, or far more than its size."""
    if not members:
        raise SerError(f"{archive}: holds no file; delete it and fetch again")
    names = [path for _, path in members]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SerError(f"{archive}: its member '{twice}' is there twice; it was not unpacked")
    size, packed = sum(member.file_size for member, _ in members), archive.stat().st_size
    if size > max(_LARGEST_UNPACKED, _MOST_TIMES * packed):
        raise SerError(f"{archive}: {packed} bytes would unpack to {size}; it was not unpacked")
    free = shutil.disk_usage(archive.parent).free
    if size > free:
        raise SerError(f"{archive}: unpacks to {size} bytes, and {free} are free; make room")


def _members(zipped: zipfile.ZipFile, archive: Path, strip: int) -> Iterator[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Give every file of a zip with the path to write it to, and refuse what is not a plain file inside."""
    for member in zipped.infolist():
        if member.is_dir():
            continue
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if not path.parts:
            raise SerError(f"{archive}: it has a member without a name; it was not unpacked")
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise SerError(f"{archive}: its member '{member.filename}' leads outside the folder; it was not unpacked")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise SerError(f"{archive}: its member '{member.filename}' is a link; it was not unpacked")
        if path.parts[strip:]:
            yield member, PurePosixPath(*path.parts[strip:])
