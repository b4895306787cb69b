"""What the book is called, who wrote it and where it lives: read from CITATION.cff, said nowhere else."""

import json
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from ser_core import files
from ser_core.errors import SerError
from ser_core.files import yamlfile

# Seen on white and on black.
_BLUE, _ORANGE, _GREY = "#1f86c7", "#e0691a", "#7d8590"
_CARD = "book/_static/card.png"


@dataclass(frozen=True)
class Work:
    """The book as CITATION.cff describes it.

    Attributes:
        title: Its title and subtitle.
        abstract: What it is, in a sentence.
        authors: Their names.
        version: Its version.
        keywords: What it is about.
        released: Day of the release, as in ``2026-11-29``; None before the first.
        doi: The concept DOI, which stands for all versions; None before the first release.
        repository: Address of the repository (``repository-code``); None until there is one.
        pages: Address of the pages (``url``); None if they are where GitHub puts them.
    """

    title: str
    abstract: str
    authors: tuple[str, ...]
    version: str
    keywords: tuple[str, ...] = ()
    released: str | None = None
    doi: str | None = None
    repository: str | None = None
    pages: str | None = None

    @property
    def name(self) -> str:
        """The title without the subtitle."""
        return self.title.split(":")[0]

    @property
    def slug(self) -> str:
        """The name as files have it.

        Examples:
            >>> Work("Honest Splits: a book", "", ("A",), "1").slug
            'honest-splits'
        """
        return re.sub(r"\W+", "-", self.name.lower())

    @property
    def github(self) -> str | None:
        """``owner/name`` of a repository on GitHub, else None.

        Examples:
            >>> Work("A", "", ("A",), "1", repository="https://github.com/owner/name").github
            'owner/name'
        """
        found = re.fullmatch(r"https://github\.com/([^/]+/[^/]+?)(?:\.git)?/?", self.repository or "")
        return found[1] if found else None

    @property
    def site(self) -> str | None:
        """Address of the pages, ending in ``/``; that of GitHub's pages for a repository there, else None.

        Examples:
            >>> Work("A", "", ("A",), "1", repository="https://github.com/owner/name").site
            'https://owner.github.io/name/'
        """
        if self.pages:
            return self.pages.rstrip("/") + "/"
        if not self.github:
            return None
        owner, name = self.github.split("/")
        return f"https://{owner.lower()}.github.io/{name}/"


def read(path: Path) -> Work:
    """Read a CITATION.cff.

    Args:
        path: The file.

    Returns:
        What it says.

    Raises:
        SerError: If it is not there, is not YAML, or lacks a title, an abstract, a version or an author.
    """
    if not Path(path).is_file():
        raise SerError(f"{path}: no such file; it says what the book is called and who wrote it")
    fields = yamlfile.parse(Path(path).read_text(encoding="utf-8"), str(path))
    wanted = ("title", "abstract", "version", "authors")
    if not isinstance(fields, dict) or not all(fields.get(name) for name in wanted):
        raise SerError(f"{path}: expected {', '.join(wanted)}, see https://citation-file-format.github.io")
    people = [
        one.get("name") or " ".join(filter(None, (one.get("given-names"), one.get("family-names"))))
        for one in fields["authors"]
    ]
    return Work(
        title=fields["title"],
        abstract=" ".join(fields["abstract"].split()),
        authors=tuple(people),
        version=str(fields["version"]),
        keywords=tuple(fields.get("keywords", ())),
        released=str(fields["date-released"]) if fields.get("date-released") else None,
        doi=fields.get("doi"),
        repository=fields.get("repository-code"),
        pages=fields.get("url"),
    )


def bibtex(work: Work) -> str:
    """Return the BibTeX entry of the book.

    Examples:
        >>> print(bibtex(Work("A: b", "", ("The A contributors",), "1.0", released="2026-11-29")), end="")
        @software{a,
          author  = {{The A contributors}},
          title   = {A: b},
          version = {1.0},
          year    = {2026},
        }
    """
    fields = {
        "author": " and ".join(f"{{{author}}}" for author in work.authors),
        "title": work.title,
        "version": work.version,
        "year": (work.released or "")[:4],
        "doi": work.doi,
        "url": work.repository,
    }
    lines = [f"  {name:<7} = {{{value}}},\n" for name, value in fields.items() if value]
    return f"@software{{{work.slug.replace('-', '_')},\n{''.join(lines)}}}\n"


def zenodo(path: Path) -> str:
    """Return the text of ``.zenodo.json``, by which Zenodo's GitHub integration describes a release.

    Args:
        path: CITATION.cff; `cffconvert` (the extra ``dev``) checks and converts it.

    Returns:
        JSON. Zenodo takes one licence: that of the code; the notes say which the text has.
    """
    from cffconvert import Citation

    citation = Citation(Path(path).read_text(encoding="utf-8"))
    citation.validate()
    fields = json.loads(citation.as_zenodo())
    code, *others = [fields["license"]["id"]] if isinstance(fields["license"]["id"], str) else fields["license"]["id"]
    fields |= {"upload_type": "software", "license": code}
    if others:
        fields["notes"] = f"The code is under {code}; text and figures are under {', '.join(others)}."
    return json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def how_to_install(work: Work, notebook: str) -> str:
    """Return the note at the top of a downloaded chapter.

    Args:
        work: The book.
        notebook: Name of the file.

    Returns:
        Markdown.
    """
    clone = f"git clone {work.repository}\n" if work.repository else ""
    where = (
        "a clone of the repository" if work.repository else "the release bundle, unpacked, or a clone of the repository"
    )
    return (
        f"> **To run this notebook** you need the package `ser_core` and the committed results: {where}.\n"
        "> With Python 3.11 or newer, run the following in its folder. It installs everything into `.venv` from a lock "
        f"file.\n> Then open `notebooks/{notebook}` there.\n\n"
        f"```\n{clone}make book\n. .venv/bin/activate\npip install jupyterlab\njupyter lab notebooks/{notebook}\n```\n"
    )


def colab(work: Work) -> str | None:
    """Return the first cell of a committed notebook, which fetches the repository on Colab and does nothing elsewhere.

    Args:
        work: The book.

    Returns:
        Python, or None as long as the repository has no address.
    """
    if not work.github:
        return None
    folder = work.github.split("/")[1]
    return (
        "import sys\n\n"
        'if "google.colab" in sys.modules:\n'
        f'    get_ipython().system("git clone --quiet --depth 1 {work.repository} /content/{folder}")\n'
        f'    get_ipython().run_line_magic("cd", "/content/{folder}/notebooks")\n'
        f'    get_ipython().run_line_magic("pip", "install --quiet \'/content/{folder}[book]\'")\n'
        f'    sys.path.insert(0, "/content/{folder}")'
    )


def logo(*, ground: bool = False) -> str:
    """Return the logo as SVG: two groups of speakers that share nobody, and the split between them.

    Args:
        ground: Whether it stands on a white square, as a favicon does.

    Returns:
        SVG, the same bytes each time.
    """
    parts = ['<rect width="64" height="64" rx="12" fill="#ffffff"/>'] if ground else []
    for colour, x in ((_BLUE, 17), (_ORANGE, 47)):
        for y in (16, 48):
            parts.append(f'<circle cx="{x}" cy="{y - 5}" r="5.5" fill="{colour}"/>')
            parts.append(f'<path d="M{x - 10} {y + 12}a10 10 0 0 1 20 0z" fill="{colour}"/>')
    parts.append(
        f'<path d="M32 4V60" stroke="{_GREY}" stroke-width="3" stroke-linecap="round" stroke-dasharray="6 6"/>'
    )
    drawn = "\n  ".join(parts)
    start = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" role="img" aria-label="Honest Splits">'
    return f"{start}\n  {drawn}\n</svg>\n"


def write_card(work: Work, path: Path) -> None:
    """Write the picture that others show beside a link to the book: its name and its logo, 1200 x 630.

    Args:
        work: The book.
        path: The ``.png``.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle, Wedge

    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 120), ylim=(0, 63))
    axes.set_axis_off()
    for colour, x in ((_BLUE, 19), (_ORANGE, 41)):
        for y in (24, 44):
            axes.add_patch(Circle((x, y + 4), 3.8, color=colour))
            axes.add_patch(Wedge((x, y - 8), 7, 0, 180, color=colour))
    axes.plot([30, 30], [12, 52], color=_GREY, linewidth=6, linestyle=(0, (2, 2)))
    name, _, subtitle = work.title.partition(":")
    axes.text(54, 36, name, fontsize=52, fontweight="bold", color="#1f2328", va="center")
    lines = textwrap.fill(subtitle.strip(), 34)
    axes.text(54, 30, lines, fontsize=24, color="#59636e", va="top", linespacing=1.4)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def write(root: Path) -> list[Path]:
    """Write what is made from CITATION.cff: ``.zenodo.json``, the BibTeX entry, logo, favicon and card.

    Args:
        root: The repository.

    Returns:
        The files.
    """
    texts = made(root)
    for name, text in texts.items():
        with files.replacing(root / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_card(read(root / "CITATION.cff"), root / _CARD)
    return [*(root / name for name in texts), root / _CARD]


def made(root: Path) -> dict[str, str]:
    """Return the texts that `write` writes, by their paths below the repository."""
    path = Path(root) / "CITATION.cff"
    return {
        ".zenodo.json": zenodo(path),
        "book/cite.bib": bibtex(read(path)),
        "book/_static/logo.svg": logo(),
        "book/_static/favicon.svg": logo(ground=True),
    }


if __name__ == "__main__":
    try:
        print(*write(Path.cwd()), sep="\n")
    except SerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
