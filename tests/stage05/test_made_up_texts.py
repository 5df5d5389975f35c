"""Requirement 5.2: for any text the analysis equals a simple count (hypothesis)."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from course.harness.driver import Api
from course.harness.made_up import made_up
from tests.stage05.jobs import analysed

pytestmark = pytest.mark.craft

JOINERS = "'’-\N{NON-BREAKING HYPHEN}"
LONGEST_WORD = 100  # characters of a word that the app compares
SEVERAL_CHUNKS = 33_000  # characters: too many for one chunk of the app

CHARACTERS = st.one_of(
    st.sampled_from(f"aé7_ \n.!{JOINERS}ёЖß\u0301\u0308नमस्ते"),
    # The app recognizes accents and vowel signs only in the first Unicode plane.
    st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="\0"),
)
SHORT = st.text(CHARACTERS, min_size=1, max_size=60).filter(str.strip)
LONG = SHORT.map(lambda text: (text * SEVERAL_CHUNKS)[:SEVERAL_CHUNKS])


def is_mark(character: str) -> bool:
    """Return whether the character is an accent or a vowel sign of the letter before it."""
    return unicodedata.category(character).startswith("M")


def words_of(text: str) -> list[str]:
    """Return the words, found character by character."""
    words, word = list[str](), ""
    for place, character in enumerate(text):
        may_go_on = word != "" and word[-1] not in JOINERS
        joins = character in JOINERS and text[place + 1 : place + 2].isalnum()
        if character.isalnum() or (may_go_on and (is_mark(character) or joins)):
            word += character
        elif word:
            words.append(word)
            word = ""
    return [*words, word] if word else words


@pytest.mark.requirement("5.2")
@pytest.mark.own_stage
@pytest.mark.usefixtures("launched_server")
@made_up(examples=60)
@given(text=st.one_of(SHORT, LONG))
@example(text="don't" * 8_001)  # one word, so the end of a chunk splits it
@example(text="a_" * 20_000)
@example(text="a\u0301b--" * 9_000)
def test_the_counts_of_any_text_equal_a_simple_count(api: Api, text: str) -> None:
    words = words_of(text)
    apart = Counter(unicodedata.normalize("NFC", word[:LONGEST_WORD]).casefold() for word in words)
    result = analysed(api, text)
    assert result["words"] == len(words)
    assert result["unique_words"] == len(apart)
    assert result["characters"] == len(text)
    assert result["lines"] == len(text.removesuffix("\n").split("\n"))
    assert min(1, len(words)) <= result["sentences"] <= len(words)
    top = [(one["word"], one["count"]) for one in result["top_words"]]
    assert top == sorted(apart.items(), key=lambda item: (-item[1], item[0]))[:10]
