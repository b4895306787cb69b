"""Which code decides a system: what a change of it does to the digest of each kind of system."""

import ast
import shutil
from pathlib import Path

import pytest

from ser_core import paths
from ser_core.errors import SerError
from ser_core.experiments import code_hash, keys
from ser_core.experiments.specs import ClassicalSystem, LateFusion, NetworkSystem
from ser_core.systems.settings import recipe


def network(**settings):
    return NetworkSystem("urdu", "speaker", "x", recipe({"encoder": "byol-s"} | settings), "native", 4, (0,), 0, None)


def classical(model, normalisation="train"):
    return ClassicalSystem("urdu", "speaker", "egemaps", model, normalisation, "native", 4, (0,), "fixed", False, None)


SYSTEMS = {
    "logreg": classical("logreg"),
    "knn": classical("knn"),
    "layer": classical("logreg-layer"),
    "byol": network(),
    "augmented": network(augmentation={"gain_db": [-6, 6]}),
    "image": network(encoder="vgg16-mel"),
    "hub": network(encoder="facebook/wav2vec2-base", revision="0" * 40),
    "whisper": network(encoder="whisper-base", precision="auto"),
    "adapted": network(encoder="lora:whisper-base"),
    "eager": network(encoder="eager:whisper-base"),
    "stacked": network(encoder="layers:whisper-base"),
    "lower": network(encoder="lower:4:whisper-base"),
    "concat": network(text="minilm"),
    "attention": network(text="minilm", fusion="cross-attention"),
    "mean": LateFusion("urdu", "speaker", "x", ("a/b", "c/d"), "mean", True, "native", 4, (0,)),
    "weighted": LateFusion(
        "urdu", "speaker", "x", ("a/b", "egemaps/logreg/train"), "weighted", True, "native", 4, (0,)
    ),
}


def forget():
    code_hash._modules.cache_clear()
    code_hash._reached.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that may be changed, and is what code is hashed of."""
    copy = tmp_path / "ser_core"
    shutil.copytree(paths.repository() / "ser_core", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_hash, "__file__", str(copy / "experiments" / "code_hash.py"))
    forget()
    yield copy
    forget()


def digests():
    forget()
    return {name: keys.code_of(cell) for name, cell in SYSTEMS.items()}


@pytest.fixture(scope="module")
def before():
    """The digests of the package as it is."""
    return {name: keys.code_of(cell) for name, cell in SYSTEMS.items()}


WHISPERS = {"whisper", "adapted", "eager", "stacked", "lower"}
NETWORKS = {"byol", "augmented", "image", "hub", "concat", "attention"} | WHISPERS
READING = {"concat", "attention"}
FITTED = {"logreg", "knn", "layer", "weighted"}
FUSED = {"mean", "weighted"}


@pytest.mark.parametrize(
    ("module", "old", "new", "changed"),
    [
        ("experiments.fitting.classical", "best = int(np.argmax(scores))", "best = int(np.argmin(scores))", FITTED),
        (
            "systems.classifiers",
            "LogisticRegression(C=0.01",
            "LogisticRegression(C=0.02",
            {"logreg", "weighted"} | NETWORKS,
        ),
        ("systems.layers", "LogisticRegression(C=self.C", "LogisticRegression(C=2 * self.C", {"layer"}),
        ("systems.features.whisper", '"whisper-base": (7, 512)', '"whisper-base": (8, 512)', set()),
        ("systems.classifiers", '{"n_neighbors": (31, 15, 5)}', '{"n_neighbors": (31, 15)}', {"knn"}),
        (
            "systems.classifiers",
            "MODELS: dict[str, Model] = {",
            'MODELS: dict[str, Model] = {"new": Model(_tree),',
            set(),
        ),
        ("systems.classifiers", '"coral": "z-score', '"other": "new", "coral": "z-score', set()),
        ("evaluation.metrics", "(support(confusion) > 0)", "(support(confusion) > 1)", set(SYSTEMS)),
        ("evaluation.metrics", 'METRICS: dict[str, Metric] = {', 'METRICS: dict[str, Metric] = {"new": wa, ', set()),
        ("experiments.fold", '"fold": self.number,', '"fold": self.number + 1,', set(SYSTEMS)),
        ("experiments.fold", "[list(self.train)].unique()", "[list(self.test)].unique()", set(SYSTEMS)),
        ("experiments.fitting.network.trainer", "steps = math.ceil(", "steps = 1 + math.ceil(", NETWORKS),
        ("systems.speaker_probe", "GroupKFold(min(5,", "GroupKFold(min(6,", NETWORKS),
        ("systems.networks.pooling", "class Pooling(nn.Module):", "class Pooling(nn.Module):\n    NEW = 1\n", NETWORKS),
        ("systems.encoders.base", "RATE = 16_000", "RATE = 8_000", NETWORKS),
        ("systems.encoders.byol", "N_MELS = 64", "N_MELS = 32", NETWORKS - {"image", "hub"} - WHISPERS),
        ("systems.encoders.adapted", "RANK = 8", "RANK = 4", {"adapted"}),
        ("systems.encoders.eager", "dtype=torch.float32", "dtype=torch.float64", {"eager", "lower"}),
        ("systems.encoders.stacked", "hidden.unbind(2)", "hidden.unbind(1)", {"stacked"}),
        ("systems.encoders.lower", ", 16):", ", 8):", {"lower"}),
        ("systems.encoders.hub.whisper", "if i == self.n_layers - 1", "if i == self.n_layers", WHISPERS | {"hub"}),
        ("systems.precision", 'return "bf16" if', 'return "fp32" if', {"whisper"}),
        ("systems.encoders.spectrogram", "BLOCK = RATE", "BLOCK = 2 * RATE", {"image"}),
        (
            "systems.encoders.hub.wave",
            "class WaveEncoder(Encoder):",
            "class WaveEncoder(Encoder):\n    NEW = 1\n",
            {"hub"},
        ),
        ("systems.encoders.text", "class TextEncoder(Encoder):", "class TextEncoder(Encoder):\n    N = 1\n", READING),
        ("systems.augmentation", "_TIME_SHARE = 5", "_TIME_SHARE = 6", {"augmented"}),
        (
            "systems.networks.fusion_heads.concat",
            "class Concat(FusionHead):",
            "class Concat(FusionHead):\n    NEW = 1\n",
            {"concat"},
        ),
        ("systems.networks.fusion_heads.cross_attention", "return 2 * width", "return 3 * width", {"attention"}),
        ("systems.registry", '    "gated": (', '    "new": ("a:B", "a:C"), "gated": (', set()),
        ("systems.registry", "ENCODERS = (", 'ENCODERS = (EncoderKind("a"), ', set()),
        ("experiments.fitting.late_fusion", "_FLOOR = 1e-6", "_FLOOR = 1e-7", set()),
        ("experiments.fitting.late_fusion", "return np.mean(test, 0), {}", "return np.median(test, 0), {}", {"mean"}),
        (
            "experiments.fitting.late_fusion",
            "WEIGHTS = np.linspace(0, 1, 21)",
            "WEIGHTS = np.linspace(0, 1, 11)",
            {"weighted"},
        ),
        ("data.labels", "emotion.map(mapping)", "emotion.map(mapping).str.upper()", set(SYSTEMS)),
        ("data.labels", "HARMONISATIONS: dict", "OTHER = 1\nHARMONISATIONS: dict", set()),
        ("systems.settings", "return bool(self.augmentation) and", "return not self.augmentation and", NETWORKS),
        ("systems.settings", "and registry.encoder(encoder).reads", "and not registry.encoder(encoder)", NETWORKS),
        ("systems.settings", "> 0 for name in _MASKS", ">= 0 for name in _MASKS", {"augmented"}),
        ("systems.settings", "if isinstance(value, list) else value", "if value else value", {"augmented"}),
        ("systems.settings", "epochs: _whole(1) = 20", "epochs: _whole(1) = 21", set()),
        ("evaluation.predictions", 'sort_values(["seed", "clip"]', 'sort_values(["clip", "seed"]', FUSED),
        ("book.figures", '"""', '"""', set()),
    ],
)  # fmt: skip
def test_a_change_of_code_changes_the_systems_that_it_decides(before, package, module, old, new, changed):
    assert len(set(before.values())) == len(SYSTEMS)
    path = package.joinpath(*module.split(".")).with_suffix(".py")
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new, 1))
    after = digests()
    assert {name for name in SYSTEMS if after[name] != before[name]} == changed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('    """Return the names', '    # Why.\n    """Return other words about the names'),
        ("which: Sequence[str], **setting) -> Pipeline:", "which, **setting):"),
        ("import copy\n", "import copy\nimport math\n"),
    ],
)
def test_comments_docstrings_annotations_and_imports_do_not_count(before, package, old, new):
    path = package / "experiments/fitting/classical.py"
    source = path.read_text()
    path.write_text(source.replace(old, new, 1) if old in source else '"""Other words."""\n' + source)
    assert digests() == before


def test_a_clearer_message_does_not_count(before, package):
    path = package / "experiments/fold.py"
    path.write_text(path.read_text().replace("} tests the classes", "} asks for the classes"))
    assert digests() == before


def test_a_definition_may_move_to_another_module(before, package):
    path = package / "experiments/fitting/classical.py"
    source = path.read_text()
    (node,) = [part for part in ast.parse(source).body if getattr(part, "name", None) == "values"]
    lines = source.splitlines(keepends=True)
    moved = "".join(lines[node.lineno - 1 : node.end_lineno])
    rest = "".join(lines[: node.lineno - 1] + lines[node.end_lineno :])
    head = "from collections.abc import Sequence\nimport numpy as np\nimport pandas as pd\n\n\n"
    (package / "elsewhere.py").write_text(head + moved)
    path.write_text(
        rest.replace("from ser_core.systems", "from ser_core.elsewhere import values\nfrom ser_core.systems", 1)
    )
    after = digests()
    assert {after[name] == before[name] for name in ("logreg", "knn")} == {True}


def test_an_unknown_root_is_an_error():
    with pytest.raises(KeyError, match="no definition 'nothing' in module 'ser_core.evaluation.metrics'"):
        code_hash.digest(["evaluation.metrics:nothing"])


def test_a_name_that_a_function_gives_a_value_to_is_not_the_module_s(package):
    (package / "one.py").write_text(
        "def f():\n    return 1\n\n\ndef g(f):\n    return f\n\n\ndef h():\n    return f()\n"
    )
    forget()
    assert set(code_hash.reached(["one:g"])) == {("one", "g")}
    assert set(code_hash.reached(["one:h"])) == {("one", "f"), ("one", "h")}


def test_the_digest_does_not_depend_on_the_version_of_python():
    """Written out here as Python 3.11 gives it; a tree of another version may have other fields."""
    found = code_hash.reached(["evaluation.metrics:wa"])[("evaluation.metrics", "wa")]
    total = (
        "Call( func= Attribute( value= Call( func= @{} args= [ Name( id= 'confusion' ) ] ) attr= 'sum' ) args= [ {} ] )"
    )
    last = "UnaryOp( op= USub( ) operand= Constant( value= 1 ) )"
    total = "Call( func= Attribute( value= Call( func= @{} args= [ Name( id= 'confusion' ) ] ) attr= 'sum' ) "
    total += f"args= [ {last} ] )"
    body = f"Return( value= Call( func= @_ratio args= [ {total.format('_diagonal')} {total.format('support')} ] ) )"
    arguments = "arguments( args= [ arg( arg= 'confusion' ) ] )"
    assert found == f"FunctionDef( name= 'wa' args= {arguments} body= [ {body} ] )"


def test_every_root_is_there():
    root = Path(code_hash.__file__).parent.parent
    assert all(
        code_hash._nodes(str(root), *name.split(":"))
        for name in ("experiments.fitting.classical:fit_fold", "experiments.fitting.network:fit_fold")
    )


@pytest.fixture
def made(package):
    """Writes modules into the copy of the package and returns what the digest of one says."""

    def write(root="one:f", entries=None, **sources):
        for name, source in sources.items():
            (package / f"{name}.py").write_text(source)
        forget()
        return code_hash.digest([root], entries=entries)

    return write


TWO = "def g():\n    return {}\n"


@pytest.mark.parametrize(
    "source",
    [
        "from ser_core.two import g\ndef f():\n    return g()\n",
        "from ser_core import two\ndef f():\n    return two.g()\n",
        "import ser_core.two as other\ndef f():\n    return other.g()\n",
        "def f():\n    from ser_core import two\n    return two.g()\n",
        "def f():\n    from ser_core.two import g as h\n    return [h() for _ in 'ab']\n",
        "from ser_core.handing import g\ndef f():\n    return g()\n",
        "from ser_core.handing import two\ndef f():\n    return two.g()\n",
        "from ser_core.two import g\nf = {'a': [lambda: g()]}\n",
        "from ser_core.two import g\nf = {}\nf['a'] = g\n",
        "from ser_core.two import g\nclass f:\n    part = g()\n",
        "from ser_core.two import g\nclass f:\n    @property\n    def part(self):\n        return g()\n",
        "from ser_core.two import g\n@g\ndef f():\n    pass\n",
        "from ser_core.two import g\ndef f(g=g):\n    return g\n",
        "from ser_core.two import g\ndef f():\n    def inner():\n        return g()\n    return inner()\n",
        # The name is another's within the comprehension, the lambda or the inner function alone.
        "from ser_core.two import g\ndef f(x):\n    return [g for g in x], g()\n",
        "from ser_core.two import g\ndef f(x):\n    return (lambda g: g)(x), g()\n",
        "from ser_core.two import g\ndef f(x):\n    def inner(g):\n        return g\n    return inner(x), g()\n",
    ],
)
def test_code_is_followed_however_it_is_referred_to(made, source):
    handing = "from ser_core import two\nfrom ser_core.two import g\n"
    first = made(one=source, two=TWO.format(1), handing=handing)
    assert made(one=source, two=TWO.format(2), handing=handing) != first


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("from .two import g\ndef f():\n    return g()\n", "line 1: a relative import"),
        ("from ser_core.two import *\ndef f():\n    return g()\n", r"line 1: 'import \*'"),
        ("import ser_core.two\ndef f():\n    return ser_core.two.g()\n", "line 1: 'import ser_core.two' without 'as'"),
        ("try:\n    f = 1\nexcept ImportError:\n    f = 2\n", "line 1: 'Try' at the top of a module"),
        ("f = {}\nfor i in 'ab':\n    f[i] = 1\n", "line 2: 'For' at the top of a module"),
        ("f = {}\nf.update(a=1)\n", "line 2: 'Expr' at the top of a module"),
        ("from ser_core import two\ndef f(x):\n    return (two if x else None).g()\n", "'two', a module as a value"),
        (
            "def f(x):\n    if x:\n        from ser_core import two as m\n    else:\n"
            "        from ser_core import three as m\n    return m.g()\n",
            "'m', imported from two places by one definition",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(made, source, message):
    with pytest.raises(SerError, match=message) as error:
        made(one=source, two=TWO.format(1), three=TWO.format(2))
    assert "\n" not in str(error.value)


def test_definitions_of_one_name_are_told_apart(made):
    first = "from ser_core import {}, {}\ndef f():\n    return two.g() + 1, three.g()\n".format("two", "three")
    other = first.replace("two.g() + 1, three.g()", "three.g() + 1, two.g()")
    modules = {"two": TWO.format(1), "three": TWO.format(2)}
    assert made(one=first, **modules) != made(one=other, **modules)


def test_of_a_registry_one_entry_counts_only_where_it_is_one_literal(made):
    how = {"root": "one:f", "entries": {"one:f": "a"}}
    literal = "f = {'a': 1, 'b': 2}\n"
    first = made(one=literal, **how)
    assert made(one=literal.replace("2", "3"), **how) == first
    assert made(one=literal + "f['a'] = 4\n", **how) != first
    built = "def build(x):\n    return {'a': x}\n\n\nf = build(%d)\n"
    assert made(one=built % 1, **how) != made(one=built % 2, **how)
