import csv
import json
import os
import re
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

from ser_core import files, paths
from ser_core.book import chapters, provenance, provenance_pages, site

ROOT = paths.repository()
HTML = ROOT / "_build" / "html"
rendered = pytest.mark.skipif(
    not (HTML / "index.html").is_file(), reason="the book is not rendered; run make book first"
)
PAGES = sorted(HTML.glob("book/**/*.html")) + [HTML / "index.html"]


@pytest.fixture(scope="module")
def soups():
    return {page: BeautifulSoup(page.read_text(), "html.parser") for page in PAGES}


def in_contents():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return [contents["root"], *(chapter["file"] for part in contents["parts"] for chapter in part["chapters"])]


@rendered
def test_every_page_of_the_contents_is_rendered(soups):
    for name in in_contents():
        assert HTML / f"{name}.html" in soups


@rendered
def test_no_link_leads_nowhere(soups):
    broken = []
    anchors = {page: {element["id"] for element in soup.find_all(id=True)} for page, soup in soups.items()}
    for page, soup in soups.items():
        for tag, attribute in (("a", "href"), ("img", "src"), ("link", "href"), ("script", "src")):
            for target in (element[attribute] for element in soup.find_all(tag, attrs={attribute: True})):
                parts = urlsplit(target)
                if parts.scheme or target in ("#", ""):
                    continue
                path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
                if not path.is_file():
                    broken.append(f"{page.relative_to(HTML)}: {target}")
                elif parts.fragment and path in soups and tag == "a":
                    if unquote(parts.fragment) not in anchors[path]:
                        broken.append(f"{page.relative_to(HTML)}: no {target}")
    assert not broken


@rendered
def test_pages_load_nothing_from_elsewhere(soups):
    for page, soup in soups.items():
        loaded = [element.get("src") for element in soup.find_all(["script", "img", "iframe"])]
        loaded += [element.get("href") for element in soup.find_all("link") if "stylesheet" in element.get("rel", [])]
        assert not [url for url in loaded if url and urlsplit(url).netloc], page


@rendered
def test_every_figure_is_described_and_numbered(soups):
    for page, soup in soups.items():
        article = soup.find("article") or soup
        for image in article.find_all("img"):
            assert len(image.get("alt", "")) > 10, f"{page}: {image.get('src')}"
        for figure in article.select(".ser-figure svg"):
            assert figure["role"] == "img" and len(figure["aria-label"]) > 10, page
        for figure in article.find_all("figure"):
            assert figure.select_one(".caption-number"), f"{page}: {figure.get('id')}"


@rendered
def test_ids_are_unique(soups):
    for page, soup in soups.items():
        ids = [element["id"] for element in (soup.find("article") or soup).find_all(id=True)]
        assert len(ids) == len(set(ids)), (page, sorted({i for i in ids if ids.count(i) > 1}))


@rendered
def test_no_page_shows_markup_or_a_missing_number(soups):
    for page, soup in soups.items():
        article = soup.find("article")
        if article is None:
            continue
        for code in article.find_all(["code", "pre", "svg"]):
            code.extract()
        text = article.get_text(" ")
        assert not re.findall(r"\{(?:glue|numref|cite|doc|ref)[^}]*\}|:::|\\\(", text), page
        shown = [element.get_text() for element in article.select("td, .pasted-text")]
        assert not [text for text in shown if re.search(r"\b(nan|NaN|None|<NA>|inf)\b", text)], page


@rendered
def test_search_finds_speaker():
    index = re.search(r"Search\.setIndex\((.*)\)", (HTML / "searchindex.js").read_text(), flags=re.DOTALL)[1]
    index = json.loads(index)
    # A page with the word in a heading is listed under that only; a single page is listed as its bare number.
    lists = [index[terms].get("speaker", []) for terms in ("terms", "titleterms")]
    numbers = {number for found in lists for number in ([found] if isinstance(found, int) else found)}
    names = {index["docnames"][number] for number in numbers}
    assert {"book/chapters/01_datasets_and_leakage", "book/index"} <= names


@rendered
def test_no_page_is_older_than_what_it_was_made_from():
    """By content: the package, the text, the results and cards, the executed chapters, the pages."""
    shown = json.loads((HTML / "_static" / site.MADE_FROM).read_text())
    for text in sorted((ROOT / "notebooks").glob("[0-9]*.md")):
        executed = ROOT / "book" / "chapters" / f"{text.stem}.ipynb"
        changed = chapters.changed(chapters.read(text), executed)
        assert not changed, f"{text.stem} was executed before {changed} changed; run make book"
        assert shown[text.stem] == files.sha256(executed), f"the page of {text.stem} shows another execution"


@rendered
def test_every_number_leads_to_where_it_comes_from(soups):
    for page, soup in soups.items():
        assert not [text for text in soup.select(".pasted-text") if not text.find_parent(["a", "h1", "h2", "h3"])], page


@rendered
@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "notebooks").glob("0[0-9]*.md"))])
def test_every_figure_and_table_leads_to_where_it_comes_from(soups, name):
    soup = soups[HTML / "book" / "chapters" / f"{name}.html"]
    numbers = {anchor: label for label, anchor in provenance.numbers(ROOT).values()}
    for shown in soup.select("article figure[id], article table[id]"):
        label = " ".join(shown.select_one(".caption-number").get_text().split())
        assert numbers[shown["id"]] == label
        assert shown.select_one("a.ser-source"), f"{name}: {label}"
        if shown.name == "table":
            key = shown.select_one("a.ser-source")["href"].partition("#")[2]
            table = list(csv.reader((HTML / provenance_pages.TABLES / name / f"{key}.csv").open()))
            assert len(table) == len(shown.select("tr")), f"{name}: {label}"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-book.lock"])
def test_locks_have_hashes_and_no_addresses(name):
    text = (ROOT / name).read_text()
    assert not re.findall(r"https?://|file:|--(?:extra-)?index-url|--find-links", text)
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    assert all("--hash=sha256:" in entry for entry in entries)


def test_what_the_book_installs_is_part_of_everything_and_has_no_deep_learning():
    def versions(name):
        return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), flags=re.MULTILINE))

    book, everything = versions("requirements-book.lock"), versions("requirements.lock")
    assert book.items() <= everything.items()
    assert not {"torch", "torchaudio", "transformers", "gradio"} & set(book)
    assert {"torch", "nbmake", "playwright"} <= set(everything)


def test_citation_file_is_valid_and_in_step():
    from cffconvert import Citation

    text = (ROOT / "CITATION.cff").read_text()
    Citation(text).validate()
    fields = yaml.safe_load(text)
    assert f'version = "{fields["version"]}"' in (ROOT / "pyproject.toml").read_text()
    assert fields["title"].split(":")[0] == yaml.safe_load((ROOT / "_config.yml").read_text())["title"]


def test_continuous_integration_runs_the_readme_command():
    script = (ROOT / ".ci/run").read_text()
    assert "make test" in (ROOT / "README.md").read_text() and "exec make test" in script
    assert os.access(ROOT / ".ci/run", os.X_OK)
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]
    assert "_build/html" in [step.get("with", {}).get("path") for step in steps]


def test_readme_is_one_screen():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 60
