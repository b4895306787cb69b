"""Kill long commands at random moments by SIGKILL, resume them, and compare with what an undisturbed one makes.

`make kills` writes what came out into kills.csv. It takes half an hour of two idle cores, so it is none of the tests.

Killed is the command alone, or with all of its workers: of `make book` these are Snakemake, papermill and Jupyter Book,
which otherwise go on while the next `make book` waits. Its book is a clone of the repository with two cheap chapters
and the references; chapters and pages are compared. `ser transcribe` hears through a Whisper of random weights.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tiny import write_whisper

from ser_core.book import site
from ser_core.data import synthetic

ROOT = Path(__file__).resolve().parent.parent
COUNTS = Path(__file__).with_name("kills.csv")
SER = (sys.executable, "-m", "ser_core.cli")
EXPERIMENT = """\
name: kills
question: Is a Run that was interrupted the same as one that was not?
corpora: [../../recordings/mine.csv]
protocols: [clip, speaker]
folds: 2
"""
CLASSICAL = "features: [egemaps]\nmodels: [logreg, knn]\n"
NETWORKS = "recipe: {trim: true, patience: 4}\nnetworks: {a: {encoder: cnn1d-librosa94, epochs: 4}}\n"
TIMES = ("made", "measured", "finished", "seconds", "cell_seconds", "peak_mib", "papermill", "execution")
"""Facts of the machine and the day, which no two executions share."""
BOOK = ("90_data_cards", "92_benchmarks")
CONTENTS = ("book/index", "book/chapters/90_data_cards", "book/chapters/92_benchmarks", "book/references")


@dataclass(frozen=True)
class Job:
    """A command that is killed.

    Its name and words, what comes before it, and the folder it runs in; folders whose content is compared; whether it
    is killed with all of its workers only.
    """

    name: str
    words: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    within: Path | None = None
    prepare: Callable[[Path], None] | None = None
    compared: tuple[str, ...] = (".",)


def jobs() -> list[Job]:
    chapter = (sys.executable, "-m", "ser_core.book.chapters", "run", "notebooks/92_benchmarks.md", "-o", "{made}")
    init = (*SER, "init", "{made}", "--corpus", "{root}/recordings/mine.csv")
    features = (*SER, "features", "../recordings/mine.csv", "egemaps")
    transcribe = (*SER, "transcribe", "../recordings/mine.csv", "--model", "{root}/tiny.pt")
    book = ("make", "book", f"VENV={sys.prefix}", "ENVIRONMENT=", "CORES=2")
    return [
        Job("ser features", features, (init,)),
        Job("ser run, classifiers", (*SER, "run", "experiments/classical.yaml", "--jobs", "2"), (init, features)),
        Job("ser run, a network", (*SER, "run", "experiments/networks.yaml", "--jobs", "2"), (init, features)),
        Job("ser study", (*SER, "study", "../recordings/mine.csv", "--features", "levels"), (init,)),
        Job("ser transcribe", transcribe, (init,)),
        Job("a chapter of the book", chapter, within=ROOT),
        Job("make book", book, prepare=small_book, compared=("book/chapters", "_build/html")),
    ]


def small_book(folder: Path) -> None:
    """Make a working copy of the repository whose book has two cheap chapters, without links to other pages."""
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(folder)], check=True)
    for path in folder.glob("notebooks/[0-9]*"):
        if path.stem not in BOOK:
            path.unlink()
        elif path.suffix == ".md":
            text = re.sub(r"\{(doc|py:\w+)\}`", "`", path.read_text(encoding="utf-8"))
            path.write_text(text, encoding="utf-8")
    root, *pages = CONTENTS
    listed = "\n".join(f"      - file: {page}" for page in pages)
    contents = f"format: jb-book\nroot: {root}\nparts:\n  - caption: All\n    chapters:\n{listed}\n"
    (folder / "_toc.yml").write_text(contents, encoding="utf-8")
    (folder / f"{root}.md").write_text("# A book of two chapters\n\nIt is killed and built again.\n", encoding="utf-8")


def without_times(value: object) -> object:
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if name not in TIMES}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def state(folder: Path, compared: tuple[str, ...]) -> dict[str, str]:
    """Return the digest of every file below folders of a folder.

    Facts such as times do not count, nor do locks, nor the checksums of chapters, which have such facts in them.
    """
    found = {}
    for path in sorted(path for name in compared for path in (folder / name).rglob("*")):
        if path.is_file() and "locks" not in path.parts and path.name != site.MADE_FROM:
            content = path.read_bytes()
            if path.name == "status.md":
                content = re.sub(rb"20\d\d-\d\d-\d\d [\d:]+ \|[^|]*\|[^|]*\|[^|]*\|", b"", content)
            if path.suffix in (".json", ".ipynb"):
                content = json.dumps(without_times(json.loads(content)), sort_keys=True).encode()
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


class Bench:
    """A folder with recordings, and beside them as many working folders as there are rounds."""

    def __init__(self, root: Path, seed: int):
        self.root, self.random, self.n = root, random.Random(seed), 0
        synthetic.corpus(root / "recordings", speakers=5, sentences=1, seed=1, copies=["gain"])
        (root / "recordings/clips.csv").rename(root / "recordings/mine.csv")
        write_whisper(root / "tiny.pt")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("SER_")}
        self.environment |= {"OMP_NUM_THREADS": "1", "SER_PATIENCE": "20"}

    def start(self, job: Job, words: tuple[str, ...], made: Path) -> subprocess.Popen:
        given = [word.format(made=made, root=self.root) for word in words]
        package = made if job.prepare else ROOT
        environment = self.environment | {"SER_CACHE": str(made / ".cache"), "PYTHONPATH": str(package)}
        where = job.within or (made if made.is_dir() else self.root)
        log = (self.root / "log").open("ab")
        return subprocess.Popen(given, cwd=where, env=environment, stdout=log, stderr=log, start_new_session=True)

    def finish(self, job: Job, words: tuple[str, ...], made: Path) -> None:
        if (done := self.start(job, words, made)).wait():
            lines = (self.root / "log").read_text(encoding="utf-8", errors="replace").splitlines()
            raise SystemExit(
                f"{job.name}: {' '.join(done.args)} ended with {done.returncode}\n" + "\n".join(lines[-20:])
            )

    def fresh(self, job: Job) -> Path:
        """Return a new folder in which nothing of the command is done yet."""
        self.n += 1
        made = self.root / f"made-{self.n}"
        template = self.root / f"template {job.name}"
        if not template.is_dir():
            if job.prepare:
                job.prepare(template)
            for words in job.before:
                self.finish(job, words, template)
            template.mkdir(exist_ok=True)
            for name, rest in (("classical", CLASSICAL), ("networks", NETWORKS)):
                if job.before:
                    text = EXPERIMENT.replace("kills", name) + rest
                    (template / "experiments" / f"{name}.yaml").write_text(text, encoding="utf-8")
        shutil.copytree(template, made, symlinks=True)
        return made

    def killed(self, job: Job, made: Path, seconds: float, *, alone: bool) -> bool:
        """Start the command and kill it after some seconds; return whether it had not ended before."""
        process = self.start(job, job.words, made)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            # The parent alone, as a memory that is full does, or with its workers, as the end of a session does.
            process.kill() if alone else os.killpg(process.pid, signal.SIGKILL)
        if process.wait() not in (0, -signal.SIGKILL):
            raise SystemExit(f"{job.name}: ended with {process.returncode}; see {self.root / 'log'}")
        return process.returncode != 0

    def tried(self, job: Job, kills: int) -> bool:
        """Kill a command so many times, one to three times before it may end; return whether all came out the same."""
        made, done, same = self.fresh(job), 0, True
        started = time.monotonic()
        self.finish(job, job.words, made)
        seconds, undisturbed = time.monotonic() - started, state(made, job.compared)
        while done < kills:
            made, row = self.fresh(job), {"command": job.name, "kills": 0, "resumed": 0, "identical": 0}
            for _ in range(min(self.random.randint(1, 3), kills - done)):
                after, alone = self.random.uniform(0.1, 1) * seconds, self.random.random() < 0.4
                if not self.killed(job, made, after, alone=alone):
                    break
                row["kills"] += 1
            self.finish(job, job.words, made)
            if row["kills"]:
                found = state(made, job.compared)
                differ = {name for name in {*found, *undisturbed} if found.get(name) != undisturbed.get(name)}
                record(row | {"resumed": 1, "identical": int(not differ)})
                done, same = done + row["kills"], same and not differ
                print(f"{job.name}: {row['kills']} kills, {len(differ)} files differ {sorted(differ)[:5]}", flush=True)
            if same:
                shutil.rmtree(made)
        return same


def record(row: dict) -> None:
    """Add what came out of a command to what the table says of it."""
    rows = list(csv.DictReader(COUNTS.open(encoding="utf-8"))) if COUNTS.is_file() else []
    there = {one.pop("command"): {name: int(n) for name, n in one.items()} for one in rows}
    before = there.get(row["command"], {})
    there[row["command"]] = {name: before.get(name, 0) + n for name, n in row.items() if name != "command"}
    with COUNTS.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, row, lineterminator="\n")
        table.writeheader()
        table.writerows({"command": name, **counts} for name, counts in sorted(there.items()))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=10, help="of each command")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", default="", help="commands whose name contains this")
    options.add_argument("--anew", action="store_true", help="forget what was counted before")
    given = options.parse_args()
    if given.anew:
        COUNTS.unlink(missing_ok=True)
    root = Path(tempfile.mkdtemp(prefix="kills-"))
    bench = Bench(root, given.seed)
    if not all([bench.tried(job, given.kills) for job in jobs() if given.only in job.name]):
        raise SystemExit(f"what differs is in {root}")
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
