"""Tables of bad input that was written by hand."""

import pytest


def table(text):
    """Return a table of inputs: a name, a bar, what is written, with \\n and the like as in Python; one a line."""
    lines = [line.partition("|")[::2] for line in text.strip().splitlines()]
    written = {name.strip(): rest.strip().encode("latin-1", "backslashreplace") for name, rest in lines}
    assert len(written) == len(lines), "a name stands twice"
    return {name: rest.decode("unicode_escape") for name, rest in written.items()}


def each(inputs):
    return pytest.mark.parametrize("given", inputs.values(), ids=inputs)
