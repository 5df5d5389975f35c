"""The texts of the loop, in English and Russian."""

from __future__ import annotations

_RUSSIAN = {
    "Stage {number}: {title}": "Этап {number}: {title}",
    "Your directory": "Ваша папка",
    "The lesson": "Урок",
    "to do": "не начато",
    "in work": "в работе",
    "passed": "есть",
    "Now": "Сейчас",
    "Write": "Написать",
    "{row} passes ({seconds:.1f} s)": "{row}: готово ({seconds:.1f} с)",
    "{row} waits for {other}: go on with {other}": "{row} ждёт {other}: сначала {other}",
    "{row} does not pass yet ({passed} of {of} tests, {seconds:.1f} s)": (
        "{row}: пока нет (проверок: {passed} из {of}, {seconds:.1f} с)"
    ),
    "{row}: no test of the contract. Compare it: `compare`": (
        "{row}: в контракте нет проверки. Сравните с решением: `compare`"
    ),
    "{row} is not begun ({seconds:.1f} s)": "{row}: ещё не начато ({seconds:.1f} с)",
    "{row} was passed and fails now": "{row} было готово, а теперь не проходит",
    "The server does not start ({seconds:.1f} s)": "Сервер не запускается ({seconds:.1f} с)",
    "must hold": "должно быть",
    "hint": "подсказка",
    "No further hint. The lesson explains it: {place}": "Подсказок больше нет. См. урок: {place}",
    "To see the solution before the row passes, ask once more.": (
        "Решение до прохождения: спросите ещё раз."
    ),
    "Restored from the starter: {paths}. Your text is in {kept}.": (
        "Возвращено как в заготовке: {paths}. Ваш текст в {kept}."
    ),
    "Nothing to restore.": "Возвращать нечего.",
    "All rows of stage {number} pass. Next: python3 noxfile.py learn {next}": (
        "Все требования этапа {number} выполнены. Дальше: python3 noxfile.py learn {next}"
    ),
    "All rows of stage {number} pass. That was the last starter.": (
        "Все требования этапа {number} выполнены. Это была последняя заготовка."
    ),
    "Your progress is saved. To continue: python3 noxfile.py learn": (
        "Всё сохранено. Продолжить: python3 noxfile.py learn"
    ),
    "Checking all rows …": "Проверяю все требования …",
    "Checking …": "Проверяю …",
    "keys": "клавиши",
    "hint, all, list, lesson, compare, reset, quit": (
        "hint — подсказка, all — проверить всё, list — список, lesson — урок, "
        "compare — решение, reset — начать часть заново, quit — выход"
    ),
    "type a word and Enter": "слово и Enter",
    "There is no command {word}.": "Нет команды {word}.",
}


def say(text: str, language: str, **values: object) -> str:
    """Return the text in this language, with the values in their places."""
    said = _RUSSIAN[text] if language == "ru" else text
    return said.format(**values)
