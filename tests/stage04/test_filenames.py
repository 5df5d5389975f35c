"""Requirement 4.3: a file name is text to show. It is never a path, a header or markup."""

import re
import unicodedata

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.server import LaunchedServer
from tests.stage04.pictures import png
from tests.stage04.storage import files_in, media_of
from tests.stage04.uploads import list_images, upload

pytestmark = pytest.mark.craft

INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, and line separators
LONGEST = 255  # characters that every file system and the table can store

PLAIN = [
    *("photo.png", "My photo (1).png", "кот.png", "写真.png", "🥛.png", "é.png", "no extension"),
    *("a;b.png", "a'b.png", "a=b&c.png", "%41%00.png", "a%2Fb.png", ".hidden", "..", "CON", "-rf"),
    *("👩‍👩‍👧.png", "🏳️‍🌈.png", "👋🏽.png", "❤️‍🔥.png", "می‌خواهم.png", "ශ්‍රී.png", "ёлка — 1.png"),
    *("<script>alert(1)</script>.png", "{{7*7}}.png", "$(id).png", "x.png.html", "x.php"),
]


EVERYDAY = {"photo.png", "My photo (1).png", "кот.png", "写真.png", "no extension"}


@pytest.mark.requirement("4.3")
@pytest.mark.contract("I1", "I3")
@pytest.mark.parametrize("name", variants(PLAIN, craft=set(PLAIN) - EVERYDAY))
def test_a_file_name_is_returned_unchanged(api: Api, name: str) -> None:
    answer = upload(api, png(), filename=name)
    assert (answer.status_code, answer.json()["filename"]) == (201, name)
    assert list_images(api)[0]["filename"] == name


HOSTILE: dict[str, bytes] = {
    "a path upwards": b'filename="../../x.png"',
    "a path upwards without quotes": b"filename=../../x.png",
    "a path upwards, escaped": b'filename="..%2F..%2Fx.png"',
    "a path upwards on Windows": rb'filename="..\\..\\x.png"',
    "a path upwards on Windows, one step": rb'filename="..\x"',
    "a share": rb'filename="\\\\host\\share\\x.png"',
    "a drive": rb'filename="C:\\Windows\\x.png"',
    "absolute": b'filename="/etc/passwd"',
    "home": b'filename="~/.ssh/authorized_keys"',
    "a directory": b'filename="x/"',
    "NUL": b'filename="a\0b.png"',
    "NUL at the end": b'filename="page.html\0.png"',
    "control characters": b'filename="a\x01\x1b[31m\x7f\x85b.png"',
    "a tab": b'filename="a\tb.png"',
    "300 characters": b'filename="' + b"x" * 300 + b'.png"',
    "300 letters": b'filename="' + "ж".encode() * 300 + b'"',
    "a quote": rb'filename="a\"; filename=\"b.png"',
    "a quote, escaped": b'filename="a%22b.png"',
    "line ends, escaped": b'filename="a%0D%0AX-Injected: yes%0D%0A.png"',
    "line ends": b'filename="a\r\nX-Injected: yes\r\n.png"',
    "RFC 5987": b"filename*=UTF-8''%D0%BA%D0%BE%D1%82.png",
    "RFC 5987 and plain": b"filename=\"a.png\"; filename*=UTF-8''..%2F..%2Fx.png",
    "RFC 5987 with a NUL": b"filename*=UTF-8''a%00b.png",
    "RFC 5987 with invalid UTF-8": b"filename*=UTF-8''%ED%A0%80%FF",
    "RFC 5987 in an unknown charset": b"filename*=no-such''x.png",
    "no UTF-8": b'filename="\xff\xfe.png"',
    "a surrogate": b'filename="\xed\xa0\x80.png"',
    "Latin-1": 'filename="ä.png"'.encode("latin-1"),
    "right to left": 'filename="\u202egnp.exe"'.encode(),
    "isolated right to left": 'filename="\u2067a\u2069.png"'.encode(),
    "marks of direction": 'filename="\u200ea\u200f\u061c.png"'.encode(),
    "invisible characters only": 'filename="\u200b\u2060\ufeff\u00ad"'.encode(),
    "zero width": 'filename="a\u200bb\u2060c\ufeff\u00ad\u180e.png"'.encode(),
    "joiners between letters": 'filename="a\u200db\u200c.png"'.encode(),
    "joiners in a row": 'filename="\U0001f469\u200d\u200d\u200d\U0001f469.png"'.encode(),
    "a joiner at the end": ("x" * 254 + "\u200d").encode().join((b'filename="', b'"')),
    "invisible letters": 'filename="a\U000e0041\U000e0042.png"'.encode(),
    "separators of lines": 'filename="a\u2028b\u2029.png"'.encode(),
    "two names": b'filename="a.png"; filename="../b.png"',
    "nothing": b'filename=""',
    "spaces": b'filename="   "',
    "no quote at the end": b'filename="a.png',
}


@pytest.mark.requirement("4.3")
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("a\u200bb\u200dc\ufeff.png", "abc.png"),
        ("к\u00adо\u200cт.png", "кот.png"),
        ("👩\u200d\u200d👩.png", "👩👩.png"),
        ("\u2066👩\u200d👩\u2069\u200d.png", "👩\u200d👩.png"),
    ],
    ids=ascii,
)
def test_invisible_characters_are_removed_from_a_name(api: Api, name: str, shown: str) -> None:
    """For example, one such character makes the name show a false extension."""
    assert upload(api, png(), filename=name).json()["filename"] == shown


@pytest.mark.requirement("4.3")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_malicious_file_name_is_stored_as_text_or_refused(
    api: Api, launched_server: LaunchedServer, name: str
) -> None:
    media = media_of(launched_server)
    before, elsewhere = files_in(media), set(launched_server.data_dir.parent.rglob("*"))
    header = b'form-data; name="file"; ' + HOSTILE[name]
    answer = upload(api, png(), content_disposition=header)
    assert answer.status_code in (201, 422)
    added = set(files_in(media)) - set(before)
    assert len(added) == (answer.status_code == 201)
    for path in set(launched_server.data_dir.parent.rglob("*")) - elsewhere:
        # The capstone makes thumbnails; their names have no part of the uploaded name either.
        is_small = re.fullmatch(r"[0-9a-f]{32}-\d+\.webp", path.name)
        is_picture = path.parent == media or (path.parent == media / "thumbnails" and is_small)
        assert is_picture or path.name.startswith(("todo.db", "celerybeat-schedule"))
    if answer.status_code == 422:
        return

    shown = answer.json()["filename"]
    assert 0 < len(shown) <= LONGEST
    assert shown.strip()
    assert not [letter for letter in shown if unicodedata.category(letter) in INVISIBLE]
    (stored,) = added
    assert re.fullmatch(r"[0-9a-f]{32}\.png", stored)  # no part of the uploaded name
    file = api.request("GET", answer.json()["url"])
    assert file.status_code == 200
    assert "x-injected" not in {*file.headers, *answer.headers}
    assert file.headers["content-disposition"].partition(";")[0] == "inline"
    assert api.request("GET", f"/images/{answer.json()['id']}").json() == answer.json()
    statement = "SELECT filename FROM images WHERE path = ?"
    assert launched_server.database.query(statement, stored) == [(shown,)]


@pytest.mark.requirement("4.3")
@pytest.mark.contract("E1")
def test_an_answer_with_a_malicious_name_is_json_not_html(api: Api) -> None:
    answer = upload(api, png(), filename="<script>alert(1)</script>")
    assert answer.headers["content-type"].startswith("application/json")
    listed = api.request("GET", "/images")
    assert listed.headers["content-type"].startswith("application/json")
