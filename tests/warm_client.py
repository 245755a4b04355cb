"""How the warm process is asked for a server; as a program it stands for that server.

    python -IS warm_client.py SOCKET imagereg serve ...

is for whoever starts servers by a command.  It imports little, because it is run for
each of them, and passes SIGTERM on.  Killed, it takes the server with it.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from types import FrameType


def ask(
    address: str, command: Sequence[str], log: int, cwd: str, env: Mapping[str, str]
) -> socket.socket:
    """Return the connection that stands for a new server.

    It tells the number of the server's process in one line, its exit status in the
    next.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    order = {"command": list(command), "cwd": cwd, "env": dict(env)}
    text = json.dumps(order).encode()
    socket.send_fds(connection, [len(text).to_bytes(4, "big")], [log])
    connection.sendall(text)
    return connection


def main(address: str, *command: str) -> int:
    """Be a server, as far as whoever started this can see; return its exit status."""
    answers = ask(address, command, 1, os.getcwd(), os.environ).makefile("rb")  # noqa: PTH109 - pathlib takes longer than the rest
    pid = int(answers.readline())

    def end(number: int, frame: FrameType | None) -> None:
        os.kill(pid, number)

    signal.signal(signal.SIGTERM, end)
    return abs(int(answers.readline()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
