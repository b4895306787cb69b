"""What it costs to turn a clip into features: seconds of the processor for each set, on the same synthetic clips.

    OMP_NUM_THREADS=1 python benchmarks/extraction.py

It writes results/benchmarks/extraction.json. The encoders need their weights (``ser weights``, SER_WEIGHTS). Seconds
are those of the processor, so that they depend little on what else the machine does. The sets take turns.
"""

import functools
import json
from datetime import UTC, datetime

import numpy as np
import side_by_side
from measuring import Clock, processor, turns

from ser_core import files, paths
from ser_core.data.synthetic import RATE
from ser_core.systems import features

SETS = ("librosa94", "egemaps", "compare", "byol-s", "whisper-tiny.en", "whisper-base", "whisper-base-30s")
CLIPS, TURNS = 24, 3


def seconds(name: str, clips: list[np.ndarray]) -> float:
    """Return the processor's seconds of a clip for one set, all clips once."""
    spec = features.get(name)
    with Clock() as clock:
        if spec.together:
            spec.function([(clip, RATE) for clip in clips])
        else:
            for clip in clips:
                spec.function(clip, RATE)
    return clock.cpu / len(clips)


def main() -> None:
    """Measure every set and write the file."""
    clips = side_by_side.sounds(CLIPS)
    for name in SETS:
        if features.get(name).ready:
            features.get(name).ready()
        seconds(name, clips[:2])  # loads weights
    found = turns({name: functools.partial(seconds, name, clips) for name in SETS}, TURNS)
    facts = {
        "measured_on": datetime.now(UTC).date().isoformat(),
        "cpu": processor(),
        "clips": CLIPS,
        "seconds_of_sound": round(float(np.mean([len(clip) / RATE for clip in clips])), 2),
        "cpu_s_a_clip": {
            name: {"median": round(float(np.median(each)), 4), "all": [round(one, 4) for one in each]}
            for name, each in found.items()
        },
    }
    files.write_json(facts, paths.results() / "benchmarks" / "extraction.json")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
