"""How many times as fast this package is as what one would pick otherwise: `make bench`.

The sides of a comparison run in turns (A B A B ...) in one process, from the same seeded inputs, most after a turn that
warms up. Counted are seconds of the processor, of the process and its children, without imports: they depend little on
what else the machine does. Seconds on the wall, peak memory and the load are kept beside them, and how far the results
of both sides are apart.

    python benchmarks/ratios.py                    all comparisons, three turns, into results/benchmarks
    python benchmarks/ratios.py scorer --turns 1   one of them

A ratio that is more than 30 % below the median of those measured before on such a processor is exit status 1.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from measuring import Clock, alone, processor, turns

from ser_core import files, paths

FOLDER = paths.results() / "benchmarks"
REGRESSION = 0.30
WITHOUT_WARMING = ("help", "thousand", "million", "duplicates")


# (a) The interval of a UAR over speakers.

SPEAKERS, CLASSES, RESAMPLES = 24, 8, 10_000


def predictions(n: int, speakers: int = SPEAKERS):
    """Return predictions of clips, in which some speakers are easier than others.

    Args:
        n: How many clips.
        speakers: How many speakers.
    """
    import pandas as pd

    rng = np.random.default_rng(0)
    truth = rng.integers(CLASSES, size=n)
    who = np.arange(n) % speakers
    skill = rng.normal(0.6, 0.08, speakers)[who]
    prediction = np.where(rng.random(n) < skill, truth, rng.integers(CLASSES, size=n))
    words = np.array([f"emotion{i}" for i in range(CLASSES)])
    table = {"clip": [f"c{i:07}" for i in range(n)], "speaker": [f"s{i:04}" for i in who]}
    return pd.DataFrame(table | {"truth": words[truth], "prediction": words[prediction]})


def scorer_ours() -> tuple[Clock, dict]:
    """`ser_core.evaluation.intervals.interval`, all 10,000 resamples."""
    from ser_core.evaluation import intervals

    table = predictions(1_440)
    with Clock() as clock:
        found = intervals.interval(table, "uar", n_resamples=RESAMPLES, method="percentile")
    return clock, {"interval": [found.low, found.high], "slack": found.slack}


def scorer_loop() -> tuple[Clock, dict]:
    """A loop over drawn speakers with scikit-learn's recall; a hundredth of the resamples, counted 100 times."""
    from sklearn.metrics import recall_score

    table, rng = predictions(1_440), np.random.default_rng(0)
    truth, prediction = table["truth"].to_numpy(), table["prediction"].to_numpy()
    n = RESAMPLES // 100
    with Clock(100) as clock:
        rows = [np.flatnonzero(table["speaker"] == who) for who in table["speaker"].unique()]
        values = []
        for _ in range(n):
            drawn = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
            values.append(recall_score(truth[drawn], prediction[drawn], average="macro"))
    return clock, {"interval": list(np.quantile(values, [0.025, 0.975]))}


def scorer_package() -> tuple[Clock, dict]:
    """The package confidence_intervals with speakers as its conditions; a hundredth, counted 100 times.

    It draws clips within each drawn speaker, too, so that its interval is another, wider one.
    """
    from confidence_intervals import evaluate_with_conf_int
    from sklearn.metrics import recall_score

    table = predictions(1_440)
    who = table["speaker"].str[1:].astype(int).to_numpy()
    truth, prediction = table["truth"].to_numpy(), table["prediction"].to_numpy()
    with Clock(100) as clock:
        _, ends = evaluate_with_conf_int(
            prediction,
            lambda truth, prediction: recall_score(truth, prediction, average="macro"),
            truth,
            conditions=who,
            num_bootstraps=RESAMPLES // 100,
        )
    return clock, {"interval": list(map(float, ends))}


def scorer_same(ours: dict, other: dict) -> str:
    """Say how far the ends of two intervals are apart, and what chance allows a hundredth of the resamples."""
    apart = float(np.abs(np.subtract(ours["interval"], other["interval"])).max())
    allowed = 2 * ours["slack"] * np.sqrt(101)
    return f"ends {apart:.4f} apart, by chance up to {allowed:.4f}"


# (b) eGeMAPS of recordings, two processes on both sides.

CLIPS = 48


def _recordings(folder: Path, n: int) -> Path:
    from ser_core.data import synthetic

    return synthetic.corpus(folder / "data", speakers=n // 12, sentences=6, emotions=("sad", "angry"))


def opensmile_ours() -> tuple[Clock, dict]:
    """`ser features`: decodes, checks the sha256 of samples, extracts, stores."""
    folder = Path(tempfile.mkdtemp())
    os.environ |= {"SER_RESULTS": str(folder / "results"), "SER_CACHE": str(folder / "cache")}
    from ser_core.data import corpora
    from ser_core.systems.features import extraction

    data = _recordings(folder, CLIPS)
    corpora.write_table(corpora.local.read(data / "clips.csv", name="urdu"))
    with Clock() as clock:
        extraction.extract("urdu", "egemaps", folder=data, jobs=2, progress=False)
    found = extraction.tables.load("urdu", "egemaps")
    return clock, {"vectors": found.to_numpy()[:, :10].astype(float).tolist()}


def opensmile_pool() -> tuple[Clock, dict]:
    """opensmile-python's process_files with two processes."""
    import opensmile

    folder = Path(tempfile.mkdtemp())
    data = _recordings(folder, CLIPS)
    import pandas as pd

    names = [str(data / path) for path in pd.read_csv(data / "clips.csv").sort_values("path")["path"]]
    smile = opensmile.Smile(
        opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals, num_workers=2, multiprocessing=True
    )
    with Clock() as clock:
        found = smile.process_files(names)
    return clock, {"vectors": found.to_numpy()[:, :10].astype(float).tolist()}


def opensmile_same(ours: dict, other: dict) -> str:
    """Say how far the features are apart, as a share of their spread."""
    one, two = (np.sort(np.array(side["vectors"]), axis=0) for side in (ours, other))
    return f"values {np.abs((one - two) / one.std(axis=0)).max():.0e} of their spread apart"


# (c) Near-duplicates and voices.

IMAGES = 5_000


def images(n: int) -> list[np.ndarray]:
    """Return log-mel images as of recordings of 1 to 8 s; every hundredth is the one before, softened by noise.

    Args:
        n: How many.
    """
    rng, found = np.random.default_rng(0), []
    for i in range(n):
        frames = int(np.clip(np.exp(rng.normal(np.log(2.5), 0.4)), 1, 8) * 40)
        x = np.cumsum(rng.normal(size=(10, frames)), axis=1)
        if i % 100 == 99:
            x = found[-1] + rng.normal(0, 0.1, found[-1].shape) * found[-1].std()
        x = x - x.mean(axis=1, keepdims=True)
        found.append((x / np.linalg.norm(x)).astype(np.float32))
    return found


def _recalled(pairs, n: int) -> float:
    planted = {(i - 1, i) for i in range(99, n, 100)}
    return len(planted & pairs) / len(planted)


def duplicates_ours() -> tuple[Clock, dict]:
    """The search for candidates among 5,000 recordings."""
    from ser_core.data.audit import duplicates

    given = images(IMAGES)
    with Clock() as clock:
        pairs = duplicates._candidates(given, 20)
    return clock, {"recalled": _recalled(pairs, IMAGES)}


def duplicates_all() -> tuple[Clock, dict]:
    """All pairs of a fifth of them, counted 25 times."""
    from ser_core.data.audit import duplicates

    given = images(IMAGES // 5)
    with Clock(25) as clock:
        pairs = duplicates._candidates(given, 20)
    return clock, {"recalled": _recalled(pairs, IMAGES // 5)}


def duplicates_same(ours: dict, other: dict) -> str:
    """Say how many of the planted copies each found."""
    return f"copies found: {ours['recalled']:.1%}, of all pairs {other['recalled']:.1%}"


def _voices(n: int):
    import pandas as pd

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1_000, 64)).astype("float32")
    who = np.repeat(np.arange(n // 100), 100)
    names = pd.Series([f"s{i:05}" for i in who], index=[f"c{i:07}" for i in range(n)])
    values = centres[who] + rng.normal(size=(n, 64)).astype("float32")
    return pd.DataFrame(values, index=names.index), names


def voices_ours() -> tuple[Clock, dict]:
    """`ser_core.data.audit.voices.likeness` of 1,000 names with 100,000 clips."""
    from ser_core.data.audit import voices

    vectors, names = _voices(100_000)
    with Clock() as clock:
        voices.likeness(vectors, names)
    found = voices.likeness(vectors[:10_000], names[:10_000])  # those that the other side compares
    return clock, {"mean": float(found.to_numpy()[~np.eye(len(found), dtype=bool)].mean())}


def voices_all() -> tuple[Clock, dict]:
    """Cosines of all pairs of a tenth of the clips, averaged by name, counted 100 times."""
    vectors, names = _voices(10_000)
    with Clock(100) as clock:
        unit = vectors.to_numpy() / np.linalg.norm(vectors, axis=1, keepdims=True)
        n = len(unit) // 100
        mean = (unit @ unit.T).reshape(n, 100, n, 100).mean(axis=(1, 3))
        own = (mean.diagonal() * 100 - 1) / 99
        found = mean / np.sqrt(np.outer(own, own))
    return clock, {"mean": float(found[~np.eye(n, dtype=bool)].mean())}


# (d) Embeddings: the shape of Whisper base with random weights, and BYOL-S.

HEARD = 2


def _sounds(n: int) -> list[np.ndarray]:
    import side_by_side

    return side_by_side.sounds(n)


def _whisper():
    import torch
    import transformers

    torch.manual_seed(0)
    sizes = {"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048}
    config = transformers.WhisperConfig(**sizes, decoder_layers=1, decoder_attention_heads=8)
    return transformers.WhisperModel(config).eval(), transformers.WhisperFeatureExtractor()


def _embed_whisper(kind: str) -> tuple[Clock, dict]:
    from ser_core.systems.encoders.hub import whisper
    from ser_core.systems.features.batches import embed

    encoder = getattr(whisper, kind)("whisper-base", *_whisper())
    sounds = _sounds(HEARD)
    with Clock() as clock:
        found = embed(encoder, [encoder.prepare(clip) for clip in sounds])
    return clock, {"vectors": found[:, :8].astype(float).tolist()}


def whisper_loop() -> tuple[Clock, dict]:
    """Transformers' encoder, one clip at a time, filled up to 30 s as its extractor does."""
    import torch

    model, extractor = _whisper()
    sounds, found = _sounds(HEARD), []
    with Clock() as clock, torch.inference_mode():
        for clip in sounds:
            features = extractor(clip, sampling_rate=16_000, return_tensors="pt").input_features
            touched = (len(clip) + 200 + 159) // 160
            frames = (touched + 1) // 2  # those that a window of the clip touches
            found.append(model.encoder(features).last_hidden_state[0, :frames].mean(0).tolist())
    return clock, {"vectors": [row[:8] for row in found]}


def whisper_pipeline() -> tuple[Clock, dict]:
    """transformers.pipeline for audio classification, which has the same encoder, four clips a batch."""
    import transformers

    model, extractor = _whisper()
    config = model.config
    classifier = transformers.WhisperForAudioClassification(config).eval()
    classifier.encoder = model.encoder
    made = transformers.pipeline("audio-classification", model=classifier, feature_extractor=extractor, device=-1)
    sounds = _sounds(HEARD)
    with Clock() as clock:
        found = made([{"raw": clip, "sampling_rate": 16_000} for clip in sounds], batch_size=4)
    return clock, {"n": len(found)}


def ceiling() -> dict:
    """Return billions of operations a second of a processor's core: in a large product of matrices, and needed here.

    A product of matrices in float32 is the most that any encoder could reach; ``needed`` are those of the clips of
    `HEARD` in Whisper, each filled up to 30 s.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(1)
    a, b = torch.randn(1_024, 1_024), torch.randn(1_024, 1_024)
    a @ b
    rates = []
    for _ in range(5):
        with Clock() as clock:
            a @ b
        rates.append(2 * 1_024**3 / clock.cpu / 1e9)
    model, _ = _whisper()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.encoder(torch.randn(1, 80, 3_000))
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    return {
        "product_gflops": round(max(rates), 1),
        "needed_gflop": round(HEARD * counter.get_total_flops() / 1e9, 1),
        "bfloat16": "avx512_bf16" in flags or "amx_bf16" in flags,
    }


def byol_ours() -> tuple[Clock, dict]:
    """BYOL-S by `ser_core.systems.features.batches.embed`."""
    from ser_core.systems.encoders.byol import ByolS
    from ser_core.systems.features.batches import embed

    return _byol(lambda encoder, inputs: embed(encoder, inputs), ByolS)


def byol_loop() -> tuple[Clock, dict]:
    """BYOL-S, one clip at a time."""
    from embedding import one_by_one

    from ser_core.systems.encoders.byol import ByolS

    return _byol(one_by_one, ByolS)


def _byol(side, kind) -> tuple[Clock, dict]:
    import torch

    torch.manual_seed(0)
    encoder = kind().eval()
    inputs = [encoder.prepare(clip) for clip in _sounds(4 * HEARD)]
    with Clock() as clock:
        found = side(encoder, inputs)
    return clock, {"vectors": found[:, :8].astype(float).tolist()}


def vectors_same(ours: dict, other: dict) -> str:
    """Say how far vectors are apart, as a share of their length."""
    if "vectors" not in other:
        return "the same encoder"
    one, two = np.array(ours["vectors"]), np.array(other["vectors"])
    apart = np.linalg.norm(one - two, axis=1) / np.linalg.norm(two, axis=1)
    return f"vectors {apart.max():.0e} of their length apart"


# (e) Fine-tuning the upper half, and the last layer.

EPOCHS = 4


def _tuned(ours: bool) -> tuple[Clock, dict]:
    import finetuning
    import side_by_side
    import torch

    clips = _sounds(24)
    encoder = side_by_side.encoder("tiny")
    torch.manual_seed(0)
    frozen = finetuning.FROZEN["tiny"]["upper half"]
    encoder.freeze(frozen)
    model = finetuning.SpeechClassifier(encoder, finetuning.N_CLASSES, cached=frozen)
    inputs = [encoder.prepare(clip) for clip in clips]
    labels = _labels(len(clips))
    shared = {"freeze": frozen, "patience": None, "batch_size": 8, "dropout": 0.0, "class_weights": False}
    recipe = finetuning.Recipe(epochs=10, precision="fp32", **shared)
    if ours:
        with Clock() as clock:
            hidden = finetuning.prefixed(encoder, inputs, frozen, "fp32")
            _, losses, _ = finetuning.ours(model, recipe, hidden, labels)
    else:
        rng = np.random.default_rng(0)
        orders = [np.array_split(rng.permutation(len(clips)), 3) for _ in range(recipe.epochs)]
        with Clock() as clock:
            _, losses = finetuning.plain(model, recipe, finetuning.pad(inputs), labels, orders)
    return clock, {"loss": float(np.mean(losses[-3:]))}


def tuning_ours() -> tuple[Clock, dict]:
    """`ser_core.experiments.fitting.network`: batches of like length on kept states; ten epochs and the states."""
    return _tuned(True)


def tuning_plain() -> tuple[Clock, dict]:
    """The plain recipe of benchmarks/finetuning.py, ten epochs."""
    return _tuned(False)


LAST = 6
"""Blocks of Whisper base below its last layer: the convolutions and five layers."""


def last_ours() -> tuple[Clock, dict]:
    """`ser_core.experiments.fitting.network`: each clip heard alone, the layers below the last computed once."""
    import finetuning
    import torch

    from ser_core.systems.encoders.hub.whisper import OwnLengthWhisper

    encoder = OwnLengthWhisper("whisper-base", *_whisper())
    encoder.freeze(LAST)
    torch.manual_seed(0)
    model = finetuning.SpeechClassifier(encoder, finetuning.N_CLASSES, cached=LAST)
    sounds, labels = _sounds(8), _labels(8)
    recipe = finetuning.Recipe(
        freeze=LAST, epochs=EPOCHS, patience=None, batch_size=8, class_weights=False, precision="fp32"
    )
    with Clock() as clock:
        inputs = [encoder.prepare(clip) for clip in sounds]
        finetuning.ours(model, recipe, finetuning.prefixed(encoder, inputs, LAST, "fp32"), labels)
    return clock, {"million parameters trained": _trained(model) / 1e6}


def last_plain() -> tuple[Clock, dict]:
    """Transformers' Trainer on WhisperForAudioClassification: clips filled up to 30 s, all layers in each epoch."""
    import finetuning
    import torch
    import transformers

    whisper, extractor = _whisper()
    whisper.config.num_labels = finetuning.N_CLASSES
    model = transformers.WhisperForAudioClassification(whisper.config)
    model.encoder = whisper.encoder.requires_grad_(False)
    model.encoder.layers[-1].requires_grad_(True)
    model.encoder.layer_norm.requires_grad_(True)
    sounds, labels = _sounds(8), _labels(8)
    with Clock() as clock, tempfile.TemporaryDirectory() as folder:
        features = [extractor(clip, sampling_rate=16_000).input_features[0] for clip in sounds]
        rows = [{"input_features": torch.tensor(x), "labels": y} for x, y in zip(features, labels, strict=True)]
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=8,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        transformers.Trainer(model, arguments, train_dataset=rows).train()
    return clock, {"million parameters trained": _trained(model) / 1e6}


def _labels(n: int) -> list[int]:
    import finetuning

    return np.random.default_rng(0).integers(finetuning.N_CLASSES, size=n).tolist()


def _trained(model) -> int:
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def numbers_same(ours: dict, other: dict) -> str:
    """Say what each found."""
    return "; ".join(f"{name} {ours[name]:.4g} and {other[name]:.4g}" for name in sorted(set(ours) & set(other)))


# (h) The command, with the start of Python.


def _ended(command: list[str]) -> tuple[Clock, dict]:
    """Run a command and return what it took."""
    with Clock() as clock:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"error: {command} ended with {status}")
    clock.peak = used.ru_maxrss / 1024
    return clock, {}


def _of_table(n: int, *words: str) -> tuple[Clock, dict]:
    """Run Python with a file of predictions as its last word."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "predictions.parquet"
        predictions(n, speakers=200).to_parquet(table)
        return _ended([sys.executable, *words, str(table)])


SER = ("-m", "ser_core.cli")
REPORT = (
    "import pandas, sklearn.metrics as m, sys; t = pandas.read_parquet(sys.argv[1]);"
    "print(m.classification_report(t['truth'], t['prediction']), m.confusion_matrix(t['truth'], t['prediction']))"
)


def help_ours() -> tuple[Clock, dict]:
    """`ser --help`."""
    return _ended([sys.executable, *SER, "--help"])


def help_import() -> tuple[Clock, dict]:
    """`import pandas, sklearn.metrics`: what a script of one's own begins with."""
    return _ended([sys.executable, "-c", "import pandas, sklearn.metrics"])


def thousand_ours() -> tuple[Clock, dict]:
    """`ser score` on 1,000 rows: all metrics with intervals, floors, classes, speakers."""
    return _of_table(1_000, *SER, "score")


def million_ours() -> tuple[Clock, dict]:
    """`ser score` on 1,000,000 rows."""
    return _of_table(1_000_000, *SER, "score")


def thousand_report() -> tuple[Clock, dict]:
    """scikit-learn's classification_report and confusion_matrix of the same rows, without any interval."""
    return _of_table(1_000, "-c", REPORT)


def million_report() -> tuple[Clock, dict]:
    """scikit-learn's classification_report and confusion_matrix of the same rows, without any interval."""
    return _of_table(1_000_000, "-c", REPORT)


def whisper_ours() -> tuple[Clock, dict]:
    """`whisper-base-30s`: the same vectors as the loop."""
    return _embed_whisper("WhisperEncoder")


def alone_ours() -> tuple[Clock, dict]:
    """`whisper-base`: each clip heard alone, which gives other vectors."""
    return _embed_whisper("OwnLengthWhisper")


CASES = {
    "scorer": ("interval of a UAR, 10,000 resamples of speakers", scorer_ours, scorer_same,
               {"confidence_intervals": scorer_package, "scikit-learn in a loop": scorer_loop}, 200),
    "opensmile": ("eGeMAPS of 48 recordings, two processes", opensmile_ours, opensmile_same,
                  {"opensmile's process_files": opensmile_pool}, 1),
    "duplicates": ("candidates for copies among 5,000", duplicates_ours, duplicates_same,
                   {"all pairs": duplicates_all}, None),
    "voices": ("likeness of 1,000 voices, 100,000 clips", voices_ours, numbers_same,
               {"all pairs": voices_all}, None),
    "whisper": ("Whisper, filled to 30 s: same vectors", whisper_ours, vectors_same,
                {"one clip at a time": whisper_loop, "transformers.pipeline": whisper_pipeline}, 5),
    "alone": ("Whisper, clips heard alone: other vectors", alone_ours, vectors_same,
              {"one clip at a time": whisper_loop}, 5),
    "byol": ("BYOL-S", byol_ours, vectors_same, {"one clip at a time": byol_loop}, None),
    "tuning": ("fine-tuning the upper half, ten epochs", tuning_ours, numbers_same, {"plain recipe": tuning_plain}, 3),
    "last": ("fine-tuning Whisper's last layer, four epochs", last_ours, numbers_same,
             {"Trainer on clips of 30 s": last_plain}, 3),
    "help": ("`ser --help`", help_ours, numbers_same, {"import of pandas and scikit-learn": help_import}, None),
    "thousand": ("`ser score`, 1,000 rows", thousand_ours, numbers_same, {"scikit-learn's report": thousand_report},
                 None),
    "million": ("`ser score`, 1,000,000 rows", million_ours, numbers_same, {"scikit-learn's report": million_report},
                None),
}  # fmt: skip
"""Title, our side, what is the same, the others by name, and the goal for the ratio."""


def measure(case: str, repeats: int) -> dict:
    """Return what the sides of a case took, in turns, and their ratios; run here.

    Args:
        case: A key of `CASES`.
        repeats: How often each side runs.
    """
    title, ours, same, others, goal = CASES[case]
    functions = {"ours": ours, **others}
    if case not in WITHOUT_WARMING:
        turns(functions, 1)
    taken = turns(functions, repeats)
    found = {name: of[-1][1] for name, of in taken.items()}
    sides = {}
    for name, of in taken.items():
        clocks = [clock for clock, _ in of]
        medians = {key: statistics.median(getattr(clock, key) for clock in clocks) for key in ("wall", "cpu", "peak")}
        sides[name] = {"what": functions[name].__doc__.splitlines()[0], "times": clocks[0].times}
        sides[name] |= {"wall_s": round(medians["wall"], 4), "cpu_s": round(medians["cpu"], 4)}
        sides[name] |= {"peak_mib": round(medians["peak"]), "all_cpu_s": [round(clock.cpu, 4) for clock in clocks]}
    return {
        **({"ceiling": ceiling()} if case == "whisper" else {}),
        "title": title,
        "goal": goal,
        "sides": sides,
        "ratios": {name: round(sides[name]["cpu_s"] / sides["ours"]["cpu_s"], 3) for name in others},
        "same": {name: same(found["ours"], found[name]) for name in others},
        "load": round(os.getloadavg()[0], 1),
        "turns": repeats,
        "measured_on": datetime.now(UTC).date().isoformat(),
    }


def slower(found: dict, history: list[dict], cpu: str) -> list[str]:
    """Return a line for each ratio that is far below those measured before on such a processor.

    Args:
        found: What was measured, by case.
        history: The lines of history.jsonl.
        cpu: Name of the processor.

    Examples:
        >>> before = [{"cpu": "x", "ratios": {"scorer/loop": 100.0}}]
        >>> slower({"scorer": {"ratios": {"loop": 60.0}}}, before, "x")
        ['scorer/loop: 60.0 times, before 100.0']
    """
    lines = []
    for case, one in found.items():
        for name, ratio in one["ratios"].items():
            key = f"{case}/{name}"
            before = [row["ratios"][key] for row in history if row["cpu"] == cpu and key in row["ratios"]]
            if before and ratio < (1 - REGRESSION) * statistics.median(before):
                lines.append(f"{key}: {ratio} times, before {statistics.median(before)}")
    return lines


def main() -> None:
    """Measure, write results/benchmarks/ratios.json, append to history.jsonl, fail for a regression."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", help=f"of {sorted(CASES)}; all if none is given")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--one", help="a comparison that is measured in this process, as JSON")
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.turns)))
        return
    found = {}
    for case in given.cases or CASES:
        found[case] = alone(__file__, "--one", case, "--turns", str(given.turns))
        print(case, found[case]["ratios"], found[case]["same"], flush=True)
    cpu = processor()
    path, past = given.out / "ratios.json", given.out / "history.jsonl"
    history = [json.loads(line) for line in past.read_text().splitlines()] if past.is_file() else []
    wrong = slower(found, history, cpu)
    kept = json.loads(path.read_text())["cases"] if path.is_file() else {}
    machine = {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "python": sys.version.split()[0]}
    files.write_json({"cases": kept | found, "machine": machine}, path)
    ratios = {f"{case}/{name}": ratio for case, one in found.items() for name, ratio in one["ratios"].items()}
    line = {"cpu": cpu, "measured_on": datetime.now(UTC).isoformat(timespec="seconds"), "ratios": ratios}
    with files.replacing(past) as temporary:
        rows = [*history, line]
        temporary.write_text("".join(f"{json.dumps(row, sort_keys=True)}\n" for row in rows), encoding="utf-8")
    if wrong:
        raise SystemExit("slower than before:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
