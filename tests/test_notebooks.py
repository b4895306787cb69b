import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from ser_core import files, paths
from ser_core.book import chapters, glue, status
from ser_core.errors import SerError

ROOT = paths.repository()
ALL = sorted(ROOT.glob("notebooks/[0-9]*.md"))
HEADER = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
execution: {timeout: TIMEOUT}
ser: {inputs: INPUTS}
---
"""


def chapter(folder, name, *cells, inputs="[]", timeout=30):
    path = folder / "notebooks" / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    first, *others = (f"```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells)
    first = first.replace("ipython3\n", "ipython3\n:tags: [parameters]\n\n", 1)
    header = HEADER.replace("TIMEOUT", str(timeout)).replace("INPUTS", inputs)
    path.write_text(header + "\n".join([first, *others]))
    return path


# What every chapter of the book keeps to.


def code(path):
    return [cell for cell in chapters.read(path).notebook.cells if cell.cell_type == "code"]


@pytest.fixture(params=ALL, ids=lambda path: path.stem)
def own(request):
    return request.param


def test_pair_is_in_step(own):
    pair = own.with_suffix(".ipynb")
    assert pair.is_file() and pair.read_text() == chapters.read(own).paired(), "run 'make notebooks'"
    nbformat.validate(nbformat.read(pair, as_version=4))


def test_chapter_begins_with_literal_parameters_and_checks_them(own):
    parameters, begin, *_ = code(own)
    assert parameters.metadata.get("tags") == ["parameters", "remove-cell"]
    statements = ast.parse(parameters.source).body
    assert all(isinstance(statement, ast.Assign) for statement in statements)
    known = {target.id for statement in statements for target in statement.targets}
    for statement in statements:
        ast.literal_eval(statement.value)
    assert set(parameters.metadata.get("nbmake", {}).get("mock", {})) <= known
    assert f'glue.begin("{own.stem}", In)' in begin.source


def test_figures_and_tables_are_shown_where_the_page_wants_them(own):
    for cell in code(own):
        if re.search(r"glue\.(figure|table)\(", cell.source):
            assert {"hide-input", "remove-output"} <= set(cell.metadata.get("tags", [])), cell.source


def test_every_caption_ends_with_its_source(own):
    fence = re.compile(r"^```\{glue:figure\}.*?^```$|^:::\{table\}[^\n]*", flags=re.MULTILINE | re.DOTALL)
    for found in fence.findall(own.read_text()):
        last = found.removesuffix("```").rstrip()
        assert re.search(r"\{glue:text\}`source\w*`$", last), f"no source at the end of: {last[-80:]}"


def test_contents_list_every_chapter():
    contents = (ROOT / "_toc.yml").read_text()
    for path in ALL:
        assert f"book/chapters/{path.stem}\n" in contents


# The runner.


def test_pair_does_not_depend_on_when_it_is_made(tmp_path):
    path = chapter(tmp_path, "01_a", "n = 1", "print(n)", "print(n)")
    first = chapters.read(path)
    assert first.paired() == chapters.read(path).paired()
    ids = [cell["id"] for cell in first.notebook.cells]
    assert len(set(ids)) == len(ids) == 3


def test_executed_chapter_says_how_it_was_made(tmp_path):
    path, output = chapter(tmp_path, "01_a", "n = 1\ntext = 'a'", "print(n, text)"), tmp_path / "out" / "01_a.ipynb"
    facts = chapters.execute(chapters.read(path), output, parameters={"n": 2})
    notebook = nbformat.read(output, as_version=4)
    assert notebook.metadata["ser"] == facts
    assert notebook.cells[-1].outputs[0].text == "2 a\n"
    assert facts["parameters"] == {"n": 2} and len(facts["cell_seconds"]) == 2 and facts["peak_mib"] > 10
    page = status.page([output])
    assert "[01_a](01_a.ipynb)" in page and "n = 2" in page and facts["code"] in page
    for title, name, column in (("Bad input", "fuzz/counts.csv", "inputs"), ("Sudden ends", "kills.csv", "kills")):
        counts = pd.read_csv(ROOT / "tests" / name)
        assert f"## {title}" in page and f" {counts[column].sum()} " in page


def test_a_text_that_a_cell_prints_in_pieces_is_one_output(tmp_path):
    path = chapter(tmp_path, "01_a", "n = 1", "for i in range(3):\n    print(i, flush=True)")
    chapters.execute(chapters.read(path), tmp_path / "01_a.ipynb")
    outputs = nbformat.read(tmp_path / "01_a.ipynb", as_version=4).cells[-1].outputs
    assert [(output.name, output.text) for output in outputs] == [("stdout", "0\n1\n2\n")]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda root: None, []),
        (lambda root: (root / "results" / "runs" / "a" / "p.csv").write_text("1,2\n1,1\n"), ["results/runs/a"]),
        (lambda root: (root / "results" / "runs" / "a" / "new.csv").write_text(""), ["results/runs/a"]),
        (lambda root: (root / "data_cards" / "a.md").write_text("25 speakers"), ["data_cards/a.md"]),
        (lambda root: (root / "notebooks" / "01_a.md").open("a").write("More.\n"), ["notebooks/01_a.md"]),
    ],
)
def test_a_chapter_older_than_what_it_was_made_from_is_forgotten(tmp_path, monkeypatch, change, names):
    path = chapter(tmp_path, "01_a", "n = 1", inputs="[results/runs/a, data_cards/a.md]")
    for name, text in {"results/runs/a/p.csv": "1,2\n1,2\n", "data_cards/a.md": "24 speakers"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    notebook = nbformat.v4.new_notebook()
    notebook.metadata["ser"] = {"code": paths.package_hash(), "made_from": chapters.read(path).made_from()}
    output = tmp_path / "book" / "chapters" / "01_a.ipynb"
    output.parent.mkdir(parents=True)
    nbformat.write(notebook, output)
    times = {file: file.stat().st_mtime for file in tmp_path.rglob("*") if file.is_file()}
    change(tmp_path)
    for file, time in times.items():  # by content: the time of the file says nothing
        os.utime(file, (time, time))
    assert chapters.changed(chapters.read(path), output) == names
    chapters._forget([path], output.parent)
    assert output.exists() == (not names)
    notebook.metadata["ser"]["code"] = "00000000"
    nbformat.write(notebook, output)
    assert chapters.changed(chapters.read(path), output) == ["ser_core", *names]


def test_patience_lets_cells_take_longer(tmp_path, monkeypatch):
    path = chapter(tmp_path, "01_a", "n = 1", timeout=20)
    monkeypatch.setenv("SER_PATIENCE", "2.5")
    assert chapters.read(path).timeout == 50
    monkeypatch.setenv("SER_PATIENCE", "long")
    with pytest.raises(SerError, match="SER_PATIENCE is 'long'; expected a number such as 10"):
        _ = chapters.read(path).timeout


def test_code_is_formatted_and_prose_is_kept(tmp_path):
    cells = ["n=1", "import sys\nimport os\nprint( n, os, sys )", "def f(x):\n  return x\nn=1", "n = 1\n"]
    path = chapter(tmp_path, "01_a", *cells)
    prose = "\nA line:  `n=1`, *and*\n no `x = {}`.\n"
    path.write_text(path.read_text() + prose)
    text = chapters.formatted(chapters.read(path))
    assert text.startswith(path.read_text().split("```")[0]) and text.endswith(prose)
    path.write_text(text)
    imports = "import os\nimport sys\n\nprint(n, os, sys)"
    assert [cell.source for cell in code(path)] == ["n = 1", imports, "def f(x):\n    return x\n\n\nn = 1", "n = 1"]
    assert chapters.formatted(chapters.read(path)) == text
    with pytest.raises(SerError, match=r"01_a.ipynb: ruff format: .*"):
        chapters.formatted(chapters.read(chapter(tmp_path, "01_a", "n = 1", "x = (")))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["n = 1", "x = n\n1 / 0"], r"01_a.md, code cell 2 \(x = n\): ZeroDivisionError: division by zero$"),
        (["n = 1", "n", "import time; time.sleep(60)"], r"code cell 3 \(import time; .*\): took longer than 2 s; "),
        (["n = 1", "import os; os._exit(1)", "n"], r"code cell 2 \(import os; .*\): the kernel died, at \d+ MiB"),
    ],
)
def test_failure_names_chapter_and_cell_and_leaves_nothing(tmp_path, monkeypatch, cells, message):
    monkeypatch.delenv("SER_PATIENCE", raising=False)
    path = chapter(tmp_path, "01_a", *cells, timeout=2)
    with pytest.raises(SerError, match=message) as caught:
        chapters.execute(chapters.read(path), tmp_path / "out" / "01_a.ipynb", parameters={"n": 3})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("import warnings\nwarnings.warn('old')", r"code cell 2 \(import warnings\): wrote to .*UserWarning: old$"),
        # A cell that no page shows.
        (":tags: [remove-cell]\n\nimport sys; print('a\\nb', file=sys.stderr)", r"\(import sys; .*\): wrote to .*: a$"),
        # Not by Python, as libraries in C do.
        ("import os, time\nos.write(2, b'low'); time.sleep(1)", r"\(import os, time\): wrote to standard error: low$"),
    ],
)
def test_what_a_cell_writes_to_standard_error_fails_its_chapter(tmp_path, monkeypatch, cell, message):
    # In a test, kernels do not look at what is written past Python.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    path = chapter(tmp_path, "01_a", "n = 1", cell, "n")
    with pytest.raises(SerError, match=message) as caught:
        chapters.execute(chapters.read(path), tmp_path / "out" / "01_a.ipynb")
    assert "01_a.md, " in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*"))


READING = """import pathlib
import pandas as pd
from ser_core import files
files.read_parquet(pathlib.Path("../results/clips/a.parquet"))
pd.read_csv("../results/table.csv")
pathlib.Path("../book/facts.yaml").read_text()
open("../results/made.csv", "w").close()"""


@pytest.fixture
def reading(tmp_path):
    for name in ("results/clips", "results/other", "book"):
        (tmp_path / name).mkdir(parents=True)
    files.write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "results/clips/a.parquet")
    files.write_parquet(pd.DataFrame({"a": [1]}), tmp_path / "results/clips/b.parquet")
    for name in ("results/table.csv", "results/other/table.csv", "book/facts.yaml"):
        (tmp_path / name).write_text("a: 1\n")

    def execute(inputs, *cells):
        path = chapter(tmp_path, "01_a", "n = 1", READING, *cells, inputs=inputs)
        return chapters.execute(chapters.read(path), tmp_path / "out" / "01_a.ipynb")

    return execute


def test_a_chapter_that_reads_what_it_declares_is_executed_and_knows_nothing_of_the_log(reading):
    cells = ["assert not {'record', 'reads', 'ser_core'} & set(dir())", "assert In[1] == 'n = 1'"]
    assert reading("[results/clips, results/table.csv, book/facts.yaml]", *cells)["seconds"] > 0
    assert reading("[results/clips/a.parquet, results/table.csv, book]")["seconds"] > 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        # Without Python, by a library in C, and by Python.
        ("[results/table.csv, book]", "reads results/clips/a.parquet, which its 'inputs' do not name"),
        ("[results/clips, book]", "reads results/table.csv, which its 'inputs' do not name"),
        ("[results/clips]", "reads book/facts.yaml and 1 more, which its 'inputs' do not name"),
        ("[results/clips/b.parquet, results/table.csv, book]", "reads results/clips/a.parquet, which"),
        ("[results/clips, results/table.csv, results/other, book]", r"name \['results/other'\], of which it reads no"),
    ],
)
def test_a_chapter_that_reads_other_files_than_it_declares_is_refused(reading, tmp_path, inputs, message):
    with pytest.raises(SerError, match=message) as caught:
        reading(inputs)
    assert "01_a.md: " in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*"))


CHECKED = ["n_resamples = 10", 'from ser_core.book import glue\n\nglue.begin("01_a", In)']


def test_a_kernel_that_does_not_start_is_tried_again_and_another_failure_is_not(tmp_path, monkeypatch):
    import papermill

    path, execute, failures = chapter(tmp_path, "01_a", "n = 1"), papermill.execute_notebook, []

    def failing(*arguments, **options):
        if len(failures) < 2:
            failures.append(RuntimeError("Kernel died before replying to kernel_info"))
            raise failures[-1]
        return execute(*arguments, **options)

    monkeypatch.setattr(papermill, "execute_notebook", failing)
    chapters.execute(chapters.read(path), tmp_path / "out" / "01_a.ipynb")
    assert len(failures) == 2

    def broken(*arguments, **options):
        failures.append(None)
        raise RuntimeError("something else")

    monkeypatch.setattr(papermill, "execute_notebook", broken)
    with pytest.raises(RuntimeError, match="something else"):
        chapters.execute(chapters.read(path), tmp_path / "out" / "01_b.ipynb")
    assert len(failures) == 3

    def dead(*arguments, **options):
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(papermill, "execute_notebook", dead)
    with pytest.raises(SerError, match="01_a.md: its kernel does not start; .* jupyter kernelspec list"):
        chapters.execute(chapters.read(path), tmp_path / "out" / "01_b.ipynb")


def test_runner_refuses_unknown_parameters(tmp_path):
    path = chapter(tmp_path, "01_a", *CHECKED)
    with pytest.raises(SerError, match=r"code cell 2 .*01_a has no parameter 'n_resample'; it has n_resamples"):
        chapters.execute(chapters.read(path), tmp_path / "01_a.ipynb", parameters={"n_resample": 3})


@pytest.mark.parametrize("number", [0, -5])
def test_a_number_of_nothing_is_refused(number):
    cells = ["", "n_resamples = 10", f"# Parameters\nn_resamples = {number}", ""]
    with pytest.raises(SerError, match=rf"^01_a: parameter 'n_resamples' is {number}; expected 1 or more$"):
        glue.begin("01_a", cells)


def test_a_readers_own_profile_of_ipython_is_not_used(tmp_path, monkeypatch):
    profile = tmp_path / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    everything = "c = get_config()\nc.InteractiveShell.ast_node_interactivity = 'all'\n"
    (profile / "ipython_config.py").write_text(everything)
    (profile / "startup" / "a.py").write_text("mine = 1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    path = chapter(tmp_path, "01_a", "n = 1", "n\nn + 1\nn + 2\n'mine' in globals()")
    chapters.execute(chapters.read(path), tmp_path / "01_a.ipynb")
    outputs = nbformat.read(tmp_path / "01_a.ipynb", as_version=4).cells[-1].outputs
    assert [output.data["text/plain"] for output in outputs] == ["False"]


def test_plain_papermill_refuses_unknown_parameters(tmp_path):
    path = chapter(tmp_path, "01_a", *CHECKED)
    path.with_suffix(".ipynb").write_text(chapters.read(path).paired())
    command = [sys.executable, "-m", "papermill", path.with_suffix(".ipynb"), tmp_path / "out.ipynb", "-p"]
    done = subprocess.run([*command, "n_resample", "3"], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "SerError: 01_a has no parameter 'n_resample'; it has n_resamples" in done.stderr
    assert subprocess.run([*command, "n_resamples", "3"], capture_output=True, timeout=120).returncode == 0
    done = subprocess.run([*command, "n_resamples", ""], capture_output=True, text=True, timeout=120)
    assert "SerError: 01_a: parameter 'n_resamples' is ''; expected something like" in done.stderr


def test_missing_chapters_and_inputs_are_named(tmp_path):
    path = chapter(tmp_path, "01_a", "n = 1", inputs="[results/runs]")
    with pytest.raises(SerError, match="02_b.md: no such chapter; there are 01_a"):
        chapters.read(path.with_name("02_b.md"))
    with pytest.raises(SerError, match="the input 'results/runs' that it declares does not exist"):
        chapters.read(path).inputs()
    (tmp_path / "results/runs/x").mkdir(parents=True)
    (tmp_path / "results/runs/x/run.json").write_text("{}")
    (tmp_path / "results/runs/.hidden").write_text("")
    assert chapters.read(path).inputs() == [Path("results/runs/x/run.json")]


# What is executed, and what is not.


@pytest.fixture
def clone(tmp_path):
    for folder in ("ser_core", "workflow"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "book").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "results/table.csv").write_text("a\n1\n")
    chapter(tmp_path, "01_a", "n = 1", "open('../results/table.csv').close()", inputs="[results]")
    chapter(tmp_path, "02_b", "n = 2")
    return tmp_path


def build(clone, *options):
    """Build as `make book` does, but not the html; return the chapters that were executed."""
    outputs = [clone / f"book/chapters/{name}.ipynb" for name in ("01_a", "02_b")]
    before = [output.stat().st_mtime_ns if output.exists() else 0 for output in outputs]
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("SNAKEMAKE"))
    snakemake, *rest = (
        line.removeprefix("SNAKEMAKE := ")
        .replace("$(BIN)", str(Path(sys.executable).parent))
        .replace("$(CORES)", "all")
        .split()
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [snakemake, "book/chapters/01_a.ipynb", "book/chapters/02_b.ipynb", *rest, *options],
        cwd=clone,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return [path.stem for path, time in zip(outputs, before, strict=True) if path.stat().st_mtime_ns != time]


def test_only_what_changed_is_executed_again(clone):
    assert build(clone) == ["01_a", "02_b"]
    assert build(clone) == []
    (clone / "notebooks/02_b.md").touch()
    assert build(clone) == ["02_b"]
    (clone / "results/table.csv").touch()
    assert build(clone) == ["01_a"]
    (clone / "ser_core/errors.py").touch()
    assert build(clone) == ["01_a", "02_b"]
    assert build(clone, "--config", "parameters={01_a: {n: 5}}") == ["01_a"]
    assert nbformat.read(clone / "book/chapters/01_a.ipynb", 4).metadata["ser"]["parameters"] == {"n": 5}
