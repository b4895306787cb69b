from pathlib import Path

import nbformat
import pytest

from ser_core import paths
from ser_core.book import lint


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("The UAR is 0.612.", ["0.612"]),
        ("It is 61.2 % here, 61% there and 7 per cent elsewhere.", ["61.2 %", "61%", "7 per cent"]),
        (
            "A premium of 12.3 points, or 12 percentage points, or 3 pp.",
            ["12.3 points", "12 percentage points", "3 pp"],
        ),
        ("It has 1,440 clips of 24 speakers.", ["1,440 clips", "24 speakers"]),
        ("Up by 61 pts, at 1e-3.", ["61 pts", "1e-3"]),
        ("24 Actors, a UAR 61, n = 1,440.", ["24 Actors", "UAR 61", "n = 1,440"]),
        ("*Emphasis 0.5* and **61.3 %** and a\nsecond line 0.25.", ["0.5", "61.3 %", "0.25"]),
        ("# Title 0.5\n\n> quoted 0.6\n\n- item 0.7", ["0.5", "0.6", "0.7"]),
        ("| a |\n|---|\n| 0.5 |", ["0.5"]),
        (":::{note}\nAn aside: 0.5.\n:::", ["0.5"]),
        ("```{figure} a.png\n:name: fig-0.1\n\nCaption 0.5.\n```", ["0.5"]),
        (":::{table} Title 0.5\n:name: t\n\n```{glue:md} t\n```\n:::", ["0.5"]),
        (":::{admonition} Of 0.5\nBody.\n:::", ["0.5"]),
    ],
)
def test_typed_numbers_are_found(text, numbers):
    assert [number for _, number in lint.read(text).typed] == numbers


@pytest.mark.parametrize(
    "text",
    [
        "Use `0.612` or {glue:text}`uar`, see [0.5 of it](https://example.org/0.5) and {cite:p}`a0.5`.",
        "```python\nx = 0.5\n```",
        "```{code-cell} ipython3\n:tags: [x]\n\nx = 0.5\n```",
        "---\nvalue: 0.5\n---\n\nText.",
        "The 95 % interval over speakers, in Python 3.11, with wav2vec 2.0, under CC BY-NC-SA 4.0.",
        "Version 1.0.4, folder 01_x, five folds, 10,000 resamples, actors 21-24, ComParE 2016, 16 kHz.",
    ],
)
def test_other_numbers_are_left_alone(text):
    assert lint.read(text).typed == []


def test_lines_are_those_of_the_file():
    figure = "```{glue:figure} f\n:name: x\n\nCaption 0.6 {glue:text}`s`\n```\n"
    page = lint.read(f"---\na: 1\n---\n\n# T\n\nfirst\nsecond 0.5\n\n{figure}")
    assert page.typed == [(8, "0.5"), (13, "0.6")]
    assert page.uses == [(10, None, "f"), (13, None, "s")]


@pytest.fixture
def book(tmp_path):
    """A book of one page and one executed chapter, without fault."""
    for folder in ("book/chapters", "notebooks", "data_cards"):
        (tmp_path / folder).mkdir(parents=True)
    outputs = [
        nbformat.v4.new_output("display_data", metadata={"scrapbook": {"name": key, "mime_prefix": ""}})
        for key in ("uar", "fig")
    ]
    cells = [nbformat.v4.new_code_cell("...", outputs=outputs)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "book/chapters/01_a.ipynb")
    (tmp_path / "notebooks/01_a.md").write_text("# A\n\nThe UAR is {glue:text}`uar`.\n")
    (tmp_path / "book/index.md").write_text("# Book\n\n```{glue} fig\n:doc: chapters/01_a.ipynb\n```\n")
    (tmp_path / "README.md").write_text("# Book\n")
    return tmp_path


def test_a_clean_book_passes_wherever_it_is_seen_from(book, monkeypatch):
    assert lint.check(book) == []
    monkeypatch.chdir(book)
    assert lint.check(Path(".")) == []


@pytest.mark.parametrize(
    ("page", "planted", "finding"),
    [
        ("book/index.md", "It is 61.2 %.", "book/index.md:6: '61.2 %' is typed; glue it from a chapter"),
        ("data_cards/x.md", "It has 38 speakers.", "data_cards/x.md:1: '38 speakers' is typed; glue it from a chapter"),
        ("README.md", "0.612", "README.md:2: '0.612' is typed; glue it from a chapter"),
        ("notebooks/01_a.md", "{glue:text}`typo`", "notebooks/01_a.md:4: no chapter 01_a glues 'typo'"),
        ("book/index.md", "{glue:text}`uar`", "book/index.md:6: no chapter index glues 'uar'"),
        ("book/index.md", "{glue:text}`chapters/02_b.ipynb::uar:s`", "book/index.md:6: no chapter 02_b glues 'uar'"),
    ],
)
def test_planted_faults_are_found(book, page, planted, finding):
    with (book / page).open("a") as file:
        file.write(planted + "\n")
    assert lint.check(book) == [finding]


def test_unused_and_doubled_keys_are_found(book):
    path = book / "book/chapters/01_a.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].outputs += [notebook.cells[0].outputs[0].copy()]
    notebook.cells[0].outputs += [nbformat.v4.new_output("display_data", metadata={"scrapbook": {"name": "lost"}})]
    nbformat.write(notebook, path)
    assert lint.check(book) == ["01_a: glues 'uar' twice", "01_a: glues 'lost', which no page uses"]


def test_this_book_passes():
    root = paths.repository()
    chapters = {path.stem for path in root.glob("notebooks/[0-9]*.md")}
    if not chapters <= {path.stem for path in root.glob("book/chapters/*.ipynb")}:
        pytest.skip("the chapters are not executed; run make book first")
    assert lint.check(root) == []
