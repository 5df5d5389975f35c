"""Requirements C.2, C.6 and C.12: one chat in two processes; Redis or a process may fail."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from course.catalog.stages import find_stage, load_course
from course.harness.driver import Api
from course.harness.waiting import eventually, in_parallel
from tests.capstone.replicas import Replicas, started
from tests.stage08.chat import (
    Frame,
    Person,
    everything_after,
    history,
    new_text,
    person,
)

pytestmark = [pytest.mark.craft, pytest.mark.deployment("full")]

SENDERS, MESSAGES, FEW_MESSAGES = 6, 15, 4  # messages of each sender; the limit is 20 at once
FORGOTTEN_WITHIN = 30.0  # seconds until a dead process counts as dead
DELAY = 1.0  # seconds: the longest delay between the processes while Redis is down
SLACK = 3.0  # seconds of reserve for a busy machine

Join = Callable[[int], Person]


@pytest.fixture(scope="module")
def replicas(
    stage: int, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    """Return two processes; every test leaves them and their Redis running."""
    directory: Path = tmp_path_factory.mktemp("chat")
    with started(find_stage(load_course(), str(stage)), directory, postgres_url) as replicas:
        yield replicas


@pytest.fixture
def join(replicas: Replicas) -> Iterator[Join]:
    """Return a function that lets a new user join at a process; all leave at the end."""
    mark = replicas.server.log_mark()
    with ExitStack() as stack:
        visitor = stack.enter_context(Api(replicas.server, turn=0))

        def enter(number: int) -> Person:
            token = visitor.as_new_user().token
            return stack.enter_context(person(replicas.client(number, visitor, token)))

        yield enter
    assert "Traceback (most recent call last)" not in replicas.server.log_since(mark)


def ids(frame: Frame) -> list[int]:
    """Return the ids of the online users in a presence frame."""
    return [user["id"] for user in frame["online"]]


def messages_with(run: str, somebody: Person) -> list[tuple[int, str]]:
    """Return the messages of this run that the person has received, in order."""
    return [
        (frame["id"], frame["text"]) for frame in somebody.received if run in frame.get("text", "")
    ]


def exchange_messages(
    senders: list[Person], listeners: list[Person], *, messages: int = FEW_MESSAGES
) -> None:
    """Let all senders send at once; check that all people receive everything in one order."""
    run = new_text()

    def act(number: int) -> None:
        if number < len(senders):
            for count in range(messages):
                senders[number].say(f"{run} {number} {count}")
            return
        for _ in range(len(senders) * messages):
            listeners[number - len(senders)].receive(lambda frame: run in frame.get("text", ""))

    assert in_parallel(len(senders) + len(listeners), act).errors == []
    heard = [messages_with(run, somebody) for somebody in listeners]
    assert all(each == heard[0] for each in heard)
    numbers = [number for number, _ in heard[0]]
    assert numbers == sorted(set(numbers))
    texts = [text for _, text in heard[0]]
    assert sorted(texts) == sorted(
        f"{run} {number} {count}" for number in range(len(senders)) for count in range(messages)
    )


@contextmanager
def without_redis(replicas: Replicas) -> Iterator[None]:
    """Kill Redis, and start an empty one afterwards."""
    replicas.redis.kill()
    try:
        yield
    finally:
        replicas.redis.start()


@contextmanager
def hanging_redis(replicas: Replicas) -> Iterator[None]:
    """Suspend Redis: it accepts connections and does not answer."""
    replicas.redis.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        replicas.redis.process.send_signal(signal.SIGCONT)


@contextmanager
def nobody_listens(replicas: Replicas) -> Iterator[None]:
    """Let Redis refuse subscriptions; all other commands work."""
    address = urlsplit(replicas.redis.url)
    with socket.create_connection((address.hostname, address.port or 0)) as connection:

        def ask(command: str) -> None:
            connection.sendall(f"{command}\r\n".encode())
            assert connection.recv(100) == b"+OK\r\n"

        ask(f"AUTH {address.password}")
        ask("ACL SETUSER default resetchannels")  # also ends existing subscriptions
        try:
            yield
        finally:
            ask("ACL SETUSER default allchannels")


@contextmanager
def slow_commits(replicas: Replicas) -> Iterator[Callable[[], bool]]:
    """Delay the commit of a slow message by a second; yield whether a commit is delayed now."""
    database = replicas.server.database
    database.execute(
        "CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.text LIKE 'slow%' THEN PERFORM pg_sleep(1); END IF; RETURN NULL; END $$"
    )
    database.execute(
        "CREATE CONSTRAINT TRIGGER take_time AFTER INSERT ON messages"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION take_time()"
    )
    sleeping = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event = 'PgSleep'"
    )
    try:
        yield lambda: bool(database.query(sleeping))
    finally:
        database.execute("DROP FUNCTION take_time CASCADE")


@pytest.mark.requirement("C.2")
def test_a_message_reaches_the_sockets_of_both_processes(join: Join) -> None:
    ada, bob = join(0), join(1)
    for sender, receiver in ((ada, bob), (bob, ada)):
        sent = sender.tell(new_text())
        assert receiver.message(sent["text"]) == sent


@pytest.mark.requirement("C.2")
def test_a_message_arrives_before_the_periodic_poll(join: Join) -> None:
    ada, bob = join(0), join(1)
    asked = time.monotonic()
    for _ in range(10):
        bob.message(ada.tell(new_text())["text"])
    assert time.monotonic() - asked < 5


@pytest.mark.requirement("C.2")
def test_both_processes_deliver_all_messages_in_one_order(join: Join) -> None:
    senders = [join(number % 2) for number in range(SENDERS)]
    exchange_messages(senders, [join(0), join(1), join(1)], messages=MESSAGES)


@pytest.mark.requirement("C.2")
def test_messages_keep_their_order_during_a_slow_commit(replicas: Replicas, join: Join) -> None:
    """Otherwise a process that has read the later id would never read the earlier one."""
    ada, bob = join(0), join(1)
    with slow_commits(replicas) as is_committing:
        slow, fast = new_text("slow "), new_text("fast ")
        ada.say(slow)
        eventually(is_committing)
        bob.say(fast)
        for somebody in (ada, bob):
            heard = [
                somebody.receive(lambda frame: frame.get("text") in (slow, fast)) for _ in range(2)
            ]
            assert [frame["text"] for frame in heard] == [slow, fast]
            assert heard[0]["id"] < heard[1]["id"]


@pytest.mark.requirement("C.2")
def test_a_user_who_joins_a_busy_chat_misses_no_message(join: Join) -> None:
    """Each message is either in the history when the socket opens, or arrives on the socket."""
    sender, run = join(0), new_text()
    first = sender.tell(f"{run} first")

    def talk() -> None:
        for count in range(30):
            sender.say(f"{run} {count}")
            time.sleep(0.1)

    talking = threading.Thread(target=talk)
    talking.start()
    newcomers = []
    for _ in range(8):
        newcomer = join(1)
        found = everything_after(newcomer.api, first["id"] - 1)
        newcomers.append((newcomer, {frame["id"] for frame in found}))
    talking.join()
    last = sender.tell(f"{run} last")
    stored = {frame["id"] for frame in everything_after(sender.api, first["id"] - 1)}
    assert len(stored) == 32
    for newcomer, found_ids in newcomers:
        newcomer.message(last["text"])
        live = [number for number, _ in messages_with(run, newcomer)]
        assert live == sorted(set(live))
        assert found_ids | set(live) == stored


@pytest.mark.requirement("C.2")
def test_a_message_repeated_at_the_other_process_is_stored_once(
    replicas: Replicas, join: Join
) -> None:
    ada, bob = join(0), join(1)
    with person(replicas.client(1, ada.api, ada.api.token)) as second_tab:
        text = new_text()
        ada.say(text, client_id=text)
        again = second_tab.tell(text, client_id=text)
        assert ada.message(text) == again
    bob.settle()
    assert [frame for frame in bob.received if frame.get("text") == text] == [again]
    assert [frame["text"] for frame in history(bob.api)].count(text) == 1


@pytest.mark.requirement("C.12")
def test_the_chat_continues_while_redis_is_killed_and_restarted(
    replicas: Replicas, join: Join
) -> None:
    people = [join(number % 2) for number in range(4)]
    exchange_messages(people, people)
    with without_redis(replicas):
        exchange_messages(people, people)
        people.append(join(1))
        asked = time.monotonic()
        people[1].message(people[0].tell(new_text())["text"])
        assert time.monotonic() - asked < DELAY + SLACK
    exchange_messages(people, people)
    assert {somebody.socket.close_code for somebody in people} == {None}


@pytest.mark.requirement("C.2")
def test_the_chat_continues_while_redis_hangs(replicas: Replicas, join: Join) -> None:
    ada, bob = join(0), join(1)
    with hanging_redis(replicas):
        for sender, receiver in ((ada, bob), (bob, ada)):
            asked = time.monotonic()
            receiver.message(sender.tell(new_text())["text"])
            assert time.monotonic() - asked < DELAY + SLACK
    exchange_messages([ada, bob], [ada, bob])


@pytest.mark.requirement("C.2")
def test_a_new_user_sees_the_users_of_the_other_process(join: Join) -> None:
    ada = join(0)
    bob = join(1)
    assert {ada.user["id"], bob.user["id"]} <= set(ids(bob.received[-1]))
    assert bob.user in ada.presence("joined", bob.user)["online"]


def two_tabs(replicas: Replicas, join: Join, *, deaf: bool = False) -> None:
    """Assert that a user who closes one of two tabs stays online for all others."""
    watchers, bob = [join(0), join(1)], join(0)
    for watcher in watchers:
        watcher.presence("joined", bob.user)
    with ExitStack() as stack:
        with nobody_listens(replicas) if deaf else nullcontext():
            second_tab = stack.enter_context(person(replicas.client(1, bob.api, bob.api.token)))
            assert ids(second_tab.received[-1]).count(bob.user["id"]) == 1
            bob.socket.close()
            carol = join(0)
        for watcher in watchers:
            mark = len(watcher.received)
            assert bob.user in watcher.presence("joined", carol.user)["online"]
            about_bob = [each for each in watcher.received[mark:] if each["user"] == bob.user]
            assert about_bob == []
    for watcher in watchers:
        assert bob.user not in watcher.presence("left", bob.user)["online"]


@pytest.mark.requirement("C.2")
def test_two_tabs_at_two_processes_count_once(replicas: Replicas, join: Join) -> None:
    two_tabs(replicas, join)


@pytest.mark.requirement("C.2")
def test_two_tabs_count_once_without_subscriptions(replicas: Replicas, join: Join) -> None:
    """A process without a subscription can still ask Redis before it reports that a user left."""
    two_tabs(replicas, join, deaf=True)


@pytest.mark.requirement("C.2")
def test_the_users_of_a_stopped_process_leave(replicas: Replicas, join: Join) -> None:
    ada, bob = join(0), join(1)
    ada.presence("joined", bob.user)
    replicas.processes[1].stop()
    try:
        assert bob.close_code() in {1001, 1012}
        assert bob.user not in ada.presence("left", bob.user)["online"]
    finally:
        replicas.processes[1].start()
    with person(replicas.client(1, bob.api, bob.api.token)):
        ada.presence("joined", bob.user)


@pytest.mark.requirement("C.6")
def test_the_users_of_a_killed_process_leave(replicas: Replicas, join: Join) -> None:
    ada, bob, carol = join(0), join(1), join(0)
    ada.presence("joined", carol.user)
    replicas.processes[1].kill()
    try:
        left = ada.receive(lambda frame: frame.get("event") == "left", within=FORGOTTEN_WITHIN)
        assert left["user"] == bob.user
        assert left["online"].count(carol.user) == 1
    finally:
        replicas.processes[1].start()
    exchange_messages([ada, join(1)], [ada, carol])
