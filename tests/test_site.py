"""What the Sphinx extension adds to pages, held on a small book: with an address of its own, and without one."""

import json
import os
import re
import struct
import subprocess
import xml.etree.ElementTree as ElementTree

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from ser_core import paths
from ser_core.book import identity, site
from ser_core.errors import SerError

ROOT = paths.repository()
CITATION = """cff-version: 1.2.0
message: Cite it.
title: "A Small Book: with a subtitle"
abstract: A small book, for tests only.
version: 1.2.3
authors:
  - name: Its contributors
  - given-names: Ada
    family-names: Byron
license: [MIT, CC-BY-4.0]
"""
PAGE = """# First steps

Short.

A paragraph that is long enough to say what the page is about, and *first* among those.

```python
hidden_word = "zanzibar"
```

```{eval-rst}
>>> hidden_word.upper()
'ZANZIBAR'
```

## A section

Speakers are held out here.
"""


def build(folder, more=""):
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    (folder / "book" / "chapters").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    (folder / "CITATION.cff").write_text(CITATION + more)
    (folder / "book" / "index.md").write_text("# A Small Book\n\n```{toctree}\nchapters/01_first\n```\n")
    (folder / "book" / "chapters" / "01_first.md").write_text(PAGE)
    text = "---\njupytext: {}\n---\n\n# First steps\n"
    (folder / "notebooks" / "01_first.md").write_text(text)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# First steps", id="a")])
    nbformat.write(notebook, folder / "notebooks" / "01_first.ipynb")
    settings = {
        "extensions": ["myst_parser", "sphinx_book_theme", "ser_core.book.site"],
        "html_theme": "sphinx_book_theme",
        "html_theme_options": {},
        "html_copy_source": False,
        "root_doc": "book/index",
        # Sphinx keeps its default for the process, and MyST-NB of another test changes it.
        "source_suffix": {".rst": "restructuredtext", ".md": "markdown"},
        "exclude_patterns": ["notebooks", "out"],
    }
    out = folder / "out"
    with patch_docutils(), docutils_namespace():
        Sphinx(folder, None, out, out / "trees", "html", settings, status=None, warningiserror=True).build()
    return out


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1767323046")
        return build(tmp_path_factory.mktemp("without"))


@pytest.fixture(scope="module")
def addressed(tmp_path_factory):
    more = "repository-code: https://github.com/Ada/small\ndate-released: 2026-01-02\ndoi: 10.5281/zenodo.1\n"
    return build(tmp_path_factory.mktemp("with"), more)


def page(html, name="book/chapters/01_first"):
    return BeautifulSoup((html / f"{name}.html").read_text(), "html.parser")


def meta(soup):
    tags = soup.find_all("meta", content=True)
    return {tag.get("name") or tag.get("property"): tag["content"] for tag in tags}


def test_pages_say_what_they_are(without):
    found = meta(page(without))
    about = "A paragraph that is long enough to say what the page is about, and first among those."
    assert found["description"] == found["og:description"] == about
    assert (found["og:title"], found["og:type"], found["og:site_name"]) == ("First steps", "article", "A Small Book")
    assert found["citation_title"] == "First steps"
    assert found["citation_inbook_title"] == "A Small Book: with a subtitle"
    authors = [tag["content"] for tag in page(without).find_all("meta", attrs={"name": "citation_author"})]
    assert authors == ["Its contributors", "Ada Byron"]
    whole = meta(page(without, "book/index"))
    assert (whole["citation_title"], whole["og:type"]) == ("A Small Book: with a subtitle", "book")
    assert whole["description"] == "A small book, for tests only."
    assert "Version 1.2.3 · 2026-01-02" in page(without).get_text()


def test_nothing_is_invented_without_an_address(without):
    found = meta(page(without))
    assert not {"og:url", "og:image", "citation_doi", "citation_publication_date", "citation_public_url"} & set(found)
    assert not re.findall(r"mybinder|colab|github", (without / "book/chapters/01_first.html").read_text())
    assert not (without / "sitemap.xml").exists()


def test_one_address_gives_buttons_and_addresses(addressed):
    soup = page(addressed)
    found = meta(soup)
    here = "https://ada.github.io/small/"
    assert found["og:url"] == found["citation_public_url"] == f"{here}book/chapters/01_first.html"
    assert found["og:image"] == f"{here}_static/card.png"
    assert (found["citation_publication_date"], found["citation_doi"]) == ("2026/01/02", "10.5281/zenodo.1")
    assert soup.find("link", rel="canonical")["href"] == f"{here}book/chapters/01_first.html"
    links = {
        a.get_text(strip=True): a["href"] for a in soup.select(".header-article__right a, .article-header-buttons a")
    }
    assert links["Binder"] == "https://mybinder.org/v2/gh/Ada/small/main?urlpath=lab/tree/notebooks/01_first.ipynb"
    assert links["Colab"] == "https://colab.research.google.com/github/Ada/small/blob/main/notebooks/01_first.ipynb"
    assert links["Repository"] == "https://github.com/Ada/small"
    tree = ElementTree.parse(addressed / "sitemap.xml").getroot()
    listed = [place.text for place in tree.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    assert listed == [f"{here}book/chapters/01_first.html", f"{here}book/index.html"]


@pytest.mark.parametrize("html", ["without", "addressed"])
def test_downloads_say_how_to_install(html, request):
    html = request.getfixturevalue(html)
    links = {a.get_text(strip=True): a["href"] for a in page(html).select(".article-header-buttons a")}
    for ending in (".ipynb", ".md"):
        assert (html / "book" / "chapters" / links[ending]).resolve() == html / "downloads" / f"01_first{ending}"
    notebook = nbformat.read(html / "downloads" / "01_first.ipynb", as_version=4)
    nbformat.validate(notebook)
    first, *others = notebook.cells
    assert "make book" in first.source and "jupyter lab notebooks/01_first.ipynb" in first.source
    assert [cell.source for cell in others] == ["# First steps"]
    text = (html / "downloads" / "01_first.md").read_text()
    assert text.startswith("---\njupytext: {}\n---\n\n> **To run this notebook**") and text.endswith("# First steps\n")
    assert ("git clone https://github.com/Ada/small" in text) == html.is_relative_to(
        request.getfixturevalue("addressed")
    )


def test_search_is_of_prose(without):
    index = json.loads(re.search(r"setIndex\((.*)\)", (without / "searchindex.js").read_text(), re.S)[1])
    assert not [word for word in index["terms"] if "zanzibar" in word or "hidden" in word]
    assert [word for word in index["terms"] if word.startswith("speaker")]
    prose = json.loads((without / "_static" / "prose.js").read_text().removeprefix("window.SER_PROSE = ").rstrip(";\n"))
    assert prose["book/chapters/01_first"][1] == ["#a-section", "Speakers are held out here."]
    assert "zanzibar" not in json.dumps(prose)


def test_pages_load_no_needless_script(without):
    assert "fontawesome.js" not in (without / "search.html").read_text()
    assert "searchtools.js" in (without / "search.html").read_text()
    for needless in ("fontawesome.js", "searchtools.js", "searchindex.js", "language_data.js"):
        assert needless not in (without / "book/chapters/01_first.html").read_text()
    assert not [*without.rglob("fontawesome.js*"), *without.rglob("*.map"), *without.rglob("_static/locales/*")]
    assert page(without).select_one("i.fa-download"), "icons are those of the style sheet"


def test_a_notebook_without_text_is_one_line(tmp_path):
    (tmp_path / "01_a.ipynb").write_text("{}")
    with pytest.raises(SerError, match=r"no 01_a.md beside it"):
        site.write_downloads(tmp_path, tmp_path / "out", identity.read(ROOT / "CITATION.cff"))


def test_date_is_that_of_the_commit(tmp_path, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    line = ["git", "-C", str(ROOT), "log", "-1", "--date=format-local:%Y-%m-%d", "--format=%cd"]
    told = subprocess.run(line, capture_output=True, text=True, env=os.environ | {"TZ": "UTC"})
    if told.returncode == 0:
        assert site.date(ROOT) == told.stdout.strip()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert site.date(tmp_path) is None


def test_what_is_made_from_the_citation_is_in_step():
    for name, text in identity.made(ROOT).items():
        assert (ROOT / name).read_text() == text, f"{name} is out of date; run make citation"


def test_zenodo_takes_the_description():
    fields = json.loads((ROOT / ".zenodo.json").read_text())
    work = identity.read(ROOT / "CITATION.cff")
    assert (fields["title"], fields["version"], fields["upload_type"]) == (work.title, work.version, "software")
    assert [one["name"] for one in fields["creators"]] == list(work.authors)
    assert fields["license"] == "MIT" and "CC-BY-4.0" in fields["notes"]


def test_bibtex_is_read_by_another_library():
    from pybtex.database import parse_string

    work = identity.read(ROOT / "CITATION.cff")
    ((key, entry),) = parse_string((ROOT / "book" / "cite.bib").read_text(), "bibtex").entries.items()
    assert (key, entry.type, entry.fields["title"]) == ("honest_splits", "software", work.title)
    # One name, although it has three words.
    assert [str(person).strip("{}") for person in entry.persons["author"]] == list(work.authors)
    assert entry.fields["version"] == work.version


def test_a_citation_file_without_what_is_needed_is_one_line(tmp_path):
    path = tmp_path / "CITATION.cff"
    for text in ("title: A\n", "- 1\n"):
        path.write_text(text)
        with pytest.raises(SerError, match="expected title, abstract, version, authors"):
            identity.read(path)
    with pytest.raises(SerError, match="no such file"):
        identity.read(tmp_path / "no.cff")


def test_colab_cell_is_python_and_does_nothing_elsewhere(tmp_path):
    (tmp_path / "CITATION.cff").write_text(CITATION)
    assert identity.colab(identity.read(tmp_path / "CITATION.cff")) is None
    (tmp_path / "CITATION.cff").write_text(CITATION + "repository-code: https://github.com/Ada/small\n")
    cell = identity.colab(identity.read(tmp_path / "CITATION.cff"))
    assert "git clone --quiet --depth 1 https://github.com/Ada/small" in cell
    exec(compile(cell, "cell", "exec"), {})


def test_binder_installs_the_lock_of_the_book():
    folder = ROOT / ".binder"
    name = re.fullmatch(r"-r (\S+)\n", (folder / "requirements.txt").read_text())[1]
    assert (folder / name).resolve() == ROOT / "requirements-book.lock"
    assert (folder / "runtime.txt").read_text() == "python-3.11\n"
    assert os.access(folder / "postBuild", os.X_OK)


def test_the_card_has_the_size_that_others_show():
    data = (ROOT / "book" / "_static" / "card.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (1200, 630)
    assert len(data) < 100_000


def test_logo_and_icon_are_drawn_and_named():
    for name in ("logo", "favicon"):
        root = ElementTree.parse(ROOT / "book" / "_static" / f"{name}.svg").getroot()
        assert root.get("aria-label") == "Honest Splits" and len(list(root.iter())) > 8
    settings = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert (ROOT / settings["logo"]).is_file() and (ROOT / settings["html"]["favicon"]).is_file()
