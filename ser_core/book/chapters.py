"""How a chapter is executed: a text notebook, papermill, and one clear line for what went wrong in which cell."""

import copy
import hashlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import jupytext
import nbformat
import typer
from nbformat import NotebookNode

from ser_core import files, paths
from ser_core.book import identity
from ser_core.errors import SerError
from ser_core.files import reading, yamlfile

TIMEOUT = 120
"""Seconds a cell may take, unless the chapter's front matter says otherwise (``execution: {timeout: ...}``)."""

PACKAGES = ("ser-core", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "matplotlib")
"""Whose versions are written into an executed chapter."""


@dataclass(frozen=True)
class Chapter:
    """A text notebook.

    Args:
        path: The MyST file, the source of truth.
        notebook: Its cells without outputs; their ids depend on their text only.
    """

    path: Path
    notebook: NotebookNode

    @property
    def name(self) -> str:
        """The file's name without ending, as in ``01_datasets_and_leakage``."""
        return self.path.stem

    @property
    def root(self) -> Path:
        """The repository, in which ``notebooks/`` is."""
        return self.path.resolve().parent.parent

    @property
    def declared(self) -> list[str]:
        """The files and folders that the front matter says it reads, relative to the repository."""
        return list(self.notebook.metadata.get("ser", {}).get("inputs", []))

    @property
    def timeout(self) -> int:
        """Seconds a cell may take; where ``SER_PATIENCE`` is set, as on a busy machine, that many times as long."""
        seconds = self.notebook.metadata.get("execution", {}).get("timeout", TIMEOUT)
        try:
            return round(seconds * float(os.environ.get("SER_PATIENCE") or 1))
        except ValueError as error:
            raise SerError(f"SER_PATIENCE is '{os.environ['SER_PATIENCE']}'; expected a number such as 10") from error

    def inputs(self) -> list[Path]:
        """Return the files that the front matter declares (``ser: {inputs: [...]}``); a folder means all files in it.

        Returns:
            Paths relative to the repository, sorted.

        Raises:
            SerError: If a declared file or folder does not exist.
        """
        files: list[Path] = []
        for declared in self.declared:
            path = self.root / declared
            if not path.exists():
                raise SerError(f"{self.path}: the input '{declared}' that it declares does not exist in {self.root}")
            files += [path] if path.is_file() else [file for file in path.rglob("[!.]*") if file.is_file()]
        return sorted(file.relative_to(self.root) for file in files)

    def made_from(self) -> dict[str, str]:
        """Return the start of a checksum of all that the chapter is made from: its text, and what it declares.

        Returns:
            Path of the text, and of each declared file or folder -> 16 hex digits; the package has its own hash.
        """
        texts = {f"notebooks/{self.path.name}": [self.path]}
        for declared in self.declared:
            path = self.root / declared
            inside = [path] if path.is_file() else sorted(file for file in path.rglob("[!.]*") if file.is_file())
            texts[declared] = inside
        return {name: self._digest(paths) for name, paths in texts.items()}

    def _digest(self, paths: list[Path]) -> str:
        lines = [f"{files.sha256(path)}  {path.resolve().relative_to(self.root).as_posix()}\n" for path in paths]
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]

    def paired(self) -> str:
        """Return the text of the ``.ipynb`` beside the chapter: the same cells, no outputs, always the same bytes.

        Where the repository has an address, a first cell fetches it on Colab, which opens single files only.
        """
        notebook, citation = copy.copy(self.notebook), self.root / "CITATION.cff"
        if citation.is_file() and (fetching := identity.colab(identity.read(citation))):
            first = nbformat.v4.new_code_cell(fetching, id="colab", metadata={"tags": ["remove-cell"]})
            notebook.cells = [first, *notebook.cells]
        return _written(notebook)


def _written(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read(path: Path) -> Chapter:
    """Read a text notebook.

    Args:
        path: A MyST file with a jupytext header.

    Returns:
        The chapter.

    Raises:
        SerError: If there is no such file, or its jupytext header is missing or not valid YAML.
    """
    path = Path(path)
    if not path.is_file():
        there = ", ".join(sorted(other.stem for other in path.parent.glob("[0-9]*.md")))
        raise SerError(f"{path}: no such chapter; there are {there or 'none'}")
    # Jupytext reads the front matter by itself, and keeps the last of two equal keys.
    start, *front = path.read_text(encoding="utf-8").split("---\n", 2)
    if not start and len(front) == 2:
        yamlfile.parse(front[0], path, above=1)
    notebook = jupytext.read(path)
    if "kernelspec" not in notebook.metadata:
        raise SerError(f"{path}: no 'kernelspec' in its front matter; copy the header of another chapter")
    seen: set[str] = set()
    for cell in notebook.cells:
        cell.id = next(key for key in _keys(cell.source) if key not in seen)
        seen.add(cell.id)
    return Chapter(path, notebook)


def _keys(source: str) -> Iterable[str]:
    for number in range(1_000_000):
        yield hashlib.sha256(f"{number}{source}".encode()).hexdigest()[:8]


def formatted(chapter: Chapter) -> str:
    """Return the text of a chapter with its code cells as ruff writes them; the prose stays byte for byte.

    Args:
        chapter: The chapter.

    Raises:
        SerError: If ruff cannot read a cell.
    """
    text, start, pair = chapter.path.read_text(encoding="utf-8"), 0, chapter.path.with_suffix(".ipynb")
    # Ruff reads notebooks, but not MyST. What it would fix by --fix, such as the order of imports, comes first.
    notebook = _ruff(_ruff(_written(chapter.notebook), pair, "check", "--fix-only"), pair, "format")
    for old, new in zip(code_cells(chapter.notebook), code_cells(nbformat.reads(notebook, as_version=4)), strict=True):
        start = text.index(f"\n{old.source}\n```\n", start) + 1
        text = text[:start] + new.source + text[start + len(old.source) :]
        start += len(new.source)
    return text


def _ruff(notebook: str, name: Path, *command: str) -> str:
    line = [sys.executable, "-m", "ruff", *command, "--quiet", f"--stdin-filename={name}", "-"]
    done = subprocess.run(line, input=notebook, capture_output=True, text=True)
    if done.returncode:
        raise SerError(f"{name}: ruff {command[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


def execute(chapter: Chapter, output: Path, *, parameters: Mapping[str, object] | None = None) -> dict:
    """Execute a chapter and write the executed notebook, whole or not at all.

    Args:
        chapter: The chapter.
        output: The ``.ipynb`` to write. What was done stands in its metadata under ``ser``: parameters, seconds,
            seconds of each code cell, peak memory in MiB, versions, hash of the package's code.
        parameters: Values that replace those of the parameters cell.

    Returns:
        What was written under ``ser``.

    Raises:
        SerError: If a cell raises, writes to standard error, takes too long or kills its kernel, or a parameter is
            unknown: chapter, number of the code cell, its first line, and the reason. If the chapter reads what it
            does not declare, or declares what it does not read, see `ser_core.files.reading.check`.
    """
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        progress, log = Path(folder) / "progress.ipynb", Path(folder) / "opened"
        try:
            notebook = _papermill(chapter, dict(parameters or {}), progress, log)
        except PapermillExecutionError as error:
            reason = f"{error.ename}: {(error.evalue.strip().splitlines() or [''])[0]}"
        except CellTimeoutError:
            reason = f"took longer than {chapter.timeout} s; SER_PATIENCE=10 allows ten times as long"
        except DeadKernelError:
            reason = f"the kernel died, at {_peak()} MiB; often it was out of memory"
        else:
            _refuse_warnings(chapter, notebook)
            try:
                reading.check(chapter.declared, log, chapter.root, paths.results())
            except SerError as error:
                raise SerError(f"{chapter.path}: {error}") from error
            facts = {
                **notebook.metadata.get("ser", {}),
                "parameters": dict(parameters or {}),
                "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
                "seconds": round(time.monotonic() - started, 1),
                "cell_seconds": [round(cell.metadata.papermill.duration, 2) for cell in code_cells(notebook)],
                "peak_mib": _peak(),
                "python": platform.python_version(),
                "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
                "code": paths.package_hash(),
                "made_from": chapter.made_from(),
            }
            notebook.metadata["ser"] = facts
            del notebook.metadata["papermill"]
            with files.replacing(output) as temporary:
                temporary.write_text(nbformat.writes(notebook), encoding="utf-8")
            return facts
        number, first_line = _last_started(nbformat.read(progress, as_version=4))
    raise SerError(f"{chapter.path}, code cell {number} ({first_line}): {reason}")


def changed(chapter: Chapter, output: Path) -> list[str]:
    """Return what was changed after a chapter was executed, by content, whatever the times of the files.

    Args:
        chapter: The chapter.
        output: What `execute` wrote.

    Returns:
        Names: ``ser_core``, the text, declared files and folders. Empty if nothing was.

    Raises:
        SerError: If ``output`` is not an executed chapter.
    """
    facts = nbformat.read(output, as_version=4).metadata.get("ser", {})
    if "code" not in facts:
        raise SerError(f"{output}: not an executed chapter; delete it and run 'make book'")
    now, then = chapter.made_from(), facts.get("made_from", {})
    found = [] if facts["code"] == paths.package_hash() else ["ser_core"]
    return found + [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]


def _papermill(chapter: Chapter, parameters: dict, progress: Path, log: Path) -> NotebookNode:
    """Execute a chapter, trying again if its kernel does not start: two that start at once may pick the same port.

    The kernel writes the files that it reads into ``log``.
    """
    import papermill

    # Before the first cell, and leaving no name behind that a cell could use.
    recording = f"__import__('ser_core.files.reading', fromlist=['record']).record({str(log)!r})"
    for tries_left in (2, 1, 0):
        try:
            return papermill.execute_notebook(
                chapter.notebook,
                progress,
                parameters=parameters,
                execution_timeout=chapter.timeout,
                start_timeout=300,
                progress_bar=False,
                coalesce_streams=True,  # how many pieces a text comes in depends on the load of the machine
                # Without a reader's own profile of IPython, which may print more or run files of its own.
                extra_arguments=[
                    "--log-level=CRITICAL",
                    f"--IPKernelApp.exec_lines={recording}",
                    f"--IPKernelApp.ipython_dir={log.parent}",
                ],
                cwd=chapter.path.parent,
            )
        except RuntimeError as error:
            if "before replying to kernel_info" not in str(error):
                raise
            if not tries_left:
                how = "name the kernels that Jupyter finds by: jupyter kernelspec list"
                raise SerError(f"{chapter.path}: its kernel does not start; {how}") from error


def _refuse_warnings(chapter: Chapter, notebook: NotebookNode) -> None:
    """Raise if a cell wrote to standard error, as warnings of libraries do; a hidden cell counts, too."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                first_line = (cell.source.strip().splitlines() or ["empty"])[0]
                printed = (output.text.strip().splitlines() or [""])[0]
                raise SerError(f"{chapter.path}, code cell {number} ({first_line}): wrote to standard error: {printed}")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells as the text notebook has them: without the one that papermill put in."""
    injected = "injected-parameters"
    return [c for c in notebook.cells if c.cell_type == "code" and injected not in c.metadata.get("tags", [])]


def _last_started(notebook: NotebookNode) -> tuple[int, str]:
    number, first_line = 0, "before the first cell"
    for position, cell in enumerate(code_cells(notebook), start=1):
        if cell.metadata.get("papermill", {}).get("start_time"):
            number, first_line = position, (cell.source.strip().splitlines() or ["empty"])[0]
    return number, first_line


def _peak() -> int:
    """Most memory that any kernel of this process took, in MiB; Linux counts in KiB, macOS in bytes."""
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return most // (1024**2 if sys.platform == "darwin" else 1024)


app = typer.Typer(help="Execute chapters and keep their .ipynb in step.", pretty_exceptions_enable=False)
Notebooks = Annotated[list[Path], typer.Argument(help="Text notebooks, as in notebooks/01_*.md.")]
Output = Annotated[Path, typer.Option("-o", help="What to write.")]


@app.command("run")
def _run(
    chapters: Notebooks,
    output: Output = Path("book/chapters"),
    parameter: Annotated[list[str] | None, typer.Option("-p", help="name=value, for the parameters cell.")] = None,
) -> None:
    """Execute chapters into a folder."""
    parameters = dict(_parsed(text) for text in parameter or [])
    for chapter in map(read, chapters):
        facts = execute(chapter, output / f"{chapter.name}.ipynb", parameters=parameters)
        typer.echo(f"{chapter.name}: {facts['seconds']} s, {facts['peak_mib']} MiB")


def _parsed(text: str) -> tuple[str, object]:
    name, found, value = text.partition("=")
    if not found:
        raise SerError(f"-p {text}: expected name=value")
    return name, yamlfile.parse(value, f"-p {name}")


@app.command("pair")
def _pair(chapters: Notebooks) -> None:
    """Write the .ipynb beside each chapter, without outputs."""
    for chapter in map(read, chapters):
        with files.replacing(chapter.path.with_suffix(".ipynb")) as temporary:
            temporary.write_text(chapter.paired(), encoding="utf-8")


@app.command("format")
def _format(chapters: Notebooks) -> None:
    """Format the code of each chapter by ruff, and write the .ipynb beside it."""
    for chapter in map(read, chapters):
        with files.replacing(chapter.path) as temporary:
            temporary.write_text(formatted(chapter), encoding="utf-8")
    _pair(chapters)


@app.command("forget")
def _forget(chapters: Notebooks, output: Output = Path("book/chapters")) -> None:
    """Delete executed chapters that are older than what they were made from, by content, so that they are made anew."""
    for chapter in map(read, chapters):
        path = output / f"{chapter.name}.ipynb"
        if path.is_file() and (names := changed(chapter, path)):
            typer.echo(f"{path}: {', '.join(names)} changed after it was executed")
            path.unlink()


@app.command("status")
def _status(executed: Notebooks, output: Output) -> None:
    """Write the page about how the chapters were executed."""
    # It loads what computes, and `forget` comes before every build.
    from ser_core.book import status

    with files.replacing(output) as temporary:
        temporary.write_text(status.page(executed), encoding="utf-8")


if __name__ == "__main__":
    try:
        app()
    except (SerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
