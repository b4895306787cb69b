"""YAML that does not say one thing: keys that stand twice, aliases that explode, and what is no YAML."""

import pytest
import yaml

from ser_core import paths
from ser_core.book import chapters, literature
from ser_core.errors import SerError
from ser_core.files import yamlfile


def nested(levels):
    """A list of ten values, then ``levels`` lists that each repeat the one before ten times."""
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"]
    for level in range(1, levels + 1):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines)


def test_what_is_read_is_what_pyyaml_reads():
    for name in ("book/published.yaml", "book/ledger.yaml", "_config.yml", "experiments/ladder.yaml"):
        path = paths.repository() / name
        assert yamlfile.read(path) == yaml.safe_load(path.read_text())
    assert yamlfile.parse("", "x") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml, line 3: the key 'a' stands in line 1 too; keep one of them"),
        ("a:\n  b: {c: 1,\n      c: 2}", "f.yaml, line 3: the key 'c' stands in line 2 too; keep one of them"),
        ("- x: 1\n- x: 1\n  x: 2", "f.yaml, line 3: the key 'x' stands in line 2 too; keep one of them"),
        ("a: 1\n'a': 2", "f.yaml, line 2: the key 'a' stands in line 1 too; keep one of them"),
        # One key of a Python dict, in another spelling.
        ("10: x\n0xA: y", "f.yaml, line 2: the key '0xA' stands in line 1 too; keep one of them"),
        ("<<: {a: 1}\n<<: {b: 2}", "f.yaml, line 2: the key '<<' stands in line 1 too; keep one of them"),
    ],
)
def test_a_key_that_stands_twice_is_refused(text, message):
    with pytest.raises(SerError) as refusal:
        yamlfile.parse(text, "f.yaml")
    assert str(refusal.value) == message


def test_equal_keys_of_different_mappings_and_merged_ones_are_not_twice():
    assert yamlfile.parse("a: {c: 1}\nb: {c: 2}", "x") == {"a": {"c": 1}, "b": {"c": 2}}
    assert yamlfile.parse("a: &a {c: 1, d: 2}\nb: {<<: *a, c: 3}", "x")["b"] == {"c": 3, "d": 2}


def test_aliases_are_read_until_they_explode():
    # 10 values and a list, ten times: 110 repeated in the first level, 1110 in the second, 11110 in the third.
    assert len(yamlfile.parse(nested(2), "x")) == 3
    for levels in (3, 30, 300):
        with pytest.raises(SerError, match="^x: its aliases repeat more than 10000 values; write out what is meant$"):
            yamlfile.parse(nested(levels), "x")
    with pytest.raises(SerError, match="^x, line 2: an alias stands within what it repeats"):
        yamlfile.parse("a: 1\nb: &b [*b]", "x")


def test_many_values_without_aliases_are_read():
    assert len(yamlfile.parse(f"[{', '.join(['1'] * 20_000)}]", "x")) == 20_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "line 2: did not find expected node content"),
        ("a: b: c", "line 1: mapping values are not allowed in this context"),
        ("a: *b", "line 1: found undefined alias"),
        ("a: 1\n---\nb: 2", "line 2: but found another document"),
        ("? [a]\n: 1", "line 1: found unhashable key"),
        ("a: 2024-13-01", "month must be in 1..12"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: \x00", "control characters are not allowed"),
        ("[" * 2000 + "]" * 2000, "x: not valid YAML"),
    ],
)
def test_no_valid_yaml_is_one_line_that_says_where(text, reason):
    with pytest.raises(SerError, match="^x: not valid YAML ") as refusal:
        yamlfile.parse(text, "x")
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_lines_are_those_of_the_file_that_the_text_is_from(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: café".encode("latin-1"))
    with pytest.raises(SerError, match="latin.yaml: not valid YAML .not in UTF-8"):
        yamlfile.read(path)
    with pytest.raises(SerError, match="^x, line 5: the key 'a' stands in line 4 too"):
        yamlfile.parse("a: 1\na: 2", "x", above=3)
    with pytest.raises(SerError, match="^x: not valid YAML .line 4: "):
        yamlfile.parse("a: *b", "x", above=3)


@pytest.mark.parametrize(
    ("file", "use"), [("published", literature.published), ("ledger", lambda p: literature.ledger(path=p))]
)
def test_a_study_or_claim_that_stands_twice_is_refused(tmp_path, file, use):
    text = (paths.repository() / f"book/{file}.yaml").read_text()
    name = next(iter(yaml.safe_load(text)))
    first = text[: text.index(f"\n{name}:")].count("\n") + 2
    path = tmp_path / f"{file}.yaml"
    path.write_text(f"{text}\n{name}: {{}}\n")
    with pytest.raises(SerError, match=f"the key '{name}' stands in line {first} too; keep one of them"):
        use(path)


def test_a_chapter_whose_front_matter_has_a_key_twice_is_refused(tmp_path):
    text = (paths.repository() / "notebooks/01_datasets_and_leakage.md").read_text()
    path = tmp_path / "01_a.md"
    path.write_text(text.replace("---\n", "---\nkernelspec: {name: other}\n", 1))
    with pytest.raises(SerError, match=r"01_a.md, line \d+: the key 'kernelspec' stands in line 2 too"):
        chapters.read(path)
