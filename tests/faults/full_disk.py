"""full_disk.py FOLDER tmpfs|ext4 broker|agent|planted: mounts a disk of 16 MiB below FOLDER and lets the store of a broker, or of an agent, fill it. Run in a mount namespace of its own
(full_tests.py), which takes the mount with it. What is wrong is told in a line each; exit 1 then."""
import errno
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e"), os.path.join(os.path.dirname(HERE), "crash")]

from agency import Agency  # noqa: E402
from broker_faults import ACCEPTED, AGENCIES, DUPLICATE, REFUSED, other_operator  # noqa: E402
from control import ask  # noqa: E402
from country import Country, load_proto, wait_for  # noqa: E402

BALLAST = 4 << 20
CASES = 40
NOTE = "n" * 1500
ROUNDS = 400
CHUNK = 64 << 10
BEHIND = "an earlier event of this case was refused"

wrongs = []


def check(true, text):
    if not true:
        wrongs.append(text)
        print(f"wrong: {text}", flush=True)


class Disk:
    def __init__(self, folder, kind):
        self.path = os.path.join(folder, "disk")
        os.mkdir(self.path)
        if kind == "tmpfs":
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", self.path], check=True)
        else:
            image = os.path.join(folder, "image")
            with open(image, "wb") as f:
                f.truncate(16 << 20)
            subprocess.run(["mkfs.ext4", "-q", image], check=True)
            subprocess.run(["mount", "-o", "loop", image, self.path], check=True)

    def free(self):
        state = os.statvfs(self.path)
        return state.f_bfree * state.f_frsize

    def fill(self, name, size=1 << 30):
        """So many bytes of something else, or all there is room for."""
        with open(os.path.join(self.path, name), "wb", buffering=0) as f:
            try:
                while size > 0:
                    size -= f.write(b"x" * min(CHUNK, size))
                os.fsync(f.fileno())
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def clear(self, name):
        os.unlink(os.path.join(self.path, name))


class SmallCountry(Country):
    """Its broker's store lies on the small disk."""

    disk_store = "disk/store"

    def write_config(self):
        super().write_config()
        with open(self.config, encoding="utf-8") as f:
            text = f.read()
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text.replace('store = "store"', f'store = "{self.disk_store}"'))


# --- the broker

class Full:
    def __init__(self, folder, disk, reserve="3MiB"):
        self.disk, self.country = disk, SmallCountry(folder, load_proto(folder), AGENCIES)
        self.country.limits = {"store_size": "64MiB", "store_reserve": reserve, "resend_after": "1s"}
        self.country.write_config()
        self.country.start()
        self.accepted = {}             # content: sequence
        self.waiting = []              # contents that were refused
        self.came = {}                 # sequence: content's id, as gm0344 got it
        self.connect()

    def connect(self):
        self.prison, self.town = self.country.peer("pi-utrecht").hello(), self.country.peer("gm0344").hello()

    def publish(self, contents):
        """Whether all were taken. What was refused before is offered first, as an agent does: the broker keeps the order of a case."""
        contents = self.waiting + contents
        receipts = self.prison.publish(*contents) if contents else []
        self.waiting = [c for c, r in zip(contents, receipts) if r.result == REFUSED]
        for content, receipt in zip(contents, receipts):
            if receipt.result in (ACCEPTED, DUPLICATE):
                check(self.accepted.setdefault(content, receipt.sequence) == receipt.sequence, f"two sequences for one event: {receipt}")
            else:
                check(receipt.result == REFUSED and (receipt.code == "storage-full" or BEHIND in receipt.detail), f"a receipt says {receipt.result} {receipt.code} {receipt.detail}")
        if self.waiting:
            self.prison.nothing("bye")     # the broker's question behind a refusal is answered: what is offered from now on is offered knowingly
        return not self.waiting

    def needs(self, n, note=NOTE):
        event = self.prison.proto.event
        return [self.prison.content("need.screened", f"C-{i % CASES}", event.NeedStatusChanged(need=1 + i % 6, status=2, note=note)) for i in range(n)]

    def open_cases(self):
        event = self.prison.proto.event
        self.publish([self.prison.content("custody.started", f"C-{i}", event.CustodyStarted(start=event.Moment(ms=1_700_000_000_000), origin="0344", destination="0344")) for i in range(CASES + 1)])

    def until_full(self):
        """Publishes until the store is full."""
        for _ in range(ROUNDS):
            if not self.publish(self.needs(64)):
                return
        check(False, "the disk does not become full")

    def queued(self):
        lines, end = self.country.control(do="queues")
        check(end == {"end": "ok"}, f"queues: {end}")
        return sum(q["queued"] for q in lines if q["agency"] == "gm0344")

    def take_all(self, seconds=60):
        """gm0344 takes and acknowledges until nothing waits for it."""
        end = time.monotonic() + seconds
        while self.queued() and time.monotonic() < end:
            frame = self.town.receive_any(0.2)
            if frame is not None and frame.HasField("deliver"):
                for item in frame.deliver.items:
                    self.came[item.sequence] = self.town.opened(item).id
                self.town.ack(*[i.sequence for i in frame.deliver.items])
        check(self.queued() == 0, "acknowledgements do not count")

    def all_came(self):
        missing = [s for s in self.accepted.values() if s not in self.came]
        check(not missing, f"{len(missing)} receipted events never came")

    def admin(self, subject):
        """What an operator does while the disk is full."""
        asks = [{"do": "status"}, {"do": "queues"}, {"do": "timers"}, {"do": "checkpoint"}, {"do": "reload"},
                {"do": "backup", "dir": os.path.join(self.country.folder, f"backup-{subject}")}, {"do": "erase", "case": subject, "order": "art. 17"}]
        for request in asks:
            _, end = self.country.control(**request)
            check(end == {"end": "ok"}, f"{request['do']}: {end}")
        if os.geteuid() == 0:
            try:
                with other_operator(self.country.folder):
                    _, end = self.country.control(do="erase", case=subject, order="art. 17, seen", confirm=True)
                check(end == {"end": "ok"}, f"erase: {end}")
            except OSError as error:
                check(False, f"erase: {error}")

    def replay(self):
        audit = self.country.peer("audit-nl").hello(session=time.monotonic_ns())
        _, items, last = audit.ask("replay", credit=1000000, purpose="a full disk")
        check(last.code == "", f"replay: {last.code} {last.detail}")
        check({i.sequence for i in items} >= set(self.accepted.values()), "a replay lacks what was receipted")
        audit.close()

    def takes_again(self):
        """Room has come back: publishes are taken, by the process that refused them."""
        wait_for(lambda: self.publish([]), "the publishes that were refused to be taken")
        check(self.publish(self.needs(1, "")), "a publish is refused although there is room")

    def store_is_full(self):
        return self.country.control(do="status")[0][0]["store_full"]


def broker(folder, disk):
    disk.fill("ballast", BALLAST)
    full = Full(folder, disk)
    country, pid = full.country, full.country.process.pid
    country.expected_errors = ["the store is full", "a turn failed", "operation failed", "audit record was not written", "erasure confirmed and not executed"]
    full.open_cases()
    full.until_full()
    left = disk.free()
    check(full.store_is_full(), "status does not say that the store is full")
    full.take_all()
    full.all_came()
    full.replay()
    full.admin(f"C-{CASES}")
    check(disk.free() > 1 << 20, f"of the head-room {disk.free()} bytes are left")
    disk.clear("ballast")
    full.takes_again()
    print(f"full with {left >> 10} KiB left: {len(full.accepted)} events were taken; replay, acknowledgements, administration and an erasure went on", flush=True)

    disk.fill("ballast", BALLAST // 2)
    full.until_full()
    disk.fill("somebody else's")
    for _ in range(20):
        full.publish(full.needs(8))
    check(full.queued() > 0 and country.process.poll() is None, "a disk without a byte left ended the broker")
    check(country.control(do="status")[1] == {"end": "ok"}, "status is not answered on a disk without a byte left")
    disk.clear("somebody else's")
    full.take_all()
    full.all_came()
    check(country.process.pid == pid and country.process.poll() is None, "it was restarted")

    check(country.stop() == 0, "it does not stop cleanly")
    country.start()
    full.connect()
    full.until_full()
    country.kill()
    country.start()                    # a start on a full disk needs no room of its own
    full.connect()
    full.take_all()
    disk.clear("ballast")
    full.takes_again()
    for content in list(full.accepted)[-50:]:
        full.publish([content])
    full.take_all()
    check(country.control(do="rebuild") == ([{"equal": True}], {"end": "ok"}) or disk.free() < 8 << 20, "the state differs from the log")
    country.close()


def planted(folder, disk):
    """Without head-room what must go on does not: the checks above have to say so."""
    disk.fill("ballast", BALLAST)
    full = Full(folder, disk, "64KiB")
    full.country.expected_errors = [""]
    full.open_cases()
    full.until_full()
    try:
        full.take_all(5)
        full.replay()
        full.admin(f"C-{CASES}")
    finally:
        full.country.kill()


# --- an agent

def agent(folder, disk):
    disk.fill("ballast", BALLAST)
    country = Country(folder, load_proto(folder), AGENCIES)
    country.limits = {"store_size": "256MiB", "store_reserve": "16MiB", "resend_after": "1s"}
    country.endpoints = ["tcp://127.0.0.1:*"]
    country.write_config()
    country.start()
    prison, town = Agency(country, "pi-utrecht"), country.peer("gm0344").hello()
    with open(prison.config, encoding="utf-8") as f:
        text = f.read()
    with open(prison.config, "w", encoding="utf-8") as f:
        f.write(text.replace('store = "agents/pi-utrecht"', 'store = "disk/agent"'))
    os.makedirs(os.path.join(folder, "agents"), exist_ok=True)
    prison.start()
    prison.expected_errors = ["store is full", "turn=failed", "unstored"]
    socket = os.path.join(folder, "run", "pi-utrecht.sock")
    accepted = {}

    def hand_in(events):
        receipts = ask(socket, do="publish", lines=[json.dumps(e) for e in events], wait_ms=10000)
        for receipt in receipts:
            if receipt["result"] in ("accepted", "duplicate"):
                accepted[receipt["id"]] = receipt["sequence"]
            else:
                check(receipt["result"] in ("refused", "queued") and receipt.get("code") in ("storage-full", None), f"a receipt says {receipt}")
        return receipts

    def refused(receipts):
        return any(r["result"] == "refused" for r in receipts)

    def needs(n):
        return [{"type": "need.screened", "subject": f"C-{i % CASES}", "data": {"need": "HOUSING", "status": "OPEN", "note": NOTE}} for i in range(n)]

    def fill():
        for _ in range(ROUNDS):
            if refused(hand_in(needs(64))):
                return
        check(False, "the disk does not become full")

    def tell(n, first):
        """Events of the municipality, which the agent is to get."""
        event = town.proto.event
        got = town.publish(*[town.content("need.status-changed", f"C-{(first + i) % CASES}", event.NeedStatusChanged(need=1 + i % 6, status=3, note=NOTE)) for i in range(n)])
        check(all(r.result == ACCEPTED for r in got), "the broker does not take the municipality's events")
        return [r.sequence for r in got]

    def held():
        lines = ask(socket, do="inbox", all=True)
        numbers = [int(line["sequence"]) for line in lines]
        check(len(set(numbers)) == len(numbers), "the inbox holds something twice")
        return set(numbers)

    def waiting():
        return ask(socket, do="status")[0]["outbox"]["waiting"]

    check(not refused(hand_in([{"type": "custody.started", "subject": f"C-{i}", "data": {"start": "2023-11-14T22:00:00Z", "origin": "0344", "destination": "0344"}} for i in range(CASES)])), "no case can be opened")
    before = tell(20, 0)
    wait_for(lambda: held() >= set(before), "the first deliveries")
    pid = prison.process.pid
    for _ in range(ROUNDS):            # what is receipted leaves a little room again
        fill()
        wait_for(lambda: waiting() == 0, "the receipts of what is in the outbox")
        if refused(hand_in(needs(1))):
            break
    left = disk.free()
    def says_full():
        return "the agent's store is full" in prison.log()

    during = []
    for _ in range(ROUNDS):            # deliveries may use some of what publishes may not: how much is the file system's
        during += tell(30, 5)
        wait_for(lambda: says_full() or held() >= set(during), "the agent to take deliveries, or to say that it cannot")
        if says_full():
            break
    check(says_full(), "the agent never says that it takes no deliveries")
    done = ask(socket, do="done", sequences=before)
    check(all(line["result"] == "done" for line in done), f"done: {done[:2]}")
    disk.clear("ballast")
    wait_for(lambda: not refused(hand_in(needs(1))), "an event to be taken")
    wait_for(lambda: held() >= set(during), "the deliveries that had to wait", 40)
    print(f"full with {left >> 10} KiB left: {len(accepted)} events were receipted, {len(during)} deliveries waited and came", flush=True)

    fill()
    disk.fill("somebody else's")
    for _ in range(10):
        hand_in(needs(4))
    late = tell(10, 9)
    check(prison.process.poll() is None and prison.process.pid == pid, "a disk without a byte left ended the agent")
    disk.clear("somebody else's")
    check(prison.stop() == 0, "it does not stop cleanly")
    prison.start()
    fill_left = [n for n in os.listdir(disk.path) if n != "agent" and not n.startswith("lost")]
    check(not fill_left, f"left on the disk: {fill_left}")
    wait_for(lambda: waiting() == 0, "the outbox to be empty")
    queues = country.control(do="queues")[0]
    check(all(q["queued"] >= len(late) for q in queues if q["agency"] == "pi-utrecht") or held() >= set(late), "deliveries are neither queued nor held")
    prison.close()
    country.close()


def main():
    folder, kind, side = sys.argv[1:]
    disk = Disk(folder, kind)
    {"broker": broker, "agent": agent, "planted": planted}[side](folder, disk)
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
