"""Runs one server in its sandbox and forwards connections to it: the outer half of `--sandbox`.

    python -I confine.py PLAN.json --port N -- COMMAND …

The server has its own network with only a loopback. This program listens on the port that the
grader knows. A second process enters the server's network only to connect there, so the server can
reach nothing of ours. Ports that the server may reach, such as the fake weather provider's, are
forwarded in the other direction.

It runs in the directory of a stranger, so `-I` keeps Python from importing files there, and this
file imports only the standard library. It exits with the server's exit code. When it ends for any
reason, the server ends too.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
CHUNK = 64 * 1024
LOOK_EVERY = 0.5  # seconds between two checks of the disk usage
OVER_THE_LIMIT = 1  # our exit code if we killed it

# A listener and the target of its connections: a port of our network, or the path of a socket.
Way = tuple[socket.socket, int | str]

# <linux/sched.h> and <linux/nsfs.h>
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NS_GET_USERNS = 0xB701


def main(arguments: list[str]) -> int:
    """Run the server to its end; return its exit code."""
    if arguments[0] == "--bridge":
        return _bridge(arguments[1], arguments[2:])
    plan_file, _, port, _, *command = arguments
    plan = json.loads(Path(plan_file).read_text(encoding="utf-8"))
    listener = socket.create_server((LOOPBACK, int(port)), backlog=512)
    if "docker" in plan:
        return _in_docker(plan, listener, port, command)
    for file in plan["cgroups"]:  # the processes that we start are in the groups, too
        Path(file, "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    process, child = _start([*plan["bubblewrap"], "--", *plan["limits"], *command])
    try:
        ours, theirs = socket.socketpair()
        helper = os.fork()
        if helper == 0:
            _exit_with(lambda: _relay_inside(child, listener, int(port), plan["reach"], theirs))
        listener.close()
        theirs.close()
        # The helper has entered the network; open a listener for each port that the server may
        # reach.
        _, fds, _, _ = socket.recv_fds(ours, 1, max(1, len(plan["reach"])))
        ways = [
            (socket.socket(fileno=fd), port) for fd, port in zip(fds, plan["reach"], strict=True)
        ]
        return asyncio.run(_until_it_ends(process, plan, ways, lambda n: _signal(child, n)))
    finally:
        process.kill()


def _in_docker(plan: dict[str, Any], listener: socket.socket, port: str, command: list[str]) -> int:
    """Run the server in a container, and the other half of the bridge in a second container."""
    client, sockets = plan["docker"], Path(plan["sockets"])
    # Remove the rest of an earlier run that was killed.
    _quiet(plan, [client, "rm", "-f", plan["name"], f"{plan['name']}-bridge"])
    for socket_file in sockets.iterdir():
        socket_file.unlink()
    names = [name for name in os.environ if name not in ("PATH", "HOME", "LC_CTYPE")]
    environment = [word for name in names for word in ("--env", name)]
    ways: list[Way] = [(listener, str(sockets / "in"))]
    ways += [(_unix_listener(sockets / str(one)), one) for one in plan["reach"]]
    told = os.environ | plan["client"]
    process = subprocess.Popen(
        [*plan["solution"], *environment, "--env", "HOME=/tmp", plan["image"], *command],
        env=told,
    )
    bridge: subprocess.Popen[bytes] | None = None
    try:
        while process.poll() is None and not _runs(plan):
            time.sleep(0.05)
        bridge = subprocess.Popen([*plan["bridge"], port, *map(str, plan["reach"])], env=told)
        return asyncio.run(_until_it_ends(process, plan, ways, process.send_signal))
    finally:
        _quiet(plan, [client, "rm", "-f", plan["name"], f"{plan['name']}-bridge"])
        for one in filter(None, (process, bridge)):
            one.kill()


def _runs(plan: dict[str, Any]) -> bool:
    question = [plan["docker"], "inspect", "-f", "{{.State.Running}}", plan["name"]]
    return _quiet(plan, question).stdout.strip() == b"true"


def _quiet(plan: dict[str, Any], command: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, env=plan["client"], capture_output=True)


def _unix_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)  # the directory keeps others out
    listener.listen(512)
    return listener


def _bridge(port: str, reach: list[str]) -> int:
    """Carry connections between the network of the solution and the sockets in /bridge."""

    async def carry() -> None:
        await asyncio.gather(
            _relay(_unix_listener(Path("/bridge/in")), int(port)),
            *(_relay(socket.create_server((LOOPBACK, int(n))), f"/bridge/{n}") for n in reach),
        )

    asyncio.run(carry())
    return 0


def _start(command: list[str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start bubblewrap; return it and the process id of the first process inside."""
    info, info_there = os.pipe()
    process = subprocess.Popen(
        [*command[:1], "--info-fd", str(info_there), *command[1:]], pass_fds=[info_there]
    )
    os.close(info_there)
    with os.fdopen(info) as said:
        text = said.read()
    if not text:  # it said why on stderr
        sys.exit(process.wait())
    return process, int(json.loads(text)["child-pid"])


def _exit_with(function: Callable[[], None]) -> None:
    """Run it in a forked process and end that process, so the caller's code does not run twice."""
    try:
        function()
    finally:
        os._exit(1)


def _relay_inside(
    child: int, listener: socket.socket, port: int, reach: Iterable[int], ours: socket.socket
) -> None:
    """Enter the network of the server and connect each connection of our listener there."""
    _die_with_parent()
    _enter_network(child)
    listeners = [socket.create_server((LOOPBACK, one)) for one in reach]
    socket.send_fds(ours, [b"!"], [one.fileno() for one in listeners])
    for one in listeners:
        one.close()
    asyncio.run(_relay(listener, port))


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _enter_network(child: int) -> None:
    """Enter the network of a process through the user namespace that owns it."""
    import fcntl  # not on Windows, where the rest of this file is imported, too

    libc = ctypes.CDLL(None, use_errno=True)
    network = os.open(f"/proc/{child}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    owner = fcntl.ioctl(network, _NS_GET_USERNS)
    for namespace, kind in ((owner, _CLONE_NEWUSER), (network, _CLONE_NEWNET)):
        if libc.setns(namespace, kind) != 0:
            raise OSError(ctypes.get_errno(), "cannot enter the network of the sandbox")


async def _until_it_ends(
    process: subprocess.Popen[bytes],
    plan: dict[str, Any],
    ways: list[Way],
    pass_on: Callable[[int], None],
) -> int:
    """Wait until the server ends or reaches a limit of time or disk; return the exit code."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, pass_on, number)
    relays = [asyncio.create_task(_relay(listener, target)) for listener, target in ways]
    ended = asyncio.create_task(asyncio.to_thread(process.wait))
    until = loop.time() + plan["seconds"]
    why = ""
    while not why and not ended.done():
        await asyncio.wait([ended], timeout=LOOK_EVERY)
        if loop.time() > until:
            why = f"it ran for {plan['seconds']} s"
        elif not ended.done():
            why = await asyncio.to_thread(too_much, plan["writable"], plan["disk"], plan["files"])
    if why:
        print(f"The sandbox ended the server: {why}.", flush=True)
        process.kill()
    code = await ended
    for relay in relays:
        relay.cancel()
    return OVER_THE_LIMIT if why else (code if code >= 0 else 128 - code)


def _signal(child: int, number: int) -> None:
    """Send a signal to the server: the first child of the first process inside."""
    with suppress(OSError, ValueError, IndexError):
        children = Path(f"/proc/{child}/task/{child}/children").read_text(encoding="ascii")
        os.kill(int(children.split()[0]), number)


def too_much(directories: Iterable[str], most_bytes: int, most_files: int) -> str:
    """Return why the files of these directories break a limit; empty if they do not."""
    size = count = 0
    try:
        for directory in directories:
            for path, _, names in os.walk(directory):
                for name in names:
                    count += 1
                    with suppress(OSError):
                        size += os.lstat(os.path.join(path, name)).st_blocks * 512  # noqa: PTH118
                count += 1
                if count > most_files:
                    return f"it made more than {most_files} files"
                if size > most_bytes:
                    return f"it wrote more than {most_bytes // 2**20} MiB"
    except RecursionError:
        return "it made directories without end"
    return ""


async def _relay(listener: socket.socket, target: int | str) -> None:
    """Forward each connection of the listener to a port of our network, or to a socket."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    carried: set[asyncio.Task[None]] = set()
    while True:
        try:
            near, _ = await loop.sock_accept(listener)
        except OSError:  # too many open files: wait until some connections end
            await asyncio.sleep(0.05)
            continue
        task = asyncio.create_task(_carry(near, target))
        carried.add(task)
        task.add_done_callback(carried.discard)


async def _carry(near: socket.socket, target: int | str) -> None:
    loop = asyncio.get_running_loop()
    address = (LOOPBACK, target) if isinstance(target, int) else target
    family = socket.AF_INET if isinstance(target, int) else socket.AF_UNIX
    with near, socket.socket(family) as far:
        for one in (near, far):
            one.setblocking(False)
            if one.family == socket.AF_INET:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(far, address)
        except OSError:  # no server listens there, so this connection gets no answer either
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        await asyncio.gather(_pump(near, far), _pump(far, near))


async def _pump(source: socket.socket, target: socket.socket) -> None:
    """Forward bytes until the source ends; then end the target too."""
    loop = asyncio.get_running_loop()
    ends = socket.SHUT_WR
    try:
        while data := await loop.sock_recv(source, CHUNK):
            try:
                await loop.sock_sendall(target, data)
            except OSError:  # it takes no more, but its own output is still forwarded
                return
    except OSError:  # the source broke off
        ends = socket.SHUT_RDWR
    with suppress(OSError):
        target.shutdown(ends)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
