"""The control socket of a daemon, as lib/control.h describes it: a request on one line, reply lines, an end."""
import json
import socket

DEADLINE = 60      # seconds that an answer may take: a virtual machine may stand still for half of that


class Down(Exception):
    """Nobody answers: the daemon was killed, or does not listen yet."""


class Refused(Exception):
    """The reply ended with a code other than ok."""


class Control:
    def __init__(self, path):
        self.buffer = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        try:
            self.socket.connect(path)
        except OSError as error:
            self.socket.close()
            raise Down(str(error)) from None

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, request):
        try:
            self.socket.settimeout(DEADLINE)
            self.socket.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise Down(str(error)) from None

    def line(self, seconds=DEADLINE):
        """The next line of the reply as an object; None when there is none within that time."""
        while b"\n" not in self.buffer:
            self.socket.settimeout(seconds)
            try:
                more = self.socket.recv(1 << 16)
            except (TimeoutError, BlockingIOError):
                return None
            except OSError as error:
                raise Down(str(error)) from None
            if not more:
                raise Down("the connection was closed")
            self.buffer += more
        text, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(text)

    def ask(self, into=None, **request):
        """The whole reply, without its end. into: a list that keeps the lines that came, also if the daemon dies before the end."""
        lines = [] if into is None else into
        self.send(request)
        while True:
            line = self.line()
            if line is None:
                raise Down(f"no answer to {request['do']} within {DEADLINE} s")
            if "end" in line:
                if line["end"] != "ok":
                    raise Refused(f"{request['do']}: {line}")
                return lines
            lines.append(line)


def ask(path, **request):
    with Control(path) as control:
        return control.ask(**request)
