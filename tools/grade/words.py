"""The words of a report, in English and in Russian.

Texts of a test or a server stay unchanged; only the words around them (`at least 3`) are
translated.
"""

from __future__ import annotations

import re

LANGUAGES = ("en", "ru")

_RUSSIAN = {
    "pass": "есть",
    "fail": "нет",
    "blocked": "ждёт",
    "not checked": "не проверено",
    "error": "сбой проверки",
    "to do": "не начато",
    "waiting": "ждёт",
    "waiting for": "ждёт",
    "{run} run, {failed} failed": "запущено {run}, не прошло {failed}",
    "{failing} failing": "не проходит {failing}",
    "{before} → {failing} failing": "не проходит {before} → {failing}",
    "In work: {passed} of {run} tests pass": "В работе: проходит {passed} из {run} проверок",
    "({seconds} s)": "({seconds} с)",
    "The suggestions are not complete: {left} of their tests were not run.": (
        "Советы не полны: проверок для них не выполнено: {left}."
    ),
    "The server ended {times} × while it was graded (exit code {codes}).": (
        "Сервер завершался во время проверки: {times} × (код {codes})."
    ),
    "The command has no {{port}}: the server must read the port from PORT.": (
        "В команде нет {{port}}: порт сервер должен был взять из PORT."
    ),
    "Rows that need control of the weather are not checked. To check them, run `python3 "
    "noxfile.py fake-weather` in the course's directory, start your server with the settings that "
    "it prints, and grade again.": (
        "Требования, которым нужно управлять погодой, не проверены. Чтобы проверить, запустите в "
        "каталоге курса `python3 noxfile.py fake-weather`, затем свой сервер с настройками, "
        "которые она напечатает, и повторите проверку."
    ),
    "Rows that need an administrator are not checked. To check them, start your server with "
    "FIRST_ADMIN_USERNAME and FIRST_ADMIN_PASSWORD, and give the same values to --admin-username "
    "and --admin-password.": (
        "Требования, которым нужен администратор, не проверены. Чтобы проверить, запустите свой "
        "сервер с FIRST_ADMIN_USERNAME и FIRST_ADMIN_PASSWORD и передайте те же значения в "
        "--admin-username и --admin-password."
    ),
    "Not begun": "Ещё не начато",
    "Since the last grade": "С прошлой проверки",
    "Nothing has changed since the last grade.": "С прошлой проверки ничего не изменилось.",
    "sent": "отправлено",
    "exception": "исключение",
    "About the requirement": "О требовании",
    "Your code raised an exception: start at": "Ваш код вызвал исключение: начните с",
    "The curl commands need your own server. Start it with": (
        "Командам curl нужен ваш сервер. Запустите его так"
    ),
    "A quick look runs a part of the tests; --thorough runs all.": (
        "Быстрая проверка выполняет часть проверок, --thorough — все."
    ),
    "advice, no points": "совет, без баллов",
    "tests": "проверок",
    "row": "требование",
    "Changed": "Изменено",
    "grading again": "проверяю снова",
    "Checking the rows that failed first": "Сначала проверяются требования, которые не выполнены",
    "These rows now": "Эти требования теперь",
    "Checking the other rows": "Проверяю остальные требования",
    "passes so far": "пока проходит",
    "Results by learner": "Результаты по ученикам",
    "Contents": "Содержание",
    "back to the table": "к таблице",
    "Meaning of the marks": "Что значат знаки",
    "more": "ещё",
    "Ending the servers": "Завершаю серверы",
    "Stage": "Этап",
    "requirement": "требование",
    "result": "результат",
    "earned": "получено",
    "checkable": "можно проверить",
    "total": "всего",
    "Sum": "Итого",
    "Regressions in earlier stages": "Сломано из прежних этапов",
    "Failed requirements": "Невыполненные требования",
    "must hold": "должно выполняться",
    "contract": "договор",
    "Craft": "Мастерство",
    "suggestion": "совет",
    "suggestions": "советов",
    "The contract does not require these, and they cost no points.": (
        "Договор этого не требует, баллов это не снимает."
    ),
    "the contract does not cover it: only suggestions are possible (--strict counts them)": (
        "в договоре об этом ничего нет: возможны только советы (--strict учитывает их)"
    ),
    "expected": "ожидалось",
    "got": "получено",
    "to repeat it": "чтобы повторить",
    "the exchange": "обмен",
    "over WebSocket": "по WebSocket",
    "the server's log": "журнал сервера",
    "Hint": "Подсказка",
    "Not started yet: look for": "Ещё не начато: найдите",
    "You get the next hint when the row fails in another way, or with --hint 2 or --hint 3.": (
        "Следующая подсказка появится, когда требование нарушено иначе, или с --hint 2 или --hint "
        "3."
    ),
    "blocked by": "сначала",
    "more failures of this row": "и ещё случаев",
    "of": "из",
    "The solution could not be graded": "Проверить не удалось",
    "Nothing was counted. If the log shows an error of the solution, correct that error.": (
        "Ничего не засчитано. Если в журнале есть ошибка решения, исправьте её."
    ),
    "Some requirements could not be graded": "Некоторые требования проверить не удалось",
    "Tests that did not run were not counted.": "Проверки, которые не запускались, не засчитаны.",
    "End of the server's log": "Конец журнала сервера",
    "the token is yours to set": "свой токен подставьте сами",
    "learner": "ученик",
    "The server was given": "Серверу передано",
    "needs the source of the app": "нужен исходный код",
    "needs control of the server process": "нужно управлять процессом сервера (--cmd)",
    "not looked at: needs --cmd": "не проверялось: нужен --cmd",
    "partly checked: the rest needs --cmd": "проверено частично: для остального нужен --cmd",
    "the server does not sign its tokens with the JWT_SECRET it was given": (
        "сервер подписывает токены не тем JWT_SECRET, который ему передан"
    ),
    "the server rejects every token that it did not issue itself": (
        "сервер отклоняет все токены, которые выпустил не сам"
    ),
    "needs the course's own app, since the test reads its database and log": (
        "нужно приложение курса: проверка смотрит в его базу и журнал"
    ),
    "needs the course's own app, since the test starts it with other settings": (
        "нужно приложение курса: проверка запускает его с другими настройками"
    ),
    "needs control of the weather provider (--weather-control-url)": (
        "нужно управлять поставщиком погоды (--weather-control-url)"
    ),
    "needs an administrator (--admin-username and --admin-password)": (
        "нужен администратор (--admin-username и --admin-password)"
    ),
    "needs users, and this server has none": "нужны пользователи, а у этого сервера их нет",
    "takes longer than a quick look (--thorough)": "дольше быстрой проверки (--thorough)",
    "this server asks the other provider": "сервер спрашивает другого поставщика",
}


_VALUES = (
    (r"an answer to (.+)", "ответ на {}"),
    (r"an answer", "ответ"),
    (r"an answer in the form of the contract", "ответ в форме договора"),
    (r"an answer without it", "ответ без этого"),
    (r"nothing within (.+) s", "ничего за {} с"),
    (r"nothing before the test's time limit", "ничего, пока не вышло время проверки"),
    (r"no server listens there any more", "там больше не слушает ни один сервер"),
    (r"the connection broke: (.+)", "соединение оборвалось: {}"),
    (r"endless redirects", "бесконечные перенаправления"),
    (r"an open socket", "открытый сокет"),
    (r"a frame in (.+) s", "кадр за {} с"),
    (r"received: (.+)", "получено: {}"),
    (r"no answer: (.+)", "нет ответа: {}"),
    (r"one of (.+)", "одно из {}"),
    (r"anything but (.+)", "что угодно, кроме {}"),
    (r"at most (.+)", "не больше {}"),
    (r"at least (.+)", "не меньше {}"),
    (r"less than (.+)", "меньше {}"),
    (r"more than (.+)", "больше {}"),
    (r"no (.+) in it", "внутри нет {}"),
    (r"(.+) in it", "внутри есть {}"),
    (r"(.+) in the answer", "{} в ответе"),
    (r"nothing", "ничего"),
    (r"nothing else", "ничего больше"),
)


def say_value(text: str, language: str) -> str:
    """Return an expected or actual value, with our own words around it in this language."""
    if language == "ru":
        for pattern, russian in _VALUES:
            if found := re.fullmatch(pattern, text, re.DOTALL):
                return russian.format(*found.groups())
    return text


def say(word: str, language: str) -> str:
    """Return a word of a report in this language; an unknown word stays English."""
    return _RUSSIAN.get(word, word) if language == "ru" else word


def tell(sentence: str, language: str, **values: object) -> str:
    """Return a sentence of a report in this language, with these values in it."""
    return say(sentence, language).format(**values)
