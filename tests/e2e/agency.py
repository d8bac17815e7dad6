"""An agency for end-to-end tests: its agent as a process, and the reentry command that talks to it."""
import glob
import json
import os
import re
import signal
import subprocess

from country import BIN, DEADLINE, wait_for


class Agency:
    """Works in the country's folder. The broker must have been started once, so that its port is known and kept."""

    def __init__(self, country, name, spool=False, exec_command=None, exec_options="", key=None):
        self.country, self.name = country, name
        self.folder = country.folder
        self.config = os.path.join(self.folder, f"{name}.cfg")
        self.log_path = os.path.join(self.folder, f"{name}.log")
        self.spool = os.path.join(self.folder, "spool", name)
        self.spooling, self.exec_command, self.exec_options, self.key = spool, exec_command, exec_options, key or name
        self.process = None
        self.expected_errors = []
        self.environment = {}
        self.write_config()

    def write_config(self):
        groups = ""
        if self.spooling:
            groups += f'spool = {{ dir = "spool/{self.name}"; }};\n'
        if self.exec_command:
            groups += f"exec = {{ command = {json.dumps(self.exec_command).replace('[', '[ ').replace(']', ' ]')}; {self.exec_options} }};\n"
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f'agent = {{ id = "{self.name}"; broker = [ {json.dumps(self.country.bound[0])} ]; broker_key = "keys/broker.pub"; key = "keys/{self.key}.key"; log_key = "keys/log.pub";\n'
                    f'  store = "agents/{self.name}"; control = "run/{self.name}.sock"; lang = "en"; size_max = "256MiB"; }};\n{groups}')

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def start(self, up=True):
        started = len(re.findall("started agency=", self.log())) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([os.path.join(BIN, "reentry-agent"), "-c", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "REENTRY_LOG": "debug", **self.environment})
        wait_for(lambda: self.process.poll() is not None or len(re.findall("started agency=", self.log())) > started, f"the start of {self.name}")
        assert self.process.poll() is None, self.log()
        if up:
            self.wait_link("up")
        return self

    def wait_link(self, state):
        wait_for(lambda: self.status()["link"] == state, f"link {state} of {self.name}")

    def stop(self, how=signal.SIGTERM):
        process, self.process = self.process, None
        process.send_signal(how)
        return process.wait(DEADLINE)

    def kill(self):
        assert self.stop(signal.SIGKILL) == -signal.SIGKILL

    def close(self):
        code = self.stop() if self.process else 0
        assert code == 0, self.log()
        if os.path.exists(self.log_path):
            errors = [l for l in self.log().splitlines() if l.startswith("<3>") and not any(re.search(p, l) for p in self.expected_errors)]
            assert not errors, errors

    # --- the command

    def cli(self, *arguments, code=0, **more):
        done = subprocess.run([os.path.join(BIN, "reentry"), "-c", self.config, *arguments], capture_output=True, text=True, timeout=DEADLINE * 3,
                              env={**os.environ, "LC_ALL": "C.UTF-8", **self.environment}, **more)
        assert code is None or done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *arguments, code=0, **more):
        return [json.loads(line) for line in self.cli("--json", *arguments, code=code, **more).stdout.splitlines()]

    def status(self):
        return self.json("status")[0]

    def publish(self, kind, case, /, *arguments, code=0, **fields):
        sets = [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]
        return self.json("publish", kind, "--case", case, *sets, *arguments, code=code)[0]

    def inbox(self, *arguments):
        return self.json("inbox", *arguments)

    def wait_inbox(self, n, *arguments):
        """The inbox once it holds at least n lines."""
        return wait_for(lambda: (lambda lines: lines if len(lines) >= n else None)(self.inbox(*arguments)), f"{n} in the inbox of {self.name}")

    # --- the spool

    def drop(self, name, lines):
        content = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        temporary = os.path.join(self.spool, "in", name + ".tmp")
        with open(temporary, "w", encoding="utf-8") as f:
            f.write(content)
        os.rename(temporary, os.path.join(self.spool, "in", name))

    def wait_file(self, *parts):
        path = os.path.join(self.spool, *parts)
        wait_for(lambda: os.path.exists(path), path)
        with open(path, encoding="utf-8") as f:
            return f.read()

    def out(self):
        return sorted(os.path.basename(p) for p in glob.glob(os.path.join(self.spool, "out", "*")))


def custody(agency, case, **more):
    return agency.publish("custody.started", case, start="2027-02-01T08:30:00Z", **{"origin": "0344", "destination": "0344", **more})
