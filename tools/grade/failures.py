"""Puts the failure of a test into words: the request, the expected answer, the answer.

Readers of a report need not know pytest. So it shows no `assert`, no `<object at 0x7f…>` and no
body of kilobytes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from http import HTTPStatus

import httpx

from course.harness import driver
from course.harness.exchange import FRAMES, RECENT, UNANSWERED, Exchange, path_of

LONGEST = 300  # characters of anything that is shown

_NAMELESS = re.compile(r"<object object at 0x[0-9a-fA-F]+>")
_ADDRESS = re.compile(r" (?:object )?at 0x[0-9a-fA-F]+")
_EXPECTED_GOT = re.compile(r"expected (.+?), got (.*)", re.DOTALL)
_STATUS = re.compile(r"[1-5]\d\d\b")
_RESPONSE = re.compile(r"^<Response \[(\d{3})[^\]]*\]>$")
_OPERATORS = {
    " == ": "{}", " != ": "anything but {}", " not in ": "", " in ": "",
    " is not ": "anything but {}", " is ": "{}",
    " <= ": "at most {}", " >= ": "at least {}", " < ": "less than {}", " > ": "more than {}",
}  # fmt: skip
_SENT_FRAMES = ("> GET ", "> TEXT", "> BINARY", "> PING", "> CLOSE")
_NOTHING = ("[]", "{}", "set()", "()", "''")
_EXTRA = re.compile(r"Left contains (?:one|\d+) more items?(?:, first extra item)?: (.+)")
_DIFFERENT = re.compile(r"At index \d+ diff: (.+) != (.+)")
_DIFFERENT_ITEMS = re.compile(r"(.+) != (.+)")
_LISTED = 3  # lines after a title
_READ = 4_000  # characters of pytest's message


def explain(error: BaseException, message: str) -> tuple[str, str]:
    """Return the expected and the actual result; expected is empty when the test's name says it."""
    text = message.partition(": ")[2] or message
    waited = asked_last()
    match error:
        case httpx.TimeoutException() | TimeoutError():
            return _answer_to(waited), f"nothing within {driver.ANSWER_WITHIN:.0f} s"
        case httpx.ConnectError() | ConnectionRefusedError():
            return _answer_to(waited), "no server listens there any more"
        case httpx.TransportError() | ConnectionError():
            return _answer_to(waited), f"the connection broke: {text}"
        case httpx.TooManyRedirects():
            return _answer_to(waited), "endless redirects"
        case KeyError():
            return f"{error} in the answer", answered_last() or "an answer without it"
        case ValueError() if "JSONDecodeError" in message.partition(":")[0]:
            return "JSON", RECENT[-1].answered() if RECENT else ""
        case TypeError() | IndexError() | AttributeError() | ValueError():
            return "an answer in the form of the contract", answered_last()
    if type(error).__module__.startswith("websockets"):
        return "an open socket", text
    if "pytest-timeout" in message:
        return _answer_to(waited), "nothing before the test's time limit"
    if message.startswith(("Failed: not received", "AssertionError: not received")):
        wanted, _, received = text.partition("; received: ")
        return f"a frame {wanted.removeprefix('not received ')}", f"received: {received or '[]'}"
    return _of_assertion(text)


def asked_last() -> str:
    """Return the request that got no answer; otherwise the last request."""
    if UNANSWERED:
        return str(next(iter(UNANSWERED.values())))
    unanswered = [exchange for exchange in RECENT if exchange.status is None]
    last = unanswered[-1:] or list(RECENT)[-1:]
    return f"{last[0].method} {path_of(last[0].url)}" if last else ""


def answered_last() -> str:
    """Return the last answer on one line."""
    return RECENT[-1].answered() if RECENT else ""


def exchange_of(error: BaseException, got: str) -> Exchange | None:
    """Return the exchange of a failure: the last one with the actual status."""
    if not RECENT or is_of_a_socket(error):
        return None
    if isinstance(error, httpx.TransportError):
        unanswered = [exchange for exchange in RECENT if exchange.status is None]
        return (unanswered or [RECENT[-1]])[-1]
    found = _STATUS.match(got)
    same = [exchange for exchange in RECENT if found and exchange.status == int(found[0])]
    return (same or [RECENT[-1]])[-1]


def sent_of(exchange: Exchange | None) -> str:
    """Return the requests on one line; the one that waits for its answer comes first."""
    if UNANSWERED:
        return str(next(iter(UNANSWERED.values())))
    if exchange is not None:
        return exchange.sent()
    frames = [frame for frame in FRAMES if frame.startswith(_SENT_FRAMES)]
    return frames[-1].removeprefix("> ") if frames else ""


def is_of_a_socket(error: BaseException) -> bool:
    """Return whether it is about a WebSocket and not about a request."""
    return type(error).__module__.startswith("websockets") or "not received in" in str(error)


def got_of(exchange: Exchange | None, got: str) -> str:
    """Return the actual result: a status with its body; otherwise the last answer."""
    if exchange is None or exchange.status is None:
        return got
    if not got or got == str(exchange.status):
        return exchange.answered()
    return got


def expected_of(expected: str) -> str:
    """Return the expected result; a status with its name: `404 Not Found`."""
    if _STATUS.fullmatch(expected):
        known = {str(status.value): status.phrase for status in HTTPStatus}
        return f"{expected} {known.get(expected, '')}".strip()
    return expected


def short(text: str, longest: int = LONGEST) -> str:
    """Return the text without memory addresses, and shortened."""
    text = _ADDRESS.sub("", _NAMELESS.sub("something else", text)).strip()
    return text if len(text) <= longest else text[:longest].rstrip() + " …"


def _answer_to(request: str) -> str:
    return f"an answer to {request}" if request else "an answer"


def _of_assertion(text: str) -> tuple[str, str]:
    """Return the expected and the actual value of an `AssertionError`."""
    lines = text[:_READ].splitlines()
    at = next((n for n, line in enumerate(lines) if line.startswith("assert ")), None)
    said = " ".join(lines[:at]).strip().removeprefix("AssertionError")
    if found := _EXPECTED_GOT.search(said):
        return found[1], found[2]
    compared = None if at is None else _of_comparison(lines[at].removeprefix("assert "))
    if compared is None:
        return "", said
    expected, got = compared
    if expected in _NOTHING:
        found = _EXTRA.search(text[:_READ])
        expected, got = "nothing", found[1] if found else got
    elif "..." in expected + got:  # pytest left out the middle of a long value
        expected, got = _difference(lines) or (expected, got)
    return expected, f"{got} ({said})" if said else got


def _difference(lines: Sequence[str]) -> tuple[str, str] | None:
    """Return the first difference of two collections in pytest's explanation, or None."""
    for number, line in enumerate(lines):
        listed = [one.strip() for one in lines[number + 1 : number + 1 + _LISTED] if one.strip()]
        following = listed[0] if listed else ""
        if found := _DIFFERENT.search(line) or (
            _DIFFERENT_ITEMS.search(following) if "Differing items:" in line else None
        ):
            return found[2], found[1]
        if re.search(r"Right contains .+ items?:|Extra items in the right set:", line):
            return f"{following} in it", "an answer without it"
        if re.search(r"Left contains .+ items?:|Extra items in the left set:", line):
            return "nothing else", following
    return None


def _of_comparison(source: str) -> tuple[str, str] | None:
    """Return the expected and the actual value of a comparison, or None if they do not help."""
    for operator in _OPERATORS:
        for found in re.finditer(re.escape(operator), source):
            left, right = source[: found.start()], source[found.end() :]
            if _balanced(left) and _balanced(right):
                return _of_sides(_plain(left), operator, _plain(right))
    if source.startswith("not "):
        value = _plain(source.removeprefix("not "))
        return ("nothing", value) if _is_value(value) else None
    return None


def _of_sides(left: str, operator: str, right: str) -> tuple[str, str] | None:
    if not (_is_value(left) or _is_value(right)):
        return None
    if words := _OPERATORS[operator]:
        return words.format(right), left
    is_choice = (right[:1] in "({" and not left.startswith(("'", '"'))) or _is_set(right)
    if operator == " in ":
        return (f"one of {right}", left) if is_choice else (f"{left} in it", right)
    return (f"anything but {right}", left) if is_choice else (f"no {left} in it", right)


def _plain(value: str) -> str:
    """Return a value for a reader: a response as its status."""
    found = _RESPONSE.match(value.strip())
    return found[1] if found else value.strip()


def _is_value(text: str) -> bool:
    """Return whether it is a value and not an expression of the test's source."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        # pytest shortens long values, so the beginning decides.
        return text[:1] in "'\"[{(-0123456789" or text[:2] in ("b'", 'b"')
    return True


def _is_set(text: str) -> bool:
    try:
        return isinstance(ast.literal_eval(text), set | frozenset | tuple)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _balanced(text: str) -> bool:
    """Return whether all brackets and quotes are closed, so that an operator may follow."""
    pairs, open_brackets, quote, escaped = {")": "(", "]": "[", "}": "{"}, list[str](), "", False
    for character in text:
        if quote:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in "([{":
            open_brackets.append(character)
        elif character in pairs and (not open_brackets or open_brackets.pop() != pairs[character]):
            return False
    return not quote and not open_brackets
