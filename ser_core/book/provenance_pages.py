"""In the pages: every glued number, figure and table is a link to where it comes from; every table is a CSV file."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from docutils import nodes
from myst_nb.ext.glue import directives, roles

from ser_core.book import provenance
from ser_core.errors import SerError

FOLDER = "book/provenance"
"""Where the pages are, one for each chapter."""
TABLES = "downloads/tables"
"""Where the tables are as CSV, in a folder for each chapter."""
_HEAD = '<table class="table"><thead><tr><th scope="col">Key</th><th scope="col">What</th></tr></thead>'


def connect(app) -> None:
    """Mark what is glued when pages are read, and link it when they are written.

    Args:
        app: The Sphinx application, after MyST-NB was set up.
    """
    app.add_role_to_domain("glue", "text", _Text(), override=True)
    app.add_directive_to_domain("glue", "figure", _Figure, override=True)
    app.add_directive_to_domain("glue", "md", _Table, override=True)
    app.connect("doctree-resolved", link)
    app.connect("html-collect-pages", pages)


class _Text(roles.PasteTextRole):
    """``{glue:text}`` that remembers its document and key."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Wrap what is pasted, for a number of another page is only put in at the end."""
        found, messages = super().run()
        env = self.document.settings.env
        document, _, key = self.text.rpartition("::")
        _, docname = env.relfn2path(document, env.docname) if document else ("", None)
        name = env.path2doc(docname) if docname else env.docname
        return [nodes.inline("", "", *found, ser_from=(name, key.partition(":")[0]))] if found else [], messages


class _Figure(directives.PasteFigureDirective):
    """``{glue:figure}`` that remembers its key."""

    def run(self) -> list[nodes.Node]:
        """Mark the figure."""
        return _marked(super().run(), nodes.figure, self.document.settings.env.docname, self.arguments[0])


class _Table(directives.PasteMarkdownDirective):
    """``{glue:md}`` that remembers its key."""

    def run(self) -> list[nodes.Node]:
        """Mark the table, if it is one."""
        return _marked(super().run(), nodes.table, self.document.settings.env.docname, self.arguments[0])


def _marked(found: list[nodes.Node], kind: type[nodes.Element], docname: str, key: str) -> list[nodes.Node]:
    for node in found:
        if isinstance(node, kind):
            node["ser_from"] = docname, key
            break
    return found


def link(app, doctree: nodes.document, docname: str) -> None:
    """Make links of what is glued in a page; the sentence that ends a caption becomes a short one.

    Args:
        app: The Sphinx application. Only pages of their own are linked, not the one that is printed.
        doctree: The page; it is changed.
        docname: Its name.
    """
    if app.builder.name != "html":
        return
    for kind in (nodes.figure, nodes.table):
        for node in doctree.findall(kind):
            if "ser_from" in node:
                _end_caption(app, node, docname)
    for node in list(doctree.findall(nodes.inline)):
        if "ser_from" in node:
            inside = node.children
            if not _within(node, nodes.title, nodes.section) and not _within(node, nodes.reference):
                inside = [_reference(app, docname, *node["ser_from"], *node.children)]
            node.replace_self(inside or [nodes.Text("")])


def _within(node: nodes.Node, kind: type[nodes.Element], of: type[nodes.Element] = nodes.Element) -> bool:
    while node := node.parent:
        if isinstance(node, kind) and isinstance(node.parent, of):
            return True
    return False


def _reference(app, docname: str, document: str, key: str, *inside: nodes.Node) -> nodes.reference:
    page = app.builder.get_relative_uri(docname, f"{FOLDER}/{Path(document).name}")
    return nodes.reference("", "", *inside, refuri=f"{page}#{key}", internal=True, classes=["ser-from"])


def _end_caption(app, node: nodes.Element, docname: str) -> None:
    """End a caption in a link to where the figure or table comes from."""
    caption = next((part for part in node.children if isinstance(part, nodes.caption | nodes.title)), None)
    if caption is None:
        return
    for part in list(caption.findall(nodes.inline)):
        if part.get("ser_from", ("", ""))[1].startswith("source"):
            part.parent.remove(part)
    words = "Source, CSV" if isinstance(node, nodes.table) else "Source"
    caption += [nodes.Text(" "), _reference(app, docname, *node["ser_from"], nodes.inline("", words))]
    caption[-1]["classes"] = ["ser-source"]


def pages(app) -> Iterator[tuple[str, dict, str]]:
    """Yield a page for each executed chapter, and write its tables as CSV.

    Args:
        app: The Sphinx application.
    """
    root = Path(app.srcdir)
    try:
        chapters = provenance.executed(root)
    except SerError:
        return
    known = provenance.verifications(
        sorted({name for chapter in chapters for one in chapter.glued for name in one.experiments})
    )
    titles, anchors = app.env.titles, provenance.numbers(root)
    for chapter in chapters:
        page = f"book/chapters/{chapter.name}"
        if page not in titles:
            continue
        write_tables(chapter, Path(app.outdir) / TABLES / chapter.name)
        title = f"Sources of {titles[page].astext()}"
        body = "\n".join(_body(chapter, title, known, anchors))
        yield f"{FOLDER}/{chapter.name}", {"title": title, "body": body}, "page.html"


def write_tables(chapter: provenance.Executed, folder: Path) -> None:
    """Write the tables of a chapter as CSV.

    Args:
        chapter: The chapter.
        folder: Where to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for one in chapter.glued:
        if one.kind == "table":
            (folder / f"{one.key}.csv").write_text(provenance.as_csv(one.text), encoding="utf-8")


def _body(chapter: provenance.Executed, title: str, known: dict[str, str], anchors: dict) -> Iterator[str]:
    """Yield the HTML of a page: what each cell of a chapter made, and what that was made from."""
    here, code = f"../chapters/{chapter.name}.html", chapter.facts["code"]
    yield f"<section><h1>{escape(title)}</h1>"
    yield (
        f'<p>Every number, figure and table of <a href="{here}">the chapter</a>, by the code cell that made it. '
        f'The notebook: <a href="../../downloads/{chapter.name}.ipynb">.ipynb</a>, '
        f'<a href="../../downloads/{chapter.name}.md">.md</a>. It was executed by the code '
        f"<code>{escape(code)}</code>, Python {escape(chapter.facts['python'])}; "
        '<a href="../chapters/status.html">the status page</a> has the versions, and how many Runs are verified. '
        "<code>ser trace KEY</code> says the same in a clone.</p>"
    )
    for number, source in enumerate(chapter.sources, start=1):
        made = [one for one in chapter.glued if one.cell == number]
        if made:
            yield f'<section id="cell-{number}"><h2>Code cell {number}</h2>'
            yield from _from(chapter, made[0], known)
            yield f"{_HEAD}<tbody>"
            yield from (_made(chapter, one, here, anchors.get(one.name, ("", ""))) for one in made)
            yield f"</tbody></table><details><summary>Code</summary><pre>{escape(source)}</pre></details></section>"
    yield "</section>"


def _from(chapter: provenance.Executed, one: provenance.Glued, known: dict[str, str]) -> Iterator[str]:
    others = [f'<a href="#cell-{n}">{n}</a>' if _has_page(chapter, n) else str(n) for n in one.needs if n != one.cell]
    if others:
        yield f"<p>Uses what the code cells {', '.join(others)} made.</p>"
    names = [f"<li><code>results/runs/{name}</code>: {escape(known[name])}</li>" for name in one.experiments]
    names += [f"<li><code>{escape(name)}</code></li>" for name in one.files]
    if names:
        yield f"<p>Made from</p><ul>{''.join(names)}</ul>"
    else:
        read = ", ".join(f"<code>{escape(name)}</code>" for name in chapter.facts.get("inputs", []))
        yield f"<p>Its code names no file; the chapter reads {read}.</p>"


def _has_page(chapter: provenance.Executed, number: int) -> bool:
    return any(one.cell == number for one in chapter.glued)


def _made(chapter: provenance.Executed, one: provenance.Glued, here: str, named: tuple[str, str]) -> str:
    label, anchor = named
    what = f'<a href="{here}#{anchor}">{label}</a>' if anchor else label or one.kind.capitalize()
    if one.kind == "text":
        what = escape(one.text)
    elif one.kind == "table":
        what += f', <a href="../../{TABLES}/{chapter.name}/{one.key}.csv" download>CSV</a>'
    elif one.kind == "figure":
        what += f": {escape(one.text)}"
    return f'<tr id="{escape(one.key)}"><td><code>{escape(one.key)}</code></td><td>{what}</td></tr>'
