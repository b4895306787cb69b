"""CTranslate2's ``model.bin``: a list of named variables, read with numpy alone.

All numbers are little-endian and unsigned. A string is a 16-bit length, that many bytes and, counted among them, a zero
at the end. The file: a 32-bit version; the name of the specification and its 32-bit revision; a 32-bit number of
variables; of each its name, an 8-bit rank, a 32-bit size of each axis, an 8-bit type, a 32-bit number of bytes, and the
bytes. Behind them stand names of variables that are others once more, which hold nothing new.
"""

import struct
from pathlib import Path

import numpy as np

from ser_core.errors import SerError

VERSION = 6
_TYPES = ("<f4", "<i1", "<i2", "<i4", "<f2")


def is_container(path: Path) -> bool:
    """Return whether a file begins as a container of this version does."""
    with Path(path).open("rb") as file:
        return file.read(4) == struct.pack("<I", VERSION)


class _Reader:
    """A file's bytes, taken from the front."""

    def __init__(self, path: Path):
        self.path, self.content, self.position = path, memoryview(path.read_bytes()), 0

    def take(self, n: int, what: str) -> memoryview:
        """Return the next bytes."""
        end = self.position + n
        if end > len(self.content):
            raise SerError(
                f"{self.path}: ends after {len(self.content)} bytes, within {what}, which needs {end}; get it again"
            )
        taken, self.position = self.content[self.position : end], end
        return taken

    def number(self, kind: str, what: str) -> int:
        """Return the next number, of a type of `struct`."""
        return struct.unpack(f"<{kind}", self.take(struct.calcsize(kind), what))[0]

    def text(self, what: str) -> str:
        """Return the next string."""
        taken = bytes(self.take(self.number("H", what), what))
        if not taken.endswith(b"\0") or not taken.isascii():
            raise SerError(f"{self.path}: {what} is no name at byte {self.position}; get the file again")
        return taken[:-1].decode()


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the variables of a container.

    Args:
        path: A ``model.bin``.

    Returns:
        Values by name, such as ``encoder/conv1/weight``, in the file's own type; views of its bytes, not to be written.

    Raises:
        SerError: If it is no container of this version, ends too early, or contradicts itself.
    """
    reader = _Reader(Path(path))
    version = reader.number("I", "the version")
    if version != VERSION:
        raise SerError(f"{path}: no CTranslate2 container of version {VERSION} but of '{version}'; get that version")
    reader.text("the specification")
    reader.number("I", "the revision")
    found = {}
    for i in range(reader.number("I", "the number of variables")):
        name = reader.text(f"the name of variable {i}")
        rank = reader.number("B", f"'{name}'")
        shape = tuple(reader.number("I", f"'{name}'") for _ in range(rank))
        kind, size = reader.number("B", f"'{name}'"), reader.number("I", f"'{name}'")
        if kind >= len(_TYPES):
            raise SerError(f"{path}: '{name}' is of type {kind}, expected one below {len(_TYPES)}; get a float16 model")
        dtype = np.dtype(_TYPES[kind])
        # Python's own integers: no shape, however large, overflows.
        expected = dtype.itemsize * int(np.prod([1, *shape], dtype=object))
        if size != expected:
            raise SerError(f"{path}: '{name}' has {size} bytes, but its shape {shape} needs {expected}; get it again")
        found[name] = np.frombuffer(reader.take(size, f"'{name}'"), dtype).reshape(shape)
    return found
