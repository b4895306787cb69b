"""Where the pages of a release are rendered: apart from those of `make book`, without the times of their execution."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from ser_core import files
from ser_core.book import chapters, status
from ser_core.errors import SerError

_TIMES = ("finished", "seconds", "cell_seconds", "peak_mib")
# What the pages are made from, beside the executed chapters.
_SOURCES = ("_config.yml", "_toc.yml", "CITATION.cff", "CHANGELOG.md", "book", "notebooks")


def copy(root: Path, stage: Path) -> list[Path]:
    """Copy what the pages are made from, with executed chapters that say nothing of when and how fast they ran.

    Args:
        root: The repository, with executed chapters in ``book/chapters``.
        stage: A folder to make.

    Returns:
        The executed chapters in the stage.

    Raises:
        SerError: If a chapter is missing, was executed by other code, or with other parameters than its own.
    """
    ignored = shutil.ignore_patterns("chapters", "__pycache__", ".*")
    for name in _SOURCES:
        if (root / name).is_dir():
            shutil.copytree(root / name, stage / name, ignore=ignored)
        elif (root / name).is_file():
            stage.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, stage / name)
    made = []
    for text in sorted((root / "notebooks").glob("[0-9]*.md")):
        path = root / "book" / "chapters" / f"{text.stem}.ipynb"
        if not path.is_file():
            raise SerError(f"{path}: no such file; execute the chapters by: make book")
        notebook = nbformat.read(path, as_version=4)
        facts = notebook.metadata.get("ser", {})
        if facts.get("parameters"):
            raise SerError(f"{path}: executed with other parameters than its own; delete it and use: make book")
        if names := chapters.changed(chapters.read(text), path):
            raise SerError(f"{path}: {', '.join(names)} changed after it was executed; use: make book")
        copy = stage / "book" / "chapters" / path.name
        with files.replacing(copy) as temporary:
            temporary.write_text(nbformat.writes(without_times(notebook)) + "\n", encoding="utf-8")
        made.append(copy)
    (stage / "book" / "chapters" / "status.md").write_text(status.page(made), encoding="utf-8")
    return made


def without_times(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return an executed chapter without the times and sizes that differ from one execution to the next.

    Args:
        notebook: The chapter; it is changed.
    """
    for name in _TIMES:
        notebook.metadata.get("ser", {}).pop(name, None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("papermill", None)
    return notebook


def render(stage: Path, environment: dict[str, str], builder: str = "html") -> Path:
    """Render the pages of a stage.

    Args:
        stage: The folder that `copy` made.
        environment: Variables of the build, with SOURCE_DATE_EPOCH.
        builder: ``html``, or ``singlehtml`` for one page that is printed.

    Returns:
        The folder of the pages.

    Raises:
        SerError: If Jupyter Book fails or warns.
    """
    call = "from jupyter_book.cli.main import main; main()"
    line = [sys.executable, "-c", call, "build", str(stage), "--all", "-W", "-n", "--keep-going", "--quiet"]
    if builder != "html":
        line += ["--builder", "custom", "--custom-builder", builder]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    if done.returncode:
        said = [text for text in done.stderr.splitlines() if "WARNING" in text or "rror" in text]
        raise SerError(f"jupyter-book: {(said or done.stderr.strip().splitlines() or ['failed'])[0]}")
    return stage / "_build" / builder
