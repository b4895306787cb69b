"""The book as PDF: one page of all pages but the reference of the package, printed by Chromium with bookmarks."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from ser_core import files
from ser_core.book import identity
from ser_core.book.release import staging
from ser_core.errors import SerError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Names of the browsers that can print."""
# Marks of links would be in the bookmarks; folded code has no place on paper.
_LEFT_OUT = ".headerlink, details.hide, #pst-skip-link, #pst-back-to-top, script"
# Names of the package are looked up on a screen; on paper they would be more sheets than all else.
_REFERENCE = """() => document.querySelectorAll('span[id^="document-book/api/"]').forEach((place) => {
  place.nextElementSibling.remove();
  place.remove();
})"""
# On paper each page of the book begins on a new sheet, without menus.
_SHEETS = """
span[id^="document-"] { display: block; break-before: page; }
.bd-header, .bd-header-article, .bd-sidebar-primary, .bd-sidebar-secondary, .bd-footer { display: none !important; }
.bd-main .bd-content .bd-article-container, .bd-page-width { max-width: none !important; }
.bd-main .bd-content { margin-left: 0 !important; }
html { font-size: 14px; }
table.table { font-size: 0.82em; }
table.table caption { font-size: 1em; }
table.table :is(thead, thead tr, tbody tr:first-child) { break-after: avoid; }
"""
# The PDF must not hold the folder that it was printed in: a link to a file leads to its place in the book, or nowhere.
_LINKS = """() => document.querySelectorAll('a[href]').forEach((link) => {
  const place = decodeURIComponent(link.hash.slice(1));
  if (link.protocol !== 'file:') return;
  if (place && document.getElementById(place)) link.setAttribute('href', '#' + place);
  else link.removeAttribute('href');
})"""
_TITLE = rb"(/Title \(|/Title <)((?:\\.|[^\\)>])+)(\)|>)"
_CELL = rb"\(node\d{8}\)"
_FOOT = (
    '<div style="font: 8pt sans-serif; color: #59636e; width: 100%; margin: 0 15mm; display: flex; '
    'justify-content: space-between"><span>{name} {version}</span><span class="pageNumber"></span></div>'
)


def can_print() -> bool:
    """Return whether this machine has Chromium, and Python the package that drives it."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return False
    return any(map(shutil.which, BROWSERS))


def book(stage: Path, target: Path, *, seconds: int, work: identity.Work) -> Path:
    """Print the book of a stage.

    Args:
        stage: The folder that `ser_core.book.release.staging.copy` made.
        target: The PDF.
        seconds: The time that it bears, since 1970, UTC.
        work: The book.

    Returns:
        The PDF; the same bytes for the same pages, browser and fonts.

    Raises:
        SerError: If there is no Chromium, a page cannot be rendered, or the PDF names a file of this machine.
    """
    if not can_print():
        raise SerError(
            "no Chromium here, which prints the PDF; install it (Debian: apt install chromium) and playwright"
        )
    html = staging.render(stage, os.environ | {"SOURCE_DATE_EPOCH": str(seconds)}, "singlehtml")
    with browser() as chromium, files.replacing(target) as temporary:
        page = chromium.new_page(color_scheme="light", viewport={"width": 900, "height": 1200})
        page.set_default_timeout(600_000)
        # Sphinx writes the addresses of this one page as if it were at the top.
        page.goto(shutil.copyfile(html / "book" / "index.html", html / "whole.html").as_uri())
        arrange(page)
        page.emulate_media(media="print")
        page.pdf(
            path=temporary,
            format="A4",
            outline=True,
            tagged=True,
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=_FOOT.format(name=escape(work.name), version=escape(work.version)),
            margin={"top": "16mm", "bottom": "18mm", "left": "15mm", "right": "15mm"},
        )
        temporary.write_bytes(canonical(temporary.read_bytes(), seconds))
        if b"file://" in temporary.read_bytes():
            raise SerError("the PDF names a file of this machine; see the links that printing.py leaves in")
    return target


@contextlib.contextmanager
def browser(*arguments: str) -> Iterator:
    """Give a Chromium without a window.

    Args:
        arguments: Further words of its command line.

    Yields:
        The browser, as Playwright has it.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, BROWSERS))),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", *arguments],
        )
        yield chromium
        chromium.close()


def arrange(page) -> None:
    """Open what is folded in a page of all pages, and take out code, the package's reference and links to files.

    Args:
        page: A page of Playwright's, in which the book is open.
    """
    page.evaluate(f"document.querySelectorAll('{_LEFT_OUT}').forEach((element) => element.remove())")
    page.evaluate("document.querySelectorAll('details:not(.ser-files)').forEach((folded) => folded.open = true)")
    page.evaluate(_REFERENCE)
    page.evaluate(_LINKS)
    page.add_style_tag(content=_SHEETS)


def canonical(pdf: bytes, seconds: int) -> bytes:
    """Return a PDF without what differs from one printing to the next: its time, and the numbers of its table cells.

    Chromium names the cells of a tagged table by a count of everything that it has drawn since it began. It also says
    a heading twice in its bookmark where the heading was moved to the next page; this says it once.

    Args:
        pdf: What Chromium wrote.
        seconds: The time that it shall bear, since 1970, UTC.

    Returns:
        A PDF of the same length, so that its list of places stays true.

    Raises:
        SerError: If it holds no time, so that its bytes would differ in a way that this does not know.

    Examples:
        >>> canonical(b"/CreationDate (D:20260102030405+00'00') (node00000181) (node00000180) (node00000181)", 0)
        b"/CreationDate (D:19700101000000+00'00') (node00000002) (node00000001) (node00000002)"
    """
    time = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S").encode()
    made, found = re.subn(rb"(/(?:CreationDate|ModDate)\s*\(D:)\d{14}", rb"\g<1>" + time, pdf)
    if not found:
        raise SerError("the PDF has no time of its making; this Chromium writes PDFs in another way")
    # In the same order, for the PDF has a sorted list of them.
    ranks = {name: rank for rank, name in enumerate(sorted(set(re.findall(_CELL, made))), start=1)}
    made = re.sub(_CELL, lambda cell: b"(node%08d)" % ranks[cell[0]], made)
    return re.sub(_TITLE, _bookmark, made)


def _bookmark(title: re.Match) -> bytes:
    """Return a title that says everything once, with spaces behind it, so that nothing else moves."""
    start, text, end = title.groups()
    unit = 4 if start.endswith(b"<") else 1  # hexadecimal digits of a letter
    mark = text[:unit] if text.upper().startswith(b"FEFF") else b""
    once = said_once(text[len(mark) :], unit)
    return title[0] if once is None else (start + mark + once + end).ljust(len(title[0]))


def said_once(text: bytes, unit: int = 1) -> bytes | None:
    """Return a text in which each part stands twice with each part once; None if that is not so.

    Args:
        text: The text.
        unit: Bytes of a letter.

    Examples:
        >>> said_once(b"1.2. 1.2. Fine-tuningFine-tuning"), said_once(b"1.2. Fine-tuning")
        (b'1.2. Fine-tuning', None)
    """
    if not text:
        return b""
    for size in range(len(text) // 2 // unit * unit, 0, -unit):
        if text[:size] == text[size : 2 * size]:
            rest = said_once(text[2 * size :], unit)
            if rest is not None:
                return text[:size] + rest
    return None
