"""The command line of the noxfile: a session's name and its words, without `-s` and `--`.

Only the standard library is used: the noxfile imports this before any environment exists.
"""

from __future__ import annotations

from collections.abc import Sequence


def nox_arguments(words: Sequence[str]) -> list[str]:
    """Return the arguments of nox for the words that a person typed.

    Words that begin with a session's name, such as `starter 3 ../mine`, become nox's own form,
    `-s starter -- 3 ../mine`. Words that begin with an option are in that form already.
    """
    if not words or words[0].startswith("-"):
        return list(words)
    session, *rest = words
    return ["-s", session, "--", *(rest[1:] if rest[:1] == ["--"] else rest)]
