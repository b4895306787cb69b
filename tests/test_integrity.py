"""The list of checksums of the results, and the history of what Runs record."""

import hashlib
import json
import subprocess

import pytest

from ser_core import paths
from ser_core.errors import SerError
from ser_core.experiments import checksums

REPOSITORY = paths.repository()
FACTS = ("code", "versions", "measured", "made", "folds")


def test_every_committed_result_is_as_listed():
    assert checksums.check() > 2000


@pytest.fixture
def results(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/a.parquet").write_bytes(b"one")
    (tmp_path / "verified.jsonl").write_text("{}\n")
    checksums.write(tmp_path)
    return tmp_path


def test_the_list_is_that_of_sha256sum(results):
    expected = f"{hashlib.sha256(b'one').hexdigest()}  runs/a.parquet\n"
    assert (results / checksums.FILE).read_text() == expected
    subprocess.run(["sha256sum", "--check", "--quiet", checksums.FILE], cwd=results, check=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "runs/a.parquet").write_bytes(b"onf"), "runs/a.parquet was changed"),
        (lambda root: (root / "runs/a.parquet").unlink(), "runs/a.parquet is missing"),
        (lambda root: (root / "runs/b.json").write_text("{}"), "runs/b.json is not listed"),
        (lambda root: (root / checksums.FILE).unlink(), "no such file; write it with: make checksums"),
        (lambda root: (root / checksums.FILE).write_text("x"), "a line is not a checksum and a name"),
        (lambda root: (root / checksums.FILE).write_bytes(b"\xff  a\n\xff  a\n"), "or a name stands twice"),
        (lambda root: (root / "runs/b\nc").write_text(""), "a name of other than plain characters"),
        (lambda root: (root / "runs/b\\c").write_text(""), "a name of other than plain characters"),
        (lambda root: (root / b"runs/\xff".decode(errors="surrogateescape")).write_text(""), "other than plain"),
        (lambda root: (root / "runs/link").symlink_to("nowhere"), "'runs/link' is a link"),
        (lambda root: (root / "runs/more").symlink_to(root), "'runs/more' is a link"),
    ],
)
def test_a_file_that_is_not_as_listed_is_named(results, change, message):
    assert checksums.check(results) == 1
    change(results)
    with pytest.raises(SerError, match=message) as error:
        checksums.check(results)
    assert "\n" not in str(error.value)


def test_a_name_may_have_spaces_and_letters_of_any_language(results):
    (results / "runs/two  words é.parquet").write_bytes(b"two")
    checksums.write(results)
    assert checksums.check(results) == 2
    subprocess.run(["sha256sum", "--check", "--quiet", checksums.FILE], cwd=results, check=True)


def test_a_folder_that_is_not_there_gets_no_list(tmp_path):
    with pytest.raises(SerError, match="no such folder"):
        checksums.write(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_line_added_to_the_record_of_verifications_changes_nothing(results):
    (results / "verified.jsonl").write_text("{}\n{}\n")
    assert checksums.check(results) == 1


def git(*words, folder=REPOSITORY, **options):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, **options).stdout


def versions(folder):
    """Yield ((number, commit), status, path, content) of each version of each Run's facts, and of the record.

    Of all commits, also those of branches that were merged, which are compared with each parent; of a file that was
    changed also what it was before, and of one that was deleted only this.
    """
    first = git("log", "--diff-filter=A", "--format=%H", "--", "results/SHA256SUMS", folder=folder, text=True).split()
    if not first:
        return
    where = (f"{first[-1]}..HEAD", "--", ":(glob)results/runs/*/*/run.json", "results/verified.jsonl")
    how = ("-m", "--reverse", "--no-renames", "--format=@%h", "--abbrev=7", "--raw", "--no-abbrev", "-z")
    parts, comparison, found = iter(git("log", *how, *where, folder=folder).decode().split("\0")), (0, ""), []
    # A commit, then of each of its files ':<modes> <old> <new> <status>' and the path.
    for part in map(str.strip, parts):
        if part.startswith("@"):
            comparison = (comparison[0] + 1, part[1:])
        elif part.startswith(":"):
            *_, old, new, status = part.split()
            path = next(parts)
            found += [(comparison, status, path, blob) for blob in (old, new) if set(blob) != {"0"}]
    blobs = dict.fromkeys(blob for *_, blob in found)
    batch = git("cat-file", "--batch", folder=folder, input="\n".join(blobs).encode())
    for blob in blobs:
        head, _, batch = batch.partition(b"\n")
        size = int(head.split()[2])
        blobs[blob], batch = batch[:size], batch[size + 1 :]
    for *where, blob in found:
        yield *where, blobs[blob]


def rewritten(folder):
    """Return what the history rewrote: facts of a Run whose predictions stayed, or lines of the record."""
    found, facts, deleted, added = [], {}, {}, []
    record = folder / "results/verified.jsonl"
    now = record.read_bytes().splitlines() if record.is_file() else []
    for comparison, status, path, content in versions(folder):
        commit = comparison[1]
        if path.endswith("verified.jsonl"):
            # Merged records may lie between each other's lines, but none is changed or lost.
            rest = iter(now)
            if not all(line in rest for line in content.splitlines()):
                found.append(f"{commit} {path}: lines were changed or lost since")
            continue
        info = json.loads(content)
        if "tables" not in info:  # of a branch from before tables were recorded
            continue
        # By what was predicted, so that a Run that is deleted and added again keeps its facts, too.
        predicted = (json.dumps(info["tables"], sort_keys=True), info.get("key"))
        first = facts.setdefault((path, *predicted), info)
        found += [f"{commit} {path}: {fact}" for fact in FACTS if first.get(fact) != info.get(fact)]
        if status == "D":
            deleted[comparison, path.split("/")[3], *predicted] = info
        elif status == "A":
            added.append((commit, path, (comparison, path.split("/")[3], *predicted), info))
    for commit, path, key, info in added:  # by the commit that deleted it elsewhere: it moved
        was = deleted.get(key, info)
        found += [f"{commit} {path}: {fact}" for fact in FACTS if was.get(fact) != info.get(fact)]
    return found


def test_no_commit_rewrites_what_a_run_records_of_the_day_it_was_made():
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a clone: there is no history to look at")
    if git("rev-parse", "--is-shallow-repository", text=True).strip() == "true":
        pytest.skip("a shallow clone has no history; fetch it with: git fetch --unshallow")
    assert rewritten(REPOSITORY) == []


FIRST = {"code": "a", "tables": {"predictions": "1"}, "key": "k"}


class History:
    """A repository whose only Run was committed with the list of checksums."""

    def __init__(self, folder):
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        self.commit(**{"SHA256SUMS": "", "runs/e/s/run.json": FIRST})

    def git(self, *words):
        return git("-c", "user.name=x", "-c", "user.email=x@x", *words, folder=self.folder)

    def commit(self, **contents):
        """Write files below results, delete those that are None, commit, and return what was rewritten."""
        for name, content in contents.items():
            path = self.folder / "results" / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        self.git("add", "--all")
        self.git("commit", "-qm", "x")
        return rewritten(self.folder)


RUN, RECORD = "runs/e/s/run.json", "verified.jsonl"


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


def test_a_stamped_run_is_found_in_the_history(history):
    assert history.commit(**{RUN: FIRST | {"notes": []}}) == []
    made_again = FIRST | {"code": "b", "tables": {"predictions": "2"}}
    assert history.commit(**{RUN: made_again}) == []
    (found,) = history.commit(**{RUN: made_again | {"code": "c"}})
    assert found.endswith("results/runs/e/s/run.json: code")


def test_a_run_that_is_deleted_and_added_again_keeps_its_facts(history):
    history.commit(**{RUN: None})
    assert history.commit(**{RUN: FIRST}) == []
    history.commit(**{RUN: None})
    (found,) = history.commit(**{RUN: FIRST | {"code": "b"}})
    assert found.endswith("results/runs/e/s/run.json: code")


def test_a_run_that_moves_to_another_experiment_keeps_its_facts(history):
    assert history.commit(**{RUN: None, "runs/other/s/run.json": FIRST}) == []
    (found,) = history.commit(**{"runs/other/s/run.json": None, "runs/third/s/run.json": FIRST | {"code": "b"}})
    assert found.endswith("results/runs/third/s/run.json: code")


def test_a_run_stamped_on_a_branch_or_in_the_merge_itself_is_found(history):
    history.git("switch", "-qc", "branch")
    history.commit(**{"runs/e/t/run.json": FIRST | {"key": "t"}})
    history.git("switch", "-q", "main")
    assert history.commit(**{"runs/e/u/run.json": FIRST | {"key": "u"}}) == []
    history.git("merge", "-q", "--no-ff", "--no-commit", "branch")
    found = history.commit(**{RUN: FIRST | {"code": "b"}})
    assert found and all(one.endswith("results/runs/e/s/run.json: code") for one in found)


def test_a_changed_line_of_the_record_is_found_in_the_history(history):
    assert history.commit(**{RECORD: "{}\n"}) == []
    assert history.commit(**{RECORD: "{}\n[]\n"}) == []
    found = history.commit(**{RECORD: "{ }\n[]\n"})
    assert found and all(one.endswith("results/verified.jsonl: lines were changed or lost since") for one in found)


def test_a_record_may_be_merged_and_not_begun_anew(history):
    history.commit(**{RECORD: "1\n"})
    history.git("switch", "-qc", "branch")
    history.commit(**{RECORD: "1\n2\n"})
    history.git("switch", "-q", "main")
    history.commit(**{RECORD: "1\n3\n"})
    history.git("merge", "-q", "--no-commit", "-X", "ours", "branch")
    assert history.commit(**{RECORD: "1\n3\n2\n"}) == []
    history.commit(**{RECORD: None})
    assert history.commit(**{RECORD: "4\n"})
