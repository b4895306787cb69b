"""A small bundle: the same bytes anywhere, and whatever is changed in it is found and named."""

import json
import os
import random
import re
import shutil
import subprocess
import zipfile
from urllib.parse import unquote

import nbformat
import pandas as pd
import pytest
import yaml
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from ser_core import files, paths
from ser_core.book import chapters, identity, status
from ser_core.book.release import archive, bundle, crates, printing, scores, staging, verifying
from ser_core.errors import SerError
from ser_core.experiments import runs

ROOT = paths.repository()
RUN = "results/runs/toy/first+second"
CHAPTER = """---
jupytext:
  formats: ipynb,md:myst
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
ser:
  inputs: [results/clips]
---

# A chapter

```{code-cell} ipython3
from ser_core import files, paths

len(files.read_parquet(paths.results() / "clips" / "emodb.parquet"))
```
"""


def repository(folder, monkeypatch):
    """A repository with one corpus, one Run and one executed chapter, committed at a fixed time."""
    for name in ("CITATION.cff", "CHANGELOG.md", "LICENSE", "requirements.lock", "book/references.bib", ".ci/run"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "experiments").mkdir()
    (folder / "experiments" / "toy.yaml").write_text("name: toy\n")
    (folder / "results" / "clips").mkdir(parents=True)
    shutil.copy(ROOT / "results" / "clips" / "emodb.parquet", folder / "results" / "clips")
    rng = random.Random(0)
    words = ["happy", "sad", "angry"]
    table = pd.DataFrame({"clip": [f"emodb/{n}" for n in range(30)], "speaker": [f"emodb/{n % 5}" for n in range(30)]})
    table = table.assign(truth=[words[n % 3] for n in range(30)], prediction=[rng.choice(words) for _ in range(30)])
    monkeypatch.setenv("SER_RESULTS", str(folder / "results"))
    runs.write(
        runs.Run("toy", "first+second", table, {"experiment": "toy", "cell": {"corpus": "emodb"}, "code": "0" * 16})
    )
    monkeypatch.delenv("SER_RESULTS")
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "01_toy.md").write_text(CHAPTER)
    (folder / ".gitignore").write_text("_build/\nbook/chapters/\n")
    times = {"GIT_AUTHOR_DATE": "2026-01-02T03:04:06Z", "GIT_COMMITTER_DATE": "2026-01-02T03:04:06Z"}
    people = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for line in (["init", "-q"], ["add", "-A"], [*people, "commit", "-q", "-m", "All"]):
        subprocess.run(["git", "-C", folder, *line], check=True, env=os.environ | times)
    return folder


def render(stage, environment, builder="html"):
    """Pages without Jupyter Book, whose own are held by the tests of the book."""
    html = stage / "_build" / builder
    html.mkdir(parents=True)
    (html / "index.html").write_text(f"<p>{environment['SOURCE_DATE_EPOCH']}</p>")
    return html


@pytest.fixture(autouse=True, scope="module")
def few_pages():
    """No Jupyter Book, and no account of the verified Runs, for that of the toy names no system."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "render", render)
        patch.setattr(status, "verified", lambda: "None.\n")
        yield


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        root = repository(tmp_path_factory.mktemp("one") / "clone", patch)
        patch.chdir(root)
        chapters.execute(chapters.read(root / "notebooks" / "01_toy.md"), root / "book" / "chapters" / "01_toy.ipynb")
    return root


@pytest.fixture(scope="module")
def made(clone):
    return bundle.make(clone, pdf=False)


def names(path):
    with zipfile.ZipFile(path) as opened:
        return opened.namelist()


def again(path, target, change):
    """A bundle whose files were changed by somebody who also mended the list of checksums."""
    with zipfile.ZipFile(path) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    change(members)
    members[archive.SUMS] = bundle.checksums({n: c for n, c in members.items() if n != archive.SUMS})
    archive.write(members, target, seconds=1_800_000_000)
    return target


def test_a_bundle_has_its_parts_and_verifies(made, ser):
    assert made.name == f"honest-splits-{identity.read(ROOT / 'CITATION.cff').version}.zip"
    listed = names(made)
    assert listed == sorted(listed)
    parts = {"html/index.html", "executed/01_toy.ipynb", "tables/runs.csv", "croissant/emodb.json", "SHA256SUMS"}
    parts |= {f"{RUN}/run.json", f"{RUN}/predictions.parquet", "requirements.lock", "ro-crate-metadata.json"}
    assert parts <= set(listed)
    done = ser("verify-bundle", made)
    assert (done.code, done.err) == (0, "")
    assert "every byte, schema and score" in done.out


def test_sha256sum_agrees(made, tmp_path):
    with zipfile.ZipFile(made) as opened:
        opened.extractall(tmp_path)
        assert {entry.date_time for entry in opened.infolist()} == {(2026, 1, 2, 3, 4, 6)}
        modes = {entry.filename: entry.external_attr >> 16 for entry in opened.infolist()}
    assert (modes[".ci/run"], modes["LICENSE"]) == (0o100755, 0o100644)
    subprocess.run(["sha256sum", "--check", "--quiet", "--strict", archive.SUMS], cwd=tmp_path, check=True)


def test_the_same_commit_gives_the_same_bytes_elsewhere_and_later(clone, made, tmp_path, monkeypatch):
    other = tmp_path / "another place"
    subprocess.run(["git", "clone", "-q", clone, other], check=True)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.chdir(other)
    # Executed again: at another time, for longer.
    chapters.execute(chapters.read(other / "notebooks" / "01_toy.md"), other / "book" / "chapters" / "01_toy.ipynb")
    assert bundle.make(other, pdf=False).read_bytes() == made.read_bytes()


def test_scores_are_those_of_scikit_learn(made, tmp_path):
    with zipfile.ZipFile(made) as opened:
        opened.extractall(tmp_path)
    (row,) = pd.read_csv(tmp_path / "tables" / "runs.csv").to_dict("records")
    table = pd.read_parquet(tmp_path / RUN / "predictions.parquet")
    truth, prediction = table["truth"], table["prediction"]
    assert (row["run"], row["clips"], row["speakers"], row["classes"]) == ("toy/first+second", 30, 5, 3)
    assert row["uar"] == pytest.approx(balanced_accuracy_score(truth, prediction), abs=1e-6)
    assert row["wa"] == pytest.approx(accuracy_score(truth, prediction), abs=1e-6)
    for key, average in (("macro_f1", "macro"), ("weighted_f1", "weighted")):
        assert row[key] == pytest.approx(f1_score(truth, prediction, average=average), abs=1e-6)


def test_a_run_may_answer_with_words_that_its_few_clips_do_not_have(tmp_path):
    run = "runs/published-splits/urdu.khan2026-urdu-sm3.compare.svm-linear.train"
    shutil.copytree(ROOT / "results" / run, tmp_path / run)
    table = pd.read_parquet(tmp_path / run / "predictions.parquet")
    assert set(table["prediction"]) - set(table["truth"])
    right = (table["truth"] == table["prediction"]).groupby(table["seed"]).mean().mean()
    assert scores.table(tmp_path).splitlines()[1].split(",")[6] == f"{right:.6f}"


def test_each_changed_byte_is_found_and_its_file_named(made, tmp_path):
    data, path = made.read_bytes(), tmp_path / "changed.zip"
    with zipfile.ZipFile(made) as opened:
        entries = opened.infolist()
        places = {}
        for entry in entries:
            start = entry.header_offset + 30 + len(entry.filename)
            for place in {entry.header_offset + 10, start, start + entry.file_size // 2, start + entry.file_size - 1}:
                places[place] = entry.filename if place >= start else None
        end = opened.start_dir
    draw = random.Random(1)
    places |= {draw.randrange(end, len(data)): None for _ in range(40)}
    for place, name in places.items():
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            wrong = verifying.verify(path)
        except SerError as error:
            wrong = [str(error)]
        assert wrong and len("".join(wrong).splitlines()) == 1, place
        if name:
            assert wrong[0].startswith(f"{name}: "), place


def test_a_changed_byte_is_exit_status_1(made, tmp_path, ser):
    data, path = bytearray(made.read_bytes()), tmp_path / "changed.zip"
    with zipfile.ZipFile(made) as opened:
        place = opened.getinfo("LICENSE").header_offset + 30 + len("LICENSE") + 5
    data[place] ^= 1
    path.write_bytes(data)
    done = ser("verify-bundle", path)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("LICENSE: was changed") and len(done.err.splitlines()) == 1


def no_run(members):
    del members[f"{RUN}/predictions.parquet"]


def other_table(members):
    members[f"{RUN}/predictions.parquet"] = members["results/clips/emodb.parquet"]


def other_scores(members):
    members["tables/runs.csv"] = re.sub(rb"0\.\d", b"0.9", members["tables/runs.csv"], count=1)


def other_columns(members):
    fields = json.loads(members["croissant/emodb.json"])
    fields["recordSet"][0]["field"][0]["source"]["extract"]["column"] = "nothing"
    members["croissant/emodb.json"] = json.dumps(fields).encode()


def no_action(members):
    crate = json.loads(members[crates.CRATE])
    for entity in crate["@graph"]:
        entity.pop("instrument", None)
    members[crates.CRATE] = json.dumps(crate).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_run, rf"{re.escape(RUN)}/predictions.parquet: no such file"),
        (other_table, rf"{re.escape(RUN)}/predictions.parquet: not the table that its run.json records"),
        (other_scores, r"tables/runs.csv: 2 lines differ .* such as toy/first\+second"),
        (other_columns, r"croissant/emodb.json: other columns"),
        (no_action, r"#results/runs/toy/first(\+|%2B)second/run.json has no instrument"),
        (lambda members: members.pop("html/index.html"), r"html/index.html: is missing"),
        (lambda members: members.pop("executed/01_toy.ipynb"), r"executed/01_toy.ipynb, which is missing"),
        (lambda members: members.update({crates.CRATE: b"[1]"}), r"ro-crate-metadata.json: not an RO-Crate"),
        (lambda members: members.update({"croissant/emodb.json": b"{"}), r"croissant/emodb.json: not a description"),
        (lambda members: members.update({f"{RUN}/run.json": b"{}"}), r"run.json: expected a JSON object with 'tables'"),
    ],
)
def test_what_was_changed_with_its_checksum_is_found_too(made, tmp_path, change, said):
    assert re.search(said, "\n".join(verifying.verify(again(made, tmp_path / "b.zip", change))))


def test_missing_and_added_files_are_named(made, tmp_path):
    with zipfile.ZipFile(made) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    del members["LICENSE"]
    archive.write(members | {"extra": b"1"}, tmp_path / "b.zip", seconds=1_800_000_000)
    assert verifying.verify(tmp_path / "b.zip") == ["LICENSE: is missing", f"extra: is not listed in {archive.SUMS}"]


@pytest.mark.parametrize("name", ["../evil", "/evil", "a\\b", "a/../b", "C:evil", "a\nb"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name, ser):
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(name, "x")
    done = ser("verify-bundle", path)
    assert done.code == 2 and len(done.err.splitlines()) == 1 and "not a plain path" in done.err
    assert not (tmp_path / "evil").exists()


def test_what_is_no_bundle_is_one_line(tmp_path, ser):
    text, packed, other = tmp_path / "text.zip", tmp_path / "packed.zip", tmp_path / "other.zip"
    text.write_text("no zip")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a", "x" * 100)
    archive.write({"a": b"x"}, other, seconds=1_800_000_000)
    wanted = {text: "not a readable zip", packed: "is compressed", other: "no SHA256SUMS", tmp_path / "no": "no such"}
    for path, said in wanted.items():
        done = ser("verify-bundle", path)
        assert done.code == 2 and len(done.err.splitlines()) == 1 and said in done.err


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_bundle_that_was_cut_off_is_one_line(made, tmp_path, ser, share):
    path, data = tmp_path / "cut.zip", made.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    done = ser("verify-bundle", path)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "cut.zip: not a readable zip file" in done.err and "fetch it again" in done.err


def test_chapters_are_executed_again(made, tmp_path):
    assert verifying.verify(made, chapters=True) == []

    def change(members):
        members["executed/01_toy.ipynb"] = members["executed/01_toy.ipynb"].replace(b'"535"', b'"536"')
        members[crates.CRATE] = crate_of(members)

    def crate_of(members):
        graph = json.loads(members[crates.CRATE])
        for entity in graph["@graph"]:
            if entity["@id"] == "executed/01_toy.ipynb":
                entity["sha256"] = bundle.checksums({"x": members["executed/01_toy.ipynb"]}).decode()[:64]
        return json.dumps(graph).encode()

    changed = again(made, tmp_path / "b.zip", change)
    assert verifying.verify(changed) == []
    (wrong,) = verifying.verify(changed, chapters=True)
    assert wrong.startswith("executed/01_toy.ipynb: cell 2 gives another output")


def test_the_crate_is_read_by_another_library(made, tmp_path):
    from rocrate.rocrate import ROCrate

    with zipfile.ZipFile(made) as opened:
        opened.extractall(tmp_path)
    crate = ROCrate(tmp_path)
    actions = {action.id: action for action in crate.get_by_type("CreateAction")}
    run = actions["#results/runs/toy/first+second/run.json"]
    assert {unquote(one.id) for one in run["result"]} == {f"{RUN}/predictions.parquet", f"{RUN}/run.json"}
    assert {one.id for one in run["object"]} == {"experiments/toy.yaml", "results/clips/emodb.parquet"}
    assert [one.id for one in actions["#executed/01_toy.ipynb"]["object"]] == ["notebooks/01_toy.md"]
    assert crate.datePublished.isoformat() == "2026-01-02T03:04:06+00:00"
    assert crate.metadata["conformsTo"] == "https://w3id.org/ro/crate/1.2"


def test_croissants_give_the_clips(made, tmp_path):
    import mlcroissant as mlc

    with zipfile.ZipFile(made) as opened:
        opened.extractall(tmp_path)
    dataset = mlc.Dataset(jsonld=tmp_path / "croissant" / "emodb.json")
    assert not dataset.metadata.issues.errors
    table = files.read_parquet(ROOT / "results" / "clips" / "emodb.parquet")
    records = list(dataset.records("clips"))
    assert [record["clips/emotion"].decode() for record in records] == table["emotion"].tolist()
    assert [record["clips/duration_s"] for record in records] == pytest.approx(table["duration_s"].tolist())


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "results" / "clips").glob("*.parquet")))
def test_every_corpus_has_a_valid_croissant(name):
    text = crates.croissant(name, ROOT, identity.read(ROOT / "CITATION.cff"), "2026-01-02")
    fields = json.loads(text)
    assert fields["conformsTo"] == "http://mlcommons.org/croissant/1.1" or "croissant" in fields["conformsTo"]
    assert fields["citeAs"].startswith("@")


def test_a_tree_with_changes_is_refused(clone):
    text = (clone / "LICENSE").read_text()
    try:
        (clone / "LICENSE").write_text(text + "more")
        with pytest.raises(SerError, match=r"1 files are not as committed, such as LICENSE"):
            bundle.make(clone, pdf=False)
    finally:
        (clone / "LICENSE").write_text(text)


def test_chapters_of_other_code_or_parameters_are_refused(clone, tmp_path):
    path = clone / "book" / "chapters" / "01_toy.ipynb"
    text = path.read_text()
    try:
        path.write_text(text.replace(paths.package_hash(), "00000000"))
        with pytest.raises(SerError, match="01_toy.ipynb: ser_core changed after it was executed"):
            staging.copy(clone, tmp_path / "a")
        path.unlink()
        with pytest.raises(SerError, match="no such file; execute the chapters by: make book"):
            staging.copy(clone, tmp_path / "b")
    finally:
        path.write_text(text)


def test_staged_chapters_and_their_status_say_no_times(clone, tmp_path):
    (path,) = staging.copy(clone, tmp_path / "stage")
    notebook = nbformat.read(path, as_version=4)
    assert set(notebook.metadata["ser"]) == {"inputs", "parameters", "python", "versions", "code", "made_from"}
    assert not [cell for cell in notebook.cells if {"execution", "papermill"} & set(cell.metadata)]
    status = (path.parent / "status.md").read_text()
    assert "01_toy" in status and "Seconds" not in status and "Executed (UTC)" not in status


PRINTED = """<a href="#headed">here</a> <a href="#ser_core.files">there</a>
<span id="document-book/api"></span><section id="headed"><h2>The package<a class="headerlink" href="#headed">#</a></h2>
<span id="document-book/api/foundations"></span><section id="ser_core.files"><p>write</p></section>
<span id="document-book/decisions"></span><section id="decisions">
<details><summary>Numbers</summary><p>kept</p></details></section></section>"""


@pytest.mark.skipif(not printing.can_print(), reason="no Chromium on this machine")
def test_pdf_leaves_out_the_reference_of_the_package_and_links_to_it(tmp_path):
    (tmp_path / "whole.html").write_text(PRINTED)
    with printing.browser() as browser:
        page = browser.new_page()
        page.goto((tmp_path / "whole.html").as_uri())
        printing.arrange(page)
        assert page.inner_text("body").split() == "here there The package Numbers kept".split()
        assert page.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))") == ["#headed", None]


def test_pdf_has_the_time_of_the_commit_and_its_own_count_of_cells():
    told = b"<< /CreationDate (D:20261129091011+00'00')\n/ModDate (D:20261129091011+00'00') >>"
    made = printing.canonical(told, 1_767_323_046)
    assert made == told.replace(b"20261129091011", b"20260102030406")
    cells = [b" /ID (node%08d) /ID (node%08d) /Headers [(node%08d)] (node7)" % (n, n + 2, n) for n in (180, 99_999)]
    first, second = (printing.canonical(told + part, 0) for part in cells)
    assert first == second and first.endswith(
        b"/ID (node00000001) /ID (node00000002) /Headers [(node00000001)] (node7)"
    )
    with pytest.raises(SerError, match="no time"):
        printing.canonical(b"%PDF", 0)


@pytest.mark.parametrize(
    ("said", "once"),
    [
        (b"/Title (Make oneMake one)\n/Next", b"/Title (Make one)        \n/Next"),
        (b"/Title (1.2. 1.2. FineFine)>>", b"/Title (1.2. Fine)         >>"),
        (b"/Title (Cite)\n", b"/Title (Cite)\n"),
        (b"/Title (a\\)a\\))\n", b"/Title (a\\))   \n"),
        (b"/Title <FEFF0041201400412014>\n", b"/Title <FEFF00412014>        \n"),
        (b"/Title <FEFF00410042>\n", b"/Title <FEFF00410042>\n"),
    ],
)
def test_bookmarks_say_a_heading_once_and_nothing_moves(said, once):
    time = b"/CreationDate (D:19700101000000"
    made = printing.canonical(time + said, 0)
    assert made == time + once and len(once) == len(said)


def test_workflows_build_verify_and_publish_the_bundle():
    folder = ROOT / ".github" / "workflows"
    release, pages = (yaml.safe_load((folder / f"{name}.yml").read_text()) for name in ("release", "pages"))
    # YAML 1.1 reads the key `on` as true.
    assert release[True]["push"]["tags"] == ["v*"]
    steps = release["jobs"]["bundle"]["steps"]
    said = "\n".join(step.get("run", "") for step in steps)
    assert "make release" in said and "gh release create" in said
    assert release["jobs"]["bundle"]["permissions"] == {"contents": "write"}
    assert pages[True]["workflow_run"]["workflows"] == ["ci"]
    assert any("deploy-pages" in step.get("uses", "") for step in pages["jobs"]["deploy"]["steps"])


def test_there_is_a_table_of_scores_for_every_committed_run():
    with pytest.raises(SerError, match="no Runs"):
        scores.table(ROOT / "results" / "clips")
