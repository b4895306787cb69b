"""The Sphinx extension of the book's pages: who wrote them, how to take them away, and a search of prose."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from html import escape, unescape
from pathlib import Path

import nbformat
import vl_convert
from docutils import nodes
from sphinx.addnodes import desc_signature

from ser_core import files
from ser_core.book import identity, provenance_pages
from ser_core.errors import SerError

_VEGA = (
    "/*! Vega, Vega-Lite and Vega-Embed, copyright University of Washington Interactive Data Lab; bundled by "
    "vl-convert. BSD-3-Clause, whose conditions are in vega.txt. */"
)
PDF = "honest-splits.pdf"
"""Name of the whole book as PDF, at the top of the pages."""
MADE_FROM = "executed.json"
"""Below ``_static``: the checksum of each executed chapter that the pages show."""
_DESCRIPTION = 200
# Page -> the script that it alone has.
_SCRIPTS = {"book/play": "play.js", "book/chapters/06_claims": "ledger.js"}
# Loaded by the theme on every page. A font of the style sheet has the icons already.
_ICONS = r"scripts/fontawesome\.js"
# With the search tools in it, a page takes itself for the search page and marks no hits.
_SEARCH = r"searchtools\.js|language_data\.js|searchindex\.js"
# Named by the index of names, or not prose.
_CODE = (nodes.literal_block, nodes.doctest_block, nodes.raw, desc_signature)


def setup(app) -> dict:
    """Connect the extension; Sphinx calls it.

    Args:
        app: The Sphinx application.

    Returns:
        What Sphinx wants to know of an extension.
    """
    if "myst_nb" in app.extensions:
        provenance_pages.connect(app)
    app.connect("config-inited", _configure)
    app.connect("builder-inited", _index_prose)
    app.connect("html-page-context", _complete, priority=900)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": False}


def date(root: Path) -> str | None:
    """Return the day of the text: of ``SOURCE_DATE_EPOCH`` if set, else of the last commit.

    Args:
        root: The repository.

    Returns:
        Year, month and day, as in ``2026-11-29``; None outside of a repository.
    """
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if not seconds:
        try:
            line = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
            seconds = subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d")


def _configure(app, config) -> None:
    """Take the repository's address, the authors and the version from CITATION.cff, where they are said once."""
    work = identity.read(Path(app.srcdir) / "CITATION.cff")
    options = config.html_theme_options
    if work.repository:
        options |= {"repository_url": work.repository, "use_repository_button": True, "use_issues_button": True}
    if work.site:
        config.html_baseurl = work.site
    made = " · ".join(filter(None, (f"Version {work.version}", date(app.srcdir))))
    options["extra_footer"] = f"<p>{escape(made)}</p>"


def _index_prose(app) -> None:
    """Leave code out of the search index, and keep the prose of each section for the excerpts."""
    builder, app.ser_prose = app.builder, {}
    if builder.name != "html":
        return
    index = builder.index_page

    def index_page(pagename: str, doctree: nodes.document, title: str) -> None:
        prose = doctree.deepcopy()
        for code in [found for kind in _CODE for found in prose.findall(kind)]:
            code.parent.remove(code)
        app.ser_prose[pagename] = sections(prose)
        index(pagename, prose, title)

    builder.index_page = index_page


def sections(doctree: nodes.document) -> list[tuple[str, str]]:
    """Return the anchor and the text of each section of a page, without that of the sections in it.

    Args:
        doctree: The page.

    Returns:
        Sections in the order of the page; the anchor begins with ``#``. What has no text is left out.
    """
    found = []
    for section in doctree.findall(nodes.section):
        parts = [
            part.astext()
            for part in section.children
            if not isinstance(part, nodes.section | nodes.title | nodes.comment)
        ]
        if text := " ".join(" ".join(parts).split()):
            found.append((f"#{section['ids'][0]}", text))
    return found


def description(doctree: nodes.document | None) -> str | None:
    """Return the first paragraph of a page, cut after a word.

    Args:
        doctree: The page; None for one without text, such as the index.

    Returns:
        At most 200 characters, or None if no paragraph has more than 40.
    """
    for paragraph in doctree.findall(nodes.paragraph) if doctree else ():
        text = " ".join(paragraph.astext().split())
        if len(text) > 40:
            return text if len(text) <= _DESCRIPTION else text[:_DESCRIPTION].rsplit(" ", 1)[0] + " …"
    return None


def _complete(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Add to a page what it is for those who find, share and cite it, and the ways to take it away."""
    root = Path(app.srcdir)
    work = identity.read(root / "CITATION.cff")
    numbered = re.sub('<span class="section-number">.*?</span>', "", context.get("title", ""))
    title = unescape(re.sub("<[^>]*>", "", numbered)).strip()
    tags = metatags(work, pagename, title, description(doctree), (root / "extra" / PDF).is_file())
    context["metatags"] = context.get("metatags", "") + tags
    if pagename == "search":
        for file in ("prose.js", "search.js"):
            app.add_js_file(file, loading_method="defer")
    if pagename in _SCRIPTS:
        app.add_js_file(_SCRIPTS[pagename], loading_method="defer")
    groups = [button for button in context.get("header_buttons", ()) if button.get("label") != "download-buttons"]
    context["header_buttons"] = [*_exits(app, work, pagename, context["pathto"]), *groups]


def metatags(work: identity.Work, page: str, title: str, about: str | None, pdf: bool) -> str:
    """Return the ``<meta>`` elements of a page: description, OpenGraph and those that Google Scholar reads.

    Args:
        work: The book.
        page: Name of the page, as in ``book/index``.
        title: Its title.
        about: Its description; the book's abstract if None.
        pdf: Whether the pages have the book as PDF, too.

    Returns:
        HTML. Addresses are there only if the book has one.
    """
    about = about or work.abstract
    whole = title == work.name or not title
    tags = [
        ("name", "description", about),
        ("name", "author", ", ".join(work.authors)),
        ("property", "og:title", title or work.name),
        ("property", "og:description", about),
        ("property", "og:type", "book" if whole else "article"),
        ("property", "og:site_name", work.name),
        ("name", "twitter:card", "summary"),
        ("name", "citation_title", work.title if whole else title),
        *(("name", "citation_author", author) for author in work.authors),
        ("name", "citation_language", "en"),
    ]
    if not whole:
        tags.append(("name", "citation_inbook_title", work.title))
    if work.released:
        tags.append(("name", "citation_publication_date", work.released.replace("-", "/")))
    if work.doi:
        tags.append(("name", "citation_doi", work.doi))
    if work.site:
        tags += [
            ("property", "og:url", f"{work.site}{page}.html"),
            ("property", "og:image", f"{work.site}_static/card.png"),
            ("name", "citation_public_url", f"{work.site}{page}.html"),
        ]
        if pdf:
            tags.append(("name", "citation_pdf_url", work.site + PDF))
    return "".join(f'\n<meta {kind}="{name}" content="{escape(value)}" />' for kind, name, value in tags)


def _exits(app, work: identity.Work, pagename: str, pathto) -> list[dict]:
    """Return the buttons by which a page is printed, downloaded or run elsewhere."""

    def link(text: str, tooltip: str, url: str, icon: str) -> dict:
        return {"type": "link", "text": text, "tooltip": tooltip, "url": url, "icon": f"fas fa-{icon}"}

    root, name = Path(app.srcdir), pagename.rsplit("/", 1)[-1]
    chapter = (root / "notebooks" / f"{name}.ipynb").is_file()
    take, run = [], []
    if chapter:
        take.append(link(".ipynb", "Notebook, to run", pathto(f"downloads/{name}.ipynb", 1), "code"))
        take.append(link(".md", "Text of the notebook", pathto(f"downloads/{name}.md", 1), "file"))
    if (root / "extra" / PDF).is_file():
        take.append(link("Book (.pdf)", "The whole book as PDF", pathto(PDF, 1), "file-pdf"))
    printing = {"type": "javascript", "javascript": "window.print()", "text": "Print", "tooltip": "Print this page"}
    take.append(printing | {"icon": "fas fa-print"})
    if chapter and work.github:
        binder = f"https://mybinder.org/v2/gh/{work.github}/main?urlpath=lab/tree/notebooks/{name}.ipynb"
        colab = f"https://colab.research.google.com/github/{work.github}/blob/main/notebooks/{name}.ipynb"
        run = [link("Binder", "Run on Binder", binder, "play"), link("Colab", "Run on Colab", colab, "play")]
    groups = [("Run this page", "rocket", run), ("Download this page", "download", take)]
    return [
        {"type": "group", "tooltip": what, "icon": f"fas fa-{icon}", "buttons": buttons, "label": f"{icon}-buttons"}
        for what, icon, buttons in groups
        if buttons
    ]


def _finish(app, failure: Exception | None) -> None:
    if failure or app.builder.name != "html":
        return
    root, html = Path(app.srcdir), Path(app.outdir)
    work = identity.read(root / "CITATION.cff")
    write_downloads(root / "notebooks", html / "downloads", work)
    prose = json.dumps(dict(sorted(app.ser_prose.items())), ensure_ascii=False)
    (html / "_static" / "prose.js").write_text(f"window.SER_PROSE = {prose};\n", encoding="utf-8")
    write_vega(html / "_static")
    made_from = {path.stem: files.sha256(path) for path in sorted((root / "book" / "chapters").glob("*.ipynb"))}
    (html / "_static" / MADE_FROM).write_text(json.dumps(made_from, indent=1) + "\n", encoding="utf-8")
    slim(html)
    if (root / "extra" / PDF).is_file():
        shutil.copyfile(root / "extra" / PDF, html / PDF)
    if work.site:
        pages = sorted(f"<url><loc>{work.site}{page}.html</loc></url>" for page in app.env.found_docs)
        start = '<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        (html / "sitemap.xml").write_text(start + "\n".join(pages) + "\n</urlset>\n", encoding="utf-8")
        (html / "robots.txt").write_text(f"User-agent: *\nSitemap: {work.site}sitemap.xml\n", encoding="utf-8")


def write_vega(folder: Path) -> None:
    """Write the library that draws the charts to play with, and its licence, as the installed package has them.

    Args:
        folder: Where to write; see ``book/_static/play.js``.
    """
    # In a function, because it names variables that other scripts of a page may use.
    script = f"{_VEGA}\n(()=>{{{vl_convert.javascript_bundle()}}})();\n"
    (folder / "vega.js").write_text(script, encoding="utf-8")
    (licence,) = (file for file in importlib.metadata.files("vl-convert-python") if file.name == "LICENSE")
    (folder / "vega.txt").write_text(licence.read_text(encoding="utf-8"), encoding="utf-8")


def slim(html: Path) -> None:
    """Take out of rendered pages what the theme loads and no page needs.

    Args:
        html: Folder of the pages.
    """
    for page in html.rglob("*.html"):
        needless = _ICONS if page == html / "search.html" else f"{_ICONS}|{_SEARCH}"
        text = page.read_text(encoding="utf-8")
        script = rf'\s*<script[^>]* src="[^"]*(?:{needless})[^"]*"></script>'
        page.write_text(re.sub(script, "", text), encoding="utf-8")
    static = html / "_static"
    for needless in ("*.map", "fontawesome.js*", "*.ttf"):
        for file in static.rglob(needless):
            file.unlink()
    shutil.rmtree(static / "locales", ignore_errors=True)


def write_downloads(notebooks: Path, folder: Path, work: identity.Work) -> None:
    """Write each chapter as ``.ipynb`` and ``.md``, without outputs, after a note that says what it needs to run.

    Args:
        notebooks: Folder of the chapters.
        folder: Where to write.
        work: The book, for the address of its repository.

    Raises:
        SerError: If a chapter has no text beside its notebook.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(notebooks.glob("[0-9]*.ipynb")):
        text = path.with_suffix(".md")
        if not text.is_file():
            raise SerError(f"{path}: no {text.name} beside it; the text is what the notebook is made from")
        note = identity.how_to_install(work, path.name)
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(note, id="how-to-install"))
        written = nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / path.name).write_text(written + "\n", encoding="utf-8")
        _, front, body = text.read_text(encoding="utf-8").split("---\n", 2)
        (folder / text.name).write_text(f"---\n{front}---\n\n{note}\n{body}", encoding="utf-8")
