"""The table of CONTRIBUTING.md, held true: one of each is added in a copy of the package, in the files it names."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from ser_core import paths

# For each row of the table: the files of the package that change, each with what is there and what stands there then
# (None: the file is new), and a program in which the addition is used.
ADDITIONS = {
    "A corpus": (
        {
            "data/corpora/toytown.py": (
                None,
                '"""Toytown."""\n'
                "from ser_core.data.corpora import local\n"
                "from ser_core.data.corpora.base import Corpus\n"
                'INFO = Corpus("toytown", "Toytown", "Toytown", ("happy", "sad"), "en", "ours", None, "toy", "", '
                '"public", "Ask.", True, {})\n'
                "def read(folder, *, progress=False):\n"
                '    return local.read(folder / "clips.csv", name="toytown", language="en")\n',
            ),
            "data/corpora/__init__.py": ("    urdu,\n)", "    toytown,\n    urdu,\n)"),
            "data/corpora/__init__.py ": ("meld, punjabi_elc)", "meld, punjabi_elc, toytown)"),
        },
        "from ser_core.data import corpora, synthetic, labels, splits\n"
        'synthetic.corpus(folder / "toytown", speakers=4, emotions=("happy", "sad"))\n'
        'corpora.write_table(corpora.read("toytown", folder / "toytown"))\n'
        'clips = labels.harmonise(corpora.table("toytown"), "common4")\n'
        'assert splits.make(clips, "speaker", n_folds=2)["fold"].nunique() == 2\n'
        'assert corpora.info("toytown").short == "Toytown"\n',
    ),
    "A protocol": (
        {
            "data/splits/protocols.py": (
                '        "sentence": _k_fold(',
                '        "gender": _k_fold("gender", summary="Nobody of the tested gender in train."),\n'
                '        "sentence": _k_fold(',
            )
        },
        "from ser_core.data import splits, synthetic\n"
        "clips = synthetic.clips(speakers=4)\n"
        'folds = splits.make(clips, "gender", n_folds=2, dev=False)\n'
        'test = folds[(folds["role"] == "test") & (folds["fold"] == 0)]["clip"]\n'
        'assert clips.loc[test, "gender"].nunique() == 1\n',
    ),
    "A metric": (
        {
            "evaluation/metrics.py": (
                'METRICS: dict[str, Metric] = {"uar": uar,',
                'METRICS: dict[str, Metric] = {"worst": lambda c: recalls(c).min(axis=-1), "uar": uar,',
            ),
            "evaluation/metrics.py ": ('LABELS = {"uar"', 'LABELS = {"worst": "lowest recall", "uar"'),
        },
        "import pandas as pd\n"
        "from ser_core.evaluation import metrics\n"
        'table = pd.DataFrame({"clip": list("abc"), "truth": ["x", "x", "y"], "prediction": ["x", "y", "y"]})\n'
        'assert metrics.scores(table)["worst"] == 0.5\n',
    ),
    "A classifier": (
        {
            "systems/classifiers.py": (
                '    "tree": Model(_tree,',
                '    "centroid": Model(lambda seed: __import__("sklearn.neighbors").neighbors.NearestCentroid()),\n'
                '    "tree": Model(_tree,',
            ),
            "systems/classifiers.py ": (
                '    "tree": "decision tree",',
                '    "centroid": "nearest mean",\n    "tree": "decision tree",',
            ),
        },
        "import numpy as np\n"
        "from ser_core.systems import classifiers\n"
        'system = classifiers.pipeline("centroid", "train").fit(np.array([[0.0], [1.0], [4.0], [5.0]]), [0, 0, 1, 1])\n'
        'assert system.predict([[0.4], [9.0]]).tolist() == [0, 1] and classifiers.TITLES["centroid"]\n',
    ),
    "A feature set": (
        {
            "systems/handcrafted.py": (
                "def levels(",
                'def loudest(x, rate):\n    return {"loudest": float(abs(x).max())}\n\n\ndef levels(',
            ),
            "systems/features/extractors.py": (
                '        Extractor(\n            name="levels",',
                '        Extractor("loudest", "Largest sample", 1, {}, ("numpy",), handcrafted.loudest),\n'
                '        Extractor(\n            name="levels",',
            ),
        },
        "from ser_core.data import corpora, synthetic\n"
        "from ser_core.systems import features\n"
        'synthetic.corpus(folder / "c", speakers=2)\n'
        'clips = corpora.local.read(folder / "c" / "clips.csv").clips\n'
        'features.extract("local", "loudest", folder=folder / "c", clips=clips, jobs=1, progress=False)\n'
        'assert features.load("local", "loudest", clips)["loudest"].between(0, 1).all()\n',
    ),
    "An encoder": (
        {
            "systems/encoders/halves.py": (
                None,
                '"""Halves."""\n'
                "import torch\n"
                "from ser_core.systems.encoders.byol import ByolS\n"
                "class Halves(ByolS):\n"
                '    """BYOL-S of half the samples."""\n'
                "    def prepare(self, samples):\n"
                "        return super().prepare(samples[: len(samples) // 2])\n"
                "def load(name):\n"
                "    torch.manual_seed(0)\n"
                "    return Halves().eval()\n",
            ),
            "systems/registry.py": (
                '    EncoderKind("systems.encoders.byol"',
                '    EncoderKind("systems.encoders.halves", names=("halves",)),\n'
                '    EncoderKind("systems.encoders.byol"',
            ),
        },
        "import numpy as np\n"
        "from ser_core.experiments import keys, specs\n"
        "from ser_core.systems import encoders, settings\n"
        'assert len(encoders.load("halves").prepare(np.zeros(32000, "float32"))) < 110\n'
        'recipe = settings.recipe({"encoder": "halves"})\n'
        'system = specs.NetworkSystem("emodb", "speaker", "x", recipe, "native", 5, (0,), 0, None)\n'
        "assert recipe.hears and len(keys.code_of(system)) == 16\n",
    ),
    "A fusion head": (
        {
            "systems/networks/fusion_heads/sums.py": (
                None,
                '"""Sums."""\n'
                "from torch import nn\n"
                "from ser_core.systems.networks.fusion_heads.base import FusionHead\n"
                "class Sum(FusionHead):\n"
                '    """The sum of both means, each through a layer."""\n'
                "    def _build(self, audio_dim, text_dim, width, heads, dropout):\n"
                "        self.audio, self.text = nn.Linear(audio_dim, width), nn.Linear(text_dim, width)\n"
                "        return width\n"
                "    def _mix(self, audio, audio_mask, text, text_mask):\n"
                "        return self.audio(self.mean(audio, audio_mask)) + self.text(self.mean(text, text_mask))\n",
            ),
            "systems/registry.py": (
                '    "gated": (',
                '    "sum": ("systems.networks.fusion_heads.sums:Sum", '
                '"systems.networks.fusion_heads.base:AudioHead"),\n'
                '    "gated": (',
            ),
        },
        "import torch\n"
        "from ser_core.systems import settings\n"
        "from ser_core.systems.networks.fusion_heads.heads import fusion_head, matched_width\n"
        'head = fusion_head("sum", 3, 2, 4, width=8)\n'
        "mask = torch.ones(1, 5, dtype=torch.bool)\n"
        "assert head(torch.ones(1, 5, 3), mask, torch.ones(1, 5, 2), mask).shape == (1, 4)\n"
        'assert settings.recipe({"text": "minilm", "fusion": "audio:sum"}).fusion == "audio:sum"\n'
        'assert matched_width("sum", 64, 64, 8, 64) > 1\n',
    ),
    "A rule of late fusion": (
        {
            "systems/registry.py": (
                '    "product": "geometric',
                '    "most": "largest probability",\n    "product": "geometric',
            ),
            "experiments/fitting/late_fusion.py": (
                'COMBINE = {"mean": _mean,',
                'COMBINE = {"most": lambda d, y, t: (np.max(t, 0), {}), "mean": _mean,',
            ),
        },
        "import numpy as np\n"
        "from ser_core.experiments.fitting import late_fusion\n"
        "part = [np.array([[0.9, 0.1]]), np.array([[0.3, 0.7]])]\n"
        'assert late_fusion.combine("most", part, np.array([0]), part)[0].tolist() == [[0.9, 0.7]]\n',
    ),
}


def table():
    """Return what is added and the files of the package that CONTRIBUTING.md names for it."""
    text = (paths.repository() / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| (An? [^|]+?) \| ([^|]+) \|", text, flags=re.MULTILINE)
    return {what: set(re.findall(r"`ser_core/([^`]+)`", files)) for what, files in rows}


def test_the_table_names_the_rows_that_are_tried():
    assert set(ADDITIONS) <= set(table())


@pytest.mark.parametrize("what", ADDITIONS)
def test_an_addition_touches_the_files_that_the_table_names(what):
    edits, _ = ADDITIONS[what]
    new = {name for name, (old, _) in edits.items() if old is None}
    touched = {re.sub(r"[a-z_]+\.py$", "NAME.py", name) if name in new else name.strip() for name in edits}
    assert touched == table()[what]


def test_all_additions_work_together(tmp_path):
    package = tmp_path / "ser_core"
    shutil.copytree(paths.repository() / "ser_core", package, ignore=shutil.ignore_patterns("__pycache__"))
    program = f"from pathlib import Path\nimport ser_core\nfolder = Path({str(tmp_path)!r})\n"
    program += "assert Path(ser_core.__file__).is_relative_to(folder)\n"
    for what, (edits, use) in ADDITIONS.items():
        for name, (old, text) in edits.items():
            path = package / name.strip()
            if old is not None:
                source = path.read_text()
                assert source.count(old) == 1, f"{name}: {old!r}"
                text = source.replace(old, text)
            path.write_text(text)
        program += f"print({what!r}, flush=True)\n{use}"
    (tmp_path / "results").mkdir()
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "SER_RESULTS": str(tmp_path / "results")}
    environment |= {"SER_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
