"""The words of a report, in English and in Russian.

What a test or a server says (expected, got) stays as it was said.
"""

from __future__ import annotations

LANGUAGES = ("en", "ru")

_RUSSIAN = {
    "pass": "есть",
    "fail": "нет",
    "blocked": "ждёт",
    "not checked": "не проверено",
    "error": "сбой проверки",
    "Stage": "Этап",
    "requirement": "требование",
    "result": "результат",
    "earned": "получено",
    "checkable": "можно проверить",
    "total": "всего",
    "Sum": "Итого",
    "Regressions in earlier stages": "Сломано из прежних этапов",
    "What is wrong": "Что не так",
    "must hold": "должно выполняться",
    "contract": "договор",
    "Craft": "Мастерство",
    "suggestion": "совет",
    "suggestions": "советов",
    "The contract does not ask for these, and they cost nothing.": (
        "Договор этого не требует, на оценку это не влияет."
    ),
    "the contract says nothing of it: there are suggestions at most (--strict counts them)": (
        "в договоре об этом ничего нет: возможны только советы (--strict учитывает их)"
    ),
    "expected": "ожидалось",
    "got": "получено",
    "to repeat it": "чтобы повторить",
    "the exchange": "обмен",
    "over WebSocket": "по WebSocket",
    "the server's log": "журнал сервера",
    "Hint": "Подсказка",
    "Not begun yet: look for": "Ещё не начато: найдите",
    "The next hint comes when a row fails in another way, or by --hint 2 and --hint 3.": (
        "Следующая подсказка — когда требование нарушено иначе, или по --hint 2 и --hint 3."
    ),
    "blocked by": "сначала",
    "more failures of this row": "и ещё случаев",
    "tests of the row were run; --thorough runs more": (
        "проверок требования выполнено; --thorough выполнит больше"
    ),
    "of": "из",
    "It could not be graded": "Проверить не удалось",
    "Nothing was counted. If the log shows an error of the solution, that is its own.": (
        "Ничего не засчитано. Если в журнале ошибка решения, то она его собственная."
    ),
    "Not all of it could be graded": "Проверить удалось не всё",
    "What was not run was not counted.": "Что не запускалось, то не засчитано.",
    "The server's log ends": "Конец журнала сервера",
    "the token is yours to set": "свой токен подставьте сами",
    "learner": "ученик",
    "The server was given": "Серверу передано",
    "needs the source of the app": "нужен исходный код",
    "needs control of the server process": "нужно управлять процессом сервера (--cmd)",
    "needs the course's own app, to look into its database and log": (
        "нужно приложение курса: проверка смотрит в его базу и журнал"
    ),
    "needs the course's own app, to start it with other settings": (
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


def say(word: str, language: str) -> str:
    """Return a word of a report in this language; what is not known stays English."""
    return _RUSSIAN.get(word, word) if language == "ru" else word
