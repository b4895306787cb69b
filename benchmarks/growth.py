"""How time and memory grow with the number of clips: 1,000 to 1,000,000 synthetic ones, each step in a process.

    python benchmarks/growth.py                  everything, into results/benchmarks/growth.json; a quarter of an hour
    python benchmarks/growth.py scorer --most 10000

Seconds are those of the processor, so that they depend little on what else the machine does.
"""

import argparse
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import ratios
from measuring import Clock, alone, processor

from ser_core import files, paths

SIZES = (1_000, 10_000, 100_000, 1_000_000)
EMOTIONS = ("angry", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def table(n: int):
    """Return a Clips table of one corpus: 100 clips of each speaker, eight emotions, a hundred sentences.

    Args:
        n: How many clips.
    """
    import pandas as pd

    rng, i = np.random.default_rng(0), np.arange(n)
    who = i // 100
    columns = {
        "corpus": "large",
        "language": "en",
        "speaker": [f"large/{k:05}" for k in who],
        "gender": np.where(who % 2, "female", "male"),
        "emotion": rng.choice(EMOTIONS, n),
        "sentence": [f"large/s{k:03}" for k in rng.integers(100, size=n)],
        "path": [f"{k:07}.wav" for k in i],
        "duration_s": rng.uniform(1, 8, n),
        "sha256": [f"{k:064x}" for k in i],
    }
    return pd.DataFrame(columns, index=pd.Index([f"large/{k:07}" for k in i], name="clip"))


def valid(n: int):
    """Return a valid Clips table."""
    from ser_core.data import clips

    return clips.validate(table(n))


def clips_table(n: int) -> Clock:
    """Validate a Clips table."""
    from ser_core.data import clips

    given = table(n)
    clips.validate(given.head())  # builds the schema
    with Clock() as clock:
        clips.validate(given)
    return clock


def division(n: int) -> Clock:
    """Divide by speakers into five folds."""
    from ser_core.data import splits

    given = valid(n)
    with Clock() as clock:
        splits.make(given, "speaker", n_folds=5, seed=0, dev=True)
    return clock


def audit(n: int) -> Clock:
    """Audit table and folds."""
    from ser_core.data import audit as auditing
    from ser_core.data import splits

    given = valid(n)
    folds = splits.make(given, "speaker", n_folds=5, seed=0, dev=True)
    with Clock() as clock:
        auditing.audit(given, folds)
    return clock


def store(n: int) -> Clock:
    """Write 88 features a clip and read them."""
    import pandas as pd

    names = [f"f{i:02}" for i in range(88)]
    values = np.random.default_rng(0).normal(size=(n, 88)).astype("float32")
    given = pd.DataFrame(values, columns=names, index=pd.Index([f"large/{k:07}" for k in range(n)], name="clip"))
    path = Path(tempfile.mkdtemp()) / "features.parquet"
    with Clock() as clock:
        files.write_parquet(given, path)
        del given, values
        files.read_parquet(path, index="clip")
    path.unlink()
    return clock


def scorer(n: int) -> Clock:
    """UAR with its interval over speakers, 10,000 resamples."""
    from ser_core.evaluation import intervals

    given = ratios.predictions(n, speakers=200)
    with Clock() as clock:
        intervals.interval(given, "uar")
    return clock


def duplicates(n: int) -> Clock:
    """Candidates for copies."""
    from ser_core.data.audit import duplicates as searching

    given = ratios.images(n)
    with Clock() as clock:
        searching._candidates(given, 20)
    return clock


STEPS = {
    "clips": (clips_table, 1_000_000),
    "splits": (division, 1_000_000),
    "audit": (audit, 1_000_000),
    "store": (store, 1_000_000),
    "scorer": (scorer, 1_000_000),
    "duplicates": (duplicates, 100_000),
}
"""What grows, and the most clips that it is measured with."""


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Return the slope of log seconds over log clips between the two largest sizes.

    Args:
        sizes: Numbers of clips.
        seconds: What each took.

    Examples:
        >>> round(exponent([1_000, 10_000, 100_000], [0.5, 1.0, 10.0]), 2)
        1.0
    """
    return float(np.diff(np.log(seconds))[-1] / np.diff(np.log(sizes))[-1])


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", nargs="*", help=f"of {list(STEPS)}; all if none is given")
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--one", type=int, help="measure a single size here, as JSON")
    parser.add_argument("--out", type=Path, default=paths.results() / "benchmarks/growth.json")
    given = parser.parse_args()
    if unknown := set(given.steps) - set(STEPS):
        parser.error(f"no step is called {sorted(unknown)}; there are {list(STEPS)}")
    if given.most < SIZES[1]:
        parser.error(f"--most is {given.most}, but an exponent needs two sizes of {SIZES}")
    if given.one:
        step, _ = STEPS[given.steps[0]]
        step(SIZES[0])  # imports what is imported at first use
        clock = step(given.one)
        print(json.dumps({"clips": given.one, "cpu_s": round(float(clock.cpu), 4), "peak_mib": round(clock.peak)}))
        return
    found = json.loads(given.out.read_text())["steps"] if given.out.is_file() else {}
    for name in given.steps or STEPS:
        function, most = STEPS[name]
        rows = []
        for n in SIZES:
            if n <= min(most, given.most):
                rows.append(alone(__file__, name, "--one", str(n)))
                print(name, rows[-1], flush=True)
        slope = exponent([row["clips"] for row in rows], [row["cpu_s"] for row in rows])
        found[name] = {"what": function.__doc__.rstrip("."), "sizes": rows, "exponent": round(slope, 2)}
        facts = {"cpu": processor(), "load": round(os.getloadavg()[0], 1)}
        facts |= {"measured_on": datetime.now(UTC).date().isoformat()}
        files.write_json({"steps": found, "machine": facts}, given.out)


if __name__ == "__main__":
    main()
