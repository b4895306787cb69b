"""Where a number comes from, held on a small book whose sources are known by hand."""

import csv

import nbformat
import pytest
from bs4 import BeautifulSoup

from ser_core.book import provenance
from ser_core.errors import SerError

TEXT = """---
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# First

```{code-cell} ipython3
scores = scoring.experiment("ladder")
```

The score is {glue:text}`best`.

:::{table} All scores. {glue:text}`source_scores`
:name: tab-scores

```{glue:md} tab_scores
:format: myst
```
:::
"""
CELLS = [
    "from ser_core.book import glue\nfrom ser_core.experiments import scoring",
    'scores = scoring.experiment("ladder")',
    'other = scoring.experiment("nus")',
    'glue.text(best=scores.max())\nglue.table(scores, "tab_scores")\nglue.source("source_scores", runs="ladder")',
    'names = [f"ladder-{name}" for name in other]\nglue.text(\n    n=len(names)\n)',
]
TABLE = "| corpus | UAR |\n| :--- | ---: |\n| {cite:t}`x` | 59.6 [54.8, 64.3] |\n| EmoDB | 37.9 (no interval) |"
RUNS = ["results/runs/ladder", "results/runs/ladder-b", "results/runs/nus"]


def text(key, value):
    data = {"application/papermill.record/text/plain": repr(value)}
    place = {"name": key, "mime_prefix": "application/papermill.record/"}
    return nbformat.v4.new_output("display_data", data, metadata={"scrapbook": place})


def table(key, markdown):
    data = {"text/markdown": markdown, "text/plain": markdown}
    return nbformat.v4.new_output("display_data", data, metadata={"scrapbook": {"name": key, "mime_prefix": ""}})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clone")
    (folder / "book" / "chapters").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "01_first.md").write_text(TEXT)
    (folder / "book" / "index.md").write_text("# A book\n\nIt reaches {glue:text}`chapters/01_first.ipynb::best:s`.\n")
    parts = "parts:\n  - numbered: true\n    chapters:\n      - file: book/chapters/01_first\n"
    (folder / "_toc.yml").write_text(f"root: book/index\n{parts}")
    made = [[], [], [], [text("best", "59.6"), table("tab_scores", TABLE)], [text("n", "3")]]
    made[3].append(text("source_scores", "Source: 01_first.ipynb, from runs ladder; code 12345678."))
    code = [nbformat.v4.new_code_cell(cell, outputs=output) for cell, output in zip(CELLS, made, strict=True)]
    prose = nbformat.v4.new_markdown_cell("# First"), nbformat.v4.new_markdown_cell(TEXT[TEXT.index("The score") :])
    cells = [prose[0], *code, prose[1]]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["ser"] = {"inputs": RUNS, "code": "12345678", "python": "3.11.7", "parameters": {}}
    nbformat.write(notebook, folder / "book" / "chapters" / "01_first.ipynb")
    return folder


@pytest.fixture(autouse=True)
def few_runs(monkeypatch):
    monkeypatch.setattr(provenance, "verifications", lambda names: {name: "2 Runs, 1 verified" for name in names})


@pytest.mark.parametrize(
    ("cells", "needs"),
    [
        (["x = 1", "y = 1", "x + 1"], [(1,), (2,), (1, 3)]),
        (["x = 1", "x = 2", "x"], [(1,), (2,), (2, 3)]),
        (["x = []", "x.append(1)", "x"], [(1,), (1, 2), (1, 2, 3)]),
        (["x = {}", "x['a'] = 1", "x"], [(1,), (1, 2), (1, 2, 3)]),
        (["import glue", "glue.text(a=1)", "glue.text(b=1)"], [(1,), (1, 2), (1, 3)]),
        (["name = 1", "[name for name in 'ab']", "for name in 'ab':\n    print(name)"], [(1,), (2,), (3,)]),
        (["x = 1", "def f():\n    return x", "f()"], [(1,), (1, 2), (1, 2, 3)]),
        (["x = 1", "x += 1", "x"], [(1,), (1, 2), (1, 2, 3)]),
        (["x = 1", "x = x + 1", "y = 1\ny"], [(1,), (1, 2), (3,)]),
    ],
)
def test_a_cell_needs_the_cells_whose_names_it_uses(cells, needs):
    assert provenance.needed(cells) == needs


def test_what_is_glued_knows_its_cell_and_its_runs(root):
    (chapter,) = provenance.executed(root)
    found = {one.key: one for one in chapter.glued}
    assert (found["best"].cell, found["best"].needs, found["best"].experiments) == (4, (1, 2, 4), ("ladder",))
    assert found["n"].experiments == ("ladder-b", "nus")
    assert (found["tab_scores"].kind, found["best"].kind, found["best"].text) == ("table", "text", "59.6")


@pytest.mark.parametrize("what", ["best", "01_first::best", "01::best", "3"])
def test_one_answer_says_everything(root, what):
    said = "\n".join(provenance.trace(what, root))
    assert "made by   notebooks/01_first.md, code cell" in said and "code      12345678" in said
    if what != "3":
        assert "experiments/ladder.yaml, results/runs/ladder: 2 Runs, 1 verified" in said
        assert "used in   notebooks/01_first.md:11\nused in   book/index.md:3\nverify by ser verify ladder" in said


@pytest.mark.parametrize("what", ["Table 1.1", "table 1.1", "tab-scores", "tab_scores"])
def test_a_table_is_found_by_its_number_and_its_name(root, what):
    assert provenance.trace(what, root)[0] == "01_first::tab_scores, Table 1.1: table"


def test_several_answers_are_listed_texts_first(root):
    lines = provenance.trace("59.6", root)
    assert lines[0] == "2 things are called or show '59.6'; ask for one: ser trace 01_first::best"
    assert lines[1:] == ["  01_first::best  59.6", "  01_first::tab_scores  Table 1.1, x"]


@pytest.mark.parametrize("what", ["9.6", "besst", "Table 7.1", "", "59"])
def test_no_answer_is_one_line(root, what):
    with pytest.raises(SerError, match="nothing in the executed chapters is called") as caught:
        provenance.trace(what, root)
    assert len(str(caught.value).splitlines()) == 1
    assert ("near it are best" in str(caught.value)) == (what == "besst")


def test_without_executed_chapters_it_is_one_line(tmp_path):
    with pytest.raises(SerError, match="no executed chapters; execute them by: make book"):
        provenance.trace("59.6", tmp_path)


def test_pages_lead_from_a_number_to_its_cell_and_from_a_table_to_its_csv(root):
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    settings = {"extensions": ["myst_nb"], "html_theme": "basic", "root_doc": "book/index", "nb_execution_mode": "off"}
    settings |= {"exclude_patterns": ["notebooks", "out"], "myst_enable_extensions": ["colon_fence"], "numfig": True}
    out = root / "out"
    (root / "conf.py").write_text(
        "def setup(app):\n    from ser_core.book import provenance_pages\n    provenance_pages.connect(app)\n"
    )
    with patch_docutils(), docutils_namespace():
        Sphinx(root, root, out, out / "trees", "html", settings, status=None).build()
    soup = BeautifulSoup((out / "book" / "chapters" / "01_first.html").read_text(), "html.parser")
    (number,), (source,) = soup.select("a.ser-from"), soup.select("a.ser-source")
    assert (number.get_text(), number["href"]) == ("59.6", "../provenance/01_first.html#best")
    assert (source.get_text(), source["href"]) == ("Source, CSV", "../provenance/01_first.html#tab_scores")
    assert "12345678" not in soup.select_one("caption").get_text()
    other = BeautifulSoup((out / "book" / "index.html").read_text(), "html.parser").select_one("a.ser-from")
    assert (other.get_text(), other["href"]) == ("59.6", "provenance/01_first.html#best")
    page = BeautifulSoup((out / "book" / "provenance" / "01_first.html").read_text(), "html.parser")
    section = page.find(id="best").find_parent("section")
    assert section["id"] == "cell-4" and "results/runs/ladder: 2 Runs, 1 verified" in section.get_text()
    assert CELLS[3] in section.find("pre").get_text()
    link = page.find(id="tab_scores").find("a", string="CSV")["href"]
    written = list(csv.reader((out / "book" / "provenance" / link).resolve().open()))
    assert written == [
        ["corpus", "UAR", "UAR, low", "UAR, high"],
        ["x", "59.6", "54.8", "64.3"],
        ["EmoDB", "37.9 (no interval)", "", ""],
    ]
