"""How a release is made: the commit, the pages, the executed chapters, scores and descriptions, in one archive."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ser_core import files, paths
from ser_core.book import identity, site
from ser_core.book.release import archive, crates, printing, scores, staging
from ser_core.errors import SerError


def make(root: Path, target: Path | None = None, *, pdf: bool = True) -> Path:
    """Make the bundle of a commit whose chapters are executed.

    Args:
        root: The repository.
        target: The zip file; ``_build/<name>-<version>.zip`` if None.
        pdf: Whether to print the book as PDF; without Chromium, none is made, and a line says so.

    Returns:
        The zip file.

    Raises:
        SerError: If a tracked file is not as committed, a chapter was not executed by this code, or a page cannot be
            rendered.
    """
    commit, seconds, programs = _commit(root)
    work = identity.read(root / "CITATION.cff")
    members: dict[str, Path | bytes] = {name: root / name for name in programs}
    with tempfile.TemporaryDirectory() as place:
        stage = Path(place) / "book"
        executed = staging.copy(root, stage)
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(seconds)}
        if pdf and printing.can_print():
            printing.book(stage, stage / "extra" / site.PDF, seconds=seconds, work=work)
        elif pdf:
            print("no Chromium here: the bundle is made without the PDF", file=sys.stderr)
        html = staging.render(stage, environment)
        members |= {f"html/{name}": html / name for name in _below(html) if name != ".buildinfo"}
        members |= {f"executed/{path.name}": path for path in executed}
        members[scores.PATH] = scores.table(root / "results").encode()
        day = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
        for card in sorted((root / "results" / "clips").glob("*.parquet")):
            members[f"croissant/{card.stem}.json"] = crates.croissant(card.stem, root, work, day)
        members[crates.CRATE] = crates.crate(work, members, seconds=seconds, commit=commit)
        members[archive.SUMS] = checksums(members)
        target = target or root / "_build" / f"{work.slug}-{work.version}.zip"
        runnable = frozenset(name for name, runs in programs.items() if runs)
        archive.write(members, target, seconds=seconds, programs=runnable)
    return target


def _commit(root: Path) -> tuple[str, int, dict[str, bool]]:
    """Return the hash and the time of the commit, and its files, each with whether it can be run."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
        if done.returncode:
            raise SerError(f"{root}: git {words[0]}: {(done.stderr.strip().splitlines() or ['failed'])[0]}")
        return done.stdout

    changed = git("status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        raise SerError(
            f"{root}: {len(changed)} files are not as committed, such as {changed[0][3:]}; commit them first"
        )
    entries = [line.split("\t", 1) for line in git("ls-files", "-z", "--stage").split("\0") if line]
    links = [name for mode, name in entries if not mode.startswith("100")]
    if links:
        raise SerError(f"{root}: {links[0]} is a link or a repository of its own; a bundle holds files only")
    commit, seconds = git("log", "-1", "--format=%H %ct").split()
    return commit, int(seconds), {name: mode.startswith("100755") for mode, name in entries}


def _below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def checksums(members: dict[str, Path | bytes]) -> bytes:
    """Return the list of checksums of files, in the format of sha256sum.

    Args:
        members: Name -> file or bytes.
    """

    def digest(content: Path | bytes) -> str:
        return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else files.sha256(content)

    return "".join(f"{digest(members[name])}  {name}\n" for name in sorted(members)).encode()


app = typer.Typer(help="Make what a release consists of.", pretty_exceptions_enable=False)


@app.command("bundle")
def _bundle(output: Annotated[Path | None, typer.Option("-o", help="The zip file.")] = None) -> None:
    """Make the bundle of the commit that is checked out."""
    typer.echo(make(paths.repository(), output))


@app.command("pdf")
def _pdf(output: Annotated[Path, typer.Option("-o", help="The PDF.")] = Path("_build") / site.PDF) -> None:
    """Print the whole book as PDF."""
    root = paths.repository()
    with tempfile.TemporaryDirectory() as place:
        staging.copy(root, Path(place) / "book")
        day = site.date(root) or datetime.now(UTC).strftime("%Y-%m-%d")
        seconds = int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())
        printing.book(Path(place) / "book", output, seconds=seconds, work=identity.read(root / "CITATION.cff"))
    typer.echo(output)


def main(words: Iterable[str] | None = None) -> None:
    """Run ``python -m ser_core.book.release.bundle``; bad input becomes one line and exit status 2."""
    try:
        app(list(words) if words is not None else None)
    except SerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        print(f"error: this needs {error.name}; get it with: pip install '.[release]'", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
