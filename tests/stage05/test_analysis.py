"""Requirement 5.2: the counts of the analysis, in every language."""

import unicodedata

import pytest

from course.harness.driver import Api
from course.harness.memory import MIB
from tests.stage05.jobs import analysed, submit_file, succeeded

pytestmark = pytest.mark.craft

RUSSIAN = "Мороз и солнце; день чудесный!\nЕщё ты дремлешь, друг прелестный."

# Texts with a special feature: words, different words, sentences, lines. The generated texts
# of `test_made_up_texts.py` define a word.
COUNTS: dict[str, tuple[str, tuple[int, int, int, int]]] = {
    "English": ("The cat saw the other cat. It ran away!", (9, 7, 2, 1)),
    "Russian": (RUSSIAN, (10, 10, 2, 2)),
    "mixed scripts": ("Hello мир, γειά σου! Hello МИР?", (6, 4, 2, 1)),
    "CRLF": ("One two.\r\nThree four.\r\n", (4, 4, 2, 2)),
    "emoji": ("Hello 👋🏽 world 👨‍👩‍👧‍👦!", (2, 2, 1, 1)),
    "only punctuation": ("... !!! ??? --- ''", (0, 0, 0, 1)),
    "no full stop": ("A first sentence. A second one", (6, 5, 2, 1)),
    "many marks": ("What?! No... Yes!!!", (3, 3, 3, 1)),
    "quotes": ("«Привет!» Да. (Нет.) Ну", (4, 4, 4, 1)),
    "a blank line": ("One.\n\nTwo.", (2, 2, 2, 3)),
    "a space before": ("  \n one", (1, 1, 1, 2)),
    "signs": ("a + b = c/d", (4, 4, 1, 1)),
}


# Counts on which all definitions agree: words, and different words with or without case.
PLAIN: dict[str, tuple[str, int, set[int]]] = {
    "English": ("The cat saw the other cat. It ran away!", 9, {7, 8}),
    "Russian": (RUSSIAN, 10, {10}),
    "Russian in two cases": ("Ёж ёж ЁЖ", 3, {1, 3}),
    "mixed scripts": ("Hello мир, γειά σου!", 4, {4}),
    "apostrophes": ("Don't say it isn't so.", 5, {5}),
    "one word": ("word", 1, {1}),
    "punctuation": ("cat, dog – cat; bird: cat!", 5, {3}),
}


@pytest.mark.requirement("5.2")
@pytest.mark.contract("J2", "J10")
@pytest.mark.every_variant
@pytest.mark.parametrize("kind", PLAIN)
def test_words_and_lines_of_a_plain_text_are_counted(api: Api, kind: str) -> None:
    text, words, unique_words = PLAIN[kind]
    result = analysed(api, text)
    assert result["words"] == words, result
    assert result["unique_words"] in unique_words, result
    assert result["characters"] == len(text)
    assert result["lines"] == text.count("\n") + 1
    assert result["sentences"] >= 1
    assert result["reading_time_seconds"] >= 0


@pytest.mark.requirement("5.2")
@pytest.mark.contract("J2")
def test_the_top_words_start_with_the_most_frequent(api: Api) -> None:
    top = analysed(api, "мир мир peace мир peace war")["top_words"]
    assert top[:2] == [{"word": "мир", "count": 3}, {"word": "peace", "count": 2}]
    counts = [one["count"] for one in top]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.requirement("5.2")
@pytest.mark.parametrize("kind", COUNTS)
def test_words_sentences_and_lines_are_counted(api: Api, kind: str) -> None:
    text, expected = COUNTS[kind]
    result = analysed(api, text)
    counted = tuple(result[name] for name in ("words", "unique_words", "sentences", "lines"))
    assert counted == expected, result
    assert result["characters"] == len(text)
    assert sum(top["count"] for top in result["top_words"]) <= result["words"]


@pytest.mark.requirement("5.2")
def test_a_word_keeps_its_apostrophe_and_its_hyphen(api: Api) -> None:
    top = analysed(api, "Don't DON'T кто-то Кто-то Кто-ТО")["top_words"]
    assert top == [{"word": "кто-то", "count": 3}, {"word": "don't", "count": 2}]


@pytest.mark.requirement("5.2")
def test_a_letter_is_the_same_in_either_unicode_form_of_its_accent(api: Api) -> None:
    text = "Café ёлка й Ångström, café Ёлка."
    together, apart = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert together != apart
    results = [analysed(api, one) for one in (together, apart, f"{together} {apart}")]
    for result in results:
        assert result["unique_words"] == 4
    assert results[0]["top_words"] == results[1]["top_words"]
    assert results[2]["top_words"][0]["count"] == 4


@pytest.mark.requirement("5.2")
def test_the_top_words_are_the_ten_most_frequent_in_order(api: Api) -> None:
    frequent = [f"w{chr(ord('a') + number)}" for number in range(12)]
    text = " ".join(word for number, word in enumerate(frequent) for _ in range(12 - number))
    top = analysed(api, text)["top_words"]
    assert top == [{"word": frequent[number], "count": 12 - number} for number in range(10)]


@pytest.mark.requirement("5.2")
def test_equally_frequent_words_are_sorted_alphabetically(api: Api) -> None:
    top = analysed(api, "pear apple Яблоко fig груша fig Apple pear")["top_words"]
    expected = [("apple", 2), ("fig", 2), ("pear", 2), ("груша", 1), ("яблоко", 1)]
    assert [(one["word"], one["count"]) for one in top] == expected


@pytest.mark.requirement("5.2")
@pytest.mark.parametrize(("words", "seconds"), [(1, 1), (3, 1), (4, 2), (200, 60), (201, 61)])
def test_the_reading_time_is_a_minute_for_200_words(api: Api, words: int, seconds: int) -> None:
    result = analysed(api, "word " * words)
    assert result["words"] == words
    assert result["reading_time_seconds"] == seconds


@pytest.mark.requirement("5.2")
def test_a_text_without_words_has_a_reading_time_of_zero(api: Api) -> None:
    assert analysed(api, "…")["reading_time_seconds"] == 0


@pytest.mark.requirement("5.2")
@pytest.mark.own_stage("app/jobs/")
def test_a_large_text_is_counted_without_errors_between_chunks(api: Api) -> None:
    sentence = "Длинный don't-stop текст: 'раз' и \"два\".\r\n"
    times = 2 * MIB // len(sentence.encode())
    result = succeeded(api, submit_file(api, (sentence * times).encode())["id"])["result"]
    assert result["characters"] == len(sentence) * times
    assert result["words"] == 6 * times
    assert result["unique_words"] == 6
    assert result["sentences"] == result["lines"] == times
    assert {top["count"] for top in result["top_words"]} == {times}


@pytest.mark.requirement("5.2")
def test_characters_after_the_last_word_do_not_add_a_sentence(api: Api) -> None:
    assert analysed(api, "word " * 20_000 + "* " * 100_000)["sentences"] == 1


@pytest.mark.requirement("5.2")
def test_a_huge_word_is_counted_as_one_word(api: Api) -> None:
    text = "ы" * 500_000
    result = analysed(api, text)
    assert (result["words"], result["unique_words"], result["sentences"]) == (1, 1, 1)
    assert result["characters"] == len(text)
    (top,) = result["top_words"]
    assert top["count"] == 1
    assert text.startswith(top["word"].rstrip("….")[:50])
