"""A thousand agents at once: they connect, drop and come back, and lose their broker to kill -9, all at one moment. Each must be welcomed, get its receipt and its
delivery; the broker's descriptors and memory stay in proportion. Run by tests/network/run; ends with 1 when something was wrong."""
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, "..", "e2e")]

import country as e2e  # noqa: E402
from country import Country, load_proto, wait_for  # noqa: E402

BUILD = os.environ.get("BUILD") or os.path.join(HERE, "..", "..", "build", "release")
LONG = os.environ.get("N") == "all"
N = 1000
PROCESSES = 4              # a loop of lib/ watches 1,024 descriptors
ALONE = 15                 # connections one after the other, for comparison
SECONDS = 60               # that a round may take at most, whatever the machine
FACTOR = 2                 # a crowd may take so many times as long as its members would one after the other
PAUSE_MS = 250 + 500       # the agents' own back-off after a loss, and after one failed attempt
FDS_MORE = 64              # beside one for each connection
KIB_EACH = 128             # resident memory that an agent may cost: twice that of an idle one, for what libzmq keeps of the connections before
FDS_NEEDED = 4 * N // PROCESSES + 200


def agencies():
    found = {"pi-utrecht": ("prison", "00000099000000002001", [])}
    for i in range(1, N + 1):
        found[f"gm{i:04d}"] = ("municipality", f"000000990000001{i:05d}", [f"{i:04d}"])
    return found


def figure(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(next(line for line in f if line.startswith(name + ":")).split()[1])


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Crowd:
    """The agents, in some processes."""

    def __init__(self, country, names):
        program = os.path.join(BUILD, "test", "network")
        key = country.keys["broker"].public.decode()
        step = (len(names) + PROCESSES - 1) // PROCESSES
        self.processes = [subprocess.Popen([program, country.bound[0], key, country.keys_folder, "C-", *names[i:i + step]], text=True,
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1) for i in range(0, len(names), step)]

    def tell(self, word):
        for process in self.processes:
            process.stdin.write(word + "\n")
        for process in self.processes:
            assert process.stdout.readline() == "begun\n"

    def figures(self):
        """(welcome, served): milliseconds of each agent since the round began. Waits until all are served."""
        welcome, served = [], []
        for process in self.processes:
            for into, word in ((welcome, "welcome"), (served, "served")):
                words = process.stdout.readline().split()
                assert words and words[0] == word, "the crowd has ended"
                into += map(int, words[1:])
        return sorted(welcome), sorted(served)

    def close(self):
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            try:
                process.wait(e2e.DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def one_after_the_other(country, name):
    """Milliseconds that one agent alone takes from connecting to its Welcome: the median."""
    times = []
    for _ in range(ALONE):
        began = time.monotonic()
        peer = country.peer(name).hello()
        times.append((time.monotonic() - began) * 1000)
        peer.close()
    return statistics.median(times)


def events(prison, names, kind):
    proto = prison.proto.event
    if kind == "custody":
        return [prison.content("custody.started", f"C-{n}", proto.CustodyStarted(start=proto.Moment(ms=1_800_000_000_000), origin=n[2:], destination=n[2:])) for n in names]
    return [prison.content("need.screened", f"C-{n}", proto.NeedStatusChanged(need=2, status=3)) for n in names]


def publish_all(prison, contents):
    for i in range(0, len(contents), 250):
        assert {r.result for r in prison.publish(*contents[i:i + 250])} == {1}


def judge(what, figures, bound):
    welcome, served = figures
    parts = [f"{name} {times[0]}/{times[len(times) // 2]}/{times[-1]}" for name, times in (("welcome", welcome), ("served", served))]
    print(f"  {what}: first/median/last of {len(served)} agents in ms: {', '.join(parts)}; bound {bound:.0f}", flush=True)
    assert len(served) == N and served[-1] <= bound, "the last one waited too long"


def run(folder):
    country = Country(folder, load_proto(tempfile.mkdtemp(dir=folder)), agencies())
    names = [a for a in country.agencies if a != "pi-utrecht"]
    country.limits["connections_max"] = N + 10
    country.write_config()
    country.start()
    country.endpoints = [country.bound[0]]
    country.write_config()
    crowd = Crowd(country, names)
    prison = country.peer("pi-utrecht").hello()
    try:
        publish_all(prison, events(prison, names, "custody"))
        alone = one_after_the_other(country, names[0])
        bound = min(SECONDS * 1000, FACTOR * N * alone + PAUSE_MS)
        print(f"  one agent alone is welcome after {alone:.1f} ms", flush=True)
        base_fds, base_kib = fds(country.process.pid), figure(country.process.pid, "VmRSS")

        crowd.tell("connect")
        judge("connecting", crowd.figures(), bound)
        assert country.status()["connected"] == N + 1
        peak = fds(country.process.pid)
        assert peak <= base_fds + N + FDS_MORE, f"{peak} descriptors"

        for _ in range(5 if LONG else 1):
            crowd.tell("drop")
            publish_all(prison, events(prison, names, "need"))
            judge("dropped, and back", crowd.figures(), bound)
        wait_for(lambda: fds(country.process.pid) <= base_fds + N + FDS_MORE, "the old connections' descriptors to be closed")
        resident = figure(country.process.pid, "VmRSS")
        print(f"  broker: {fds(country.process.pid)} descriptors ({base_fds} without agents), {resident >> 10} MiB resident ({base_kib >> 10} without, peak {figure(country.process.pid, 'VmHWM') >> 10})", flush=True)
        assert resident <= base_kib + N * KIB_EACH, "memory"

        crowd.tell("wait")
        country.kill()
        country.start()
        prison = country.peer("pi-utrecht").hello(session=2)
        publish_all(prison, events(prison, names, "need"))
        judge("broker killed and back", crowd.figures(), bound)
        assert country.status()["connected"] == N + 1
        resident = figure(country.process.pid, "VmRSS")
        print(f"  broker: {fds(country.process.pid)} descriptors, {resident >> 10} MiB resident", flush=True)
    finally:
        crowd.close()
        country.close()


def main():
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < max(FDS_NEEDED, N + 200):
        print(f"SKIPPED a crowd: {FDS_NEEDED} descriptors are needed: ulimit -n")
        return 0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="reentry-crowd-")
    try:
        run(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
