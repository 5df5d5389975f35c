"""The work of a job: it counts the words of a text, in any language, piece by piece.

This file knows nothing of databases, queues or HTTP. The time grows in proportion to the length of
the text, also for a text that is made to be slow.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import nsmallest
from math import ceil

# A call of the re module holds Python's global lock until it returns, also in a thread. Small
# pieces of a millisecond or two let other threads run in between.
PIECE_SIZE = 16 * 1024  # characters
WORDS_PER_MINUTE = 200
TOP_WORDS = 10
LONGEST_WORD = 100  # characters; a longer word is compared and shown by its beginning

# Accents and vowel signs: characters that belong to the letter before them.
MARKS = "".join(
    character
    for character in map(chr, range(0x300, 0x10000))
    if unicodedata.category(character).startswith("M")
)
LETTER = re.compile(r"[^\W_]")
JOINERS = "'’‑-"  # join the parts of a word: don't, кто-то
# Letters and digits of any script. A `+` after a quantifier makes it possessive: the match never
# goes back, so nothing is tried twice.
PART = rf"[^\W_]++(?:[{MARKS}]++[^\W_]*+)*+"
WORD = re.compile(rf"{PART}(?:[{JOINERS}]{PART})*+")
# Where a piece may end, in this order.
BORDERS = (re.compile(r"\s"), re.compile(rf"[^\w{MARKS}{JOINERS}]"), re.compile(r"(?=[^\W_])"))
# (?<!…): a long row of dots is matched once, not again from each of its dots.
SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'»”’)\]]*+(?=\s)|[。！？]++")


@dataclass
class Counts:
    """The counts so far."""

    characters: int = 0
    sentences: int = 0
    lines: int = 0
    open_sentence: bool = False  # there are words after the last full stop
    open_word: bool = False  # the last piece ended within a word
    words: Counter[str] = field(default_factory=Counter)

    def add(self, piece: str) -> None:
        """Count the next piece of the text."""
        self.characters += len(piece)
        self.lines += piece.count("\n")
        counted = WORD.match(piece) if self.open_word else None
        end_of_word = counted.end() if counted else 0
        for word in WORD.finditer(piece, end_of_word):
            self.words[same_word(word[0])] += 1
            end_of_word = word.end()
        self.open_word = end_of_word > 0 and piece[end_of_word:] in ("", *JOINERS)
        start = 0
        for end in SENTENCE_END.finditer(piece):
            if self.open_sentence or LETTER.search(piece, start, end.start()):
                self.sentences += 1
            self.open_sentence = False
            start = end.end()
        if LETTER.search(piece, start):
            self.open_sentence = True


def same_word(word: str) -> str:
    """Return one form for all spellings of a word: any case, é as one or two characters."""
    return unicodedata.normalize("NFC", word[:LONGEST_WORD]).casefold()


def pieces(text: str) -> Iterator[str]:
    """Yield the text in pieces of one to two times `PIECE_SIZE` characters.

    A piece ends at a space. Without a space it ends between words, and within a word only when the
    word is longer than `PIECE_SIZE`. Then the next piece begins with a letter of the word.
    """
    start = 0
    while start < len(text):
        shortest, longest = start + PIECE_SIZE, start + 2 * PIECE_SIZE
        borders = (border.search(text, shortest, longest) for border in BORDERS)
        border = next(filter(None, borders), None)
        end = border.end() if border else longest
        yield text[start:end]
        start = end


def summarize(counts: Counts) -> dict[str, object]:
    """Return the result of a whole text, in the form of `JobResult`."""
    words = counts.words.total()
    # Words with the same count are in alphabetical order.
    top = nsmallest(TOP_WORDS, counts.words.items(), key=lambda item: (-item[1], item[0]))
    return {
        "characters": counts.characters,
        "words": words,
        "unique_words": len(counts.words),
        "sentences": counts.sentences + counts.open_sentence,
        "lines": counts.lines,
        "reading_time_seconds": ceil(words * 60 / WORDS_PER_MINUTE),
        "top_words": [{"word": word, "count": count} for word, count in top],
    }
