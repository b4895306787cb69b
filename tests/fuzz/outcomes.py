"""What came of an input: refused in a line, accepted, or wrong; counted by kind."""

from collections import Counter, defaultdict

from ser_core.errors import SerError

SEEN: dict[str, Counter] = defaultdict(Counter)


def tried(kind, call, *arguments, **named):
    """Return what a call gives, or None where it refuses; anything but a SerError of one line is wrong."""
    try:
        found = call(*arguments, **named)
    except SerError as error:
        SEEN[kind]["refused"] += 1
        assert str(error).strip(), "a refusal without a word"
        return None
    except BaseException:
        SEEN[kind]["wrong"] += 1
        raise
    SEEN[kind]["accepted"] += 1
    return found


def told(kind, done):
    """Assert that a command ended as it should: no traceback, one line where it refuses; return whether it did not."""
    SEEN[kind]["wrong"] += 1  # until the end is reached
    assert done.code in (0, 1, 2), done.err
    assert "Traceback" not in done.err + done.out and "internal fault" not in done.err, done.err
    assert not any(letter in done.err + done.out for letter in "\x1b\x9b\u202e"), "it acts on the terminal"
    if done.code == 2:
        # Typer draws its own box around what is wrong with an option.
        own = done.err.startswith(("Usage:", "\N{BOX DRAWINGS LIGHT ARC DOWN AND RIGHT}"))
        assert done.out == "" and (own or done.err.strip().splitlines()[-1].startswith("ser: ")), done.err
        assert own or sum(line.startswith("ser: ") for line in done.err.splitlines()) == 1, done.err
    SEEN[kind]["wrong"] -= 1
    SEEN[kind]["refused" if done.code == 2 else "accepted"] += 1
    return done.code != 2
