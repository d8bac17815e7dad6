"""One call after the other fails: which, in which phase and with what error, what became of the daemon, and whether that is allowed."""
import collections
import contextlib
import errno
import random
import re
import time

from broker_faults import PATIENCE, Ended
from shim import ERRORS, OPS, name_of

NEVER = 1 << 31
UNHARMED = 1                   # beyond the last call: a run in which nothing fails must pass, too
STARTING = ("first start", "start")
LIBRARY_ENDS = {               # libraries that end the process, and how, when their own allocation fails; told apart by where the call came from
    "libzmq.so.5": (-6,),      # alloc_assert, bad_alloc
    "libconfig.so.9": (-11, 2),  # does not look at what calloc gives it; its scanner exits (1.5)
    "libcrypto.so.3": (-11,),  # at its first use: a default context that has no lock (OpenSSL 3.0)
    "libpgm-5.3.so.0": (-6, -11),  # zmq_ctx_new starts it: its pgm_malloc aborts; so does, or reads a null pointer, getprotobyname of glibc 2.36
}
JANSSON_ENDS = "lex_scan_string: Assertion"      # 2.14 reads again what it could not keep for want of memory; its memory comes from a function of ours
COMMITS = {(phase, op) for phase in ("publish", "acknowledgement") for op in ("pwrite", "writev", "sync")}    # phases whose only writes are the store's
STRETCH = 100                  # n of one kind of call that fail in one daemon; then the next begins with an empty store, and nothing grows with the length of a run
QUIET = 3                      # runs unharmed that end a stretch: how many calls there are is not the same in each run
AT_MOST = 180                  # seconds beyond its time that a sample may take
TELLING = 40                   # frames shown of a call that led to something wrong


class Injection:
    def __init__(self, phase, op, error, at):
        self.phase, self.op, self.error, self.at = phase, op, error, at

    def __str__(self):
        return f"{self.phase}: {self.op} {self.at} fails with {name_of(self.error)}"


@contextlib.contextmanager
def impatient(bench):
    """Whatever a fault may have swallowed is not waited for long; without a fault the machine may take its time."""
    long, bench.patience = bench.patience, PATIENCE
    try:
        yield
    finally:
        bench.patience = long


class Sweep:
    """Injections into one daemon, whose bench carries out the phases and looks at what came of them."""

    def __init__(self, bench, say):
        self.bench, self.say = bench, say
        self.count = collections.Counter()
        self.wrongs = []
        self.last = None               # the injection that was made last, whether its call came, and where the log stood before it
        self.last_fired = self.last_mark = 0
        self.calls = {}                # (phase, op): how many calls it makes when nothing fails

    # --- one injection

    def once(self, injection):
        """Whether the call came, and how many of its kind there were; what was wrong goes to wrongs."""
        bench = self.bench
        before = len(bench.book.wrongs)
        fired = calls = 0
        try:
            given = self.steadily(lambda: bench.prepare(injection.phase))
            self.last = injection
            self.last_mark, self.last_fired = bench.mark(), False
            bench.shim.arm(injection.op, injection.at, injection.error)
            try:
                with impatient(bench):
                    bench.run(injection.phase, given)
            except Ended:
                bench.lost = True      # what was asked had no answer; the book says what was promised
            if bench.lost:
                bench.let_end()
            self.last_fired, calls = fired, calls = bench.shim.disarm()
            self.fate()
            self.steadily(lambda: bench.settle(injection.phase, given))
        except (Ended, AssertionError, TimeoutError, OSError, IndexError) as error:
            bench.shim.disarm()
            bench.book.wrong(f"stuck: {type(error).__name__} {str(error)[:600]}")
        self.count["failed calls" if fired else "runs unharmed"] += 1
        for text in bench.book.wrongs[before:]:
            self.wrongs.append(f"{injection} [{bench.shim.by if fired else 'it did not come to that'}]: {text}")
            self.say(f"  {self.wrongs[-1]}")
        if bench.book.wrongs[before:] and fired:
            self.say("    " + "\n    ".join(bench.shim.where().splitlines()[:TELLING]))
        return fired, calls

    def steadily(self, step):
        """A library's thread may end the process a moment after all else has gone well: then the step begins again with another process."""
        try:
            return step()
        except Ended:
            self.bench.let_end()
            if self.bench.alive or self.last is None:
                raise
            self.fate()
            self.bench.restart()
            return step()

    def fate(self):
        """What became of the daemon, told apart: it lives, it ended as it must behind a lost sync, a library ended it, or it crashed."""
        bench, injection, mark = self.bench, self.last, self.last_mark
        fired = self.last_fired or bench.shim.fired    # it may have come while it was disarmed
        if bench.alive:
            self.count["went on"] += fired
            if fired and (injection.phase, injection.op) in COMMITS and injection.error == errno.EIO and bench.name == "broker":
                bench.book.wrong("it went on behind a write or sync that failed")
            return
        code, log = bench.exit_code(), bench.log_from(mark)
        told = re.findall("^<3>(.*)$", log, re.MULTILINE)
        if injection.phase == "stop" and code == 0:
            self.count["stopped"] += fired
        elif code == 1 and bench.deliberate in log and fired:
            self.count["stopped for a lost write"] += 1
        elif code == 1 and told and injection.phase in (*STARTING, "stop") and fired:
            self.count["did not start, and said why" if injection.phase in STARTING else "stopped with a word"] += 1
        elif code in LIBRARY_ENDS.get(bench.shim.by, ()) and injection.op in ("alloc", "map", "send") and fired:
            self.count[f"ended by {bench.shim.by} when it had no memory"] += 1
        elif code == -6 and JANSSON_ENDS in log and injection.op == "alloc" and fired:
            self.count["ended by jansson when it had no memory"] += 1
        else:
            bench.book.wrong(f"it ended with {code}: {log[-400:]}")

    # --- which

    def measure(self, phases, ops):
        """How many calls each phase makes of each kind when none fails."""
        for phase in phases:
            for op in ops:
                _, self.calls[phase, op] = self.once(Injection(phase, op, ERRORS[op][-1], NEVER))

    def sample(self, seconds, seed, least):
        """Drawn from every phase, kind and error in turn, until the time is over and at least so many calls have failed: a receipt that was lost costs half a minute."""
        rng, end = random.Random(seed), time.monotonic() + seconds
        strata = [(phase, op, error) for (phase, op), calls in sorted(self.calls.items()) if calls for error in ERRORS[op]]
        rng.shuffle(strata)

        def over():
            late = time.monotonic() - end
            return late >= 0 and (self.count["failed calls"] >= least or late >= AT_MOST)

        while not over():
            for phase, op, error in strata:
                self.once(Injection(phase, op, error, rng.randint(1, self.calls[phase, op] + UNHARMED)))
                if over():
                    break

    def stretch(self, phase, op, error, first):
        """n = first, first + 1 … for STRETCH of them, or until runs pass unharmed."""
        quiet, bound = 0, QUIET if self.calls.get((phase, op), 1) else 1
        for at in range(first, first + STRETCH):
            fired, _ = self.once(Injection(phase, op, error, at))
            quiet = 0 if fired else quiet + 1
            if quiet == bound:
                break

    def finish(self):
        before = len(self.bench.book.wrongs)
        try:
            self.steadily(self.bench.whole)
        except (Ended, AssertionError, TimeoutError, OSError) as error:
            self.bench.book.wrong(f"the last look: {error}")
        for text in self.bench.book.wrongs[before:]:
            self.wrongs.append(f"at the end: {text}")
            self.say("  " + self.wrongs[-1])
        self.say(f"  {self.bench.name}: " + ", ".join(f"{n} {what}" for what, n in sorted(self.count.items())))
        return self.wrongs


def bundles(phases, calls):
    """{(number of the phase, k): the k-th stretch of each kind and error}, as many as the calls that were measured need, and some more: no part of a run may rely on what another measured."""
    made = collections.defaultdict(list)
    for number, phase in enumerate(phases):
        for op in ALL_OPS:
            n = calls[phase, op]
            for k in range((n + n // 2 + 8) // STRETCH + 1 if n else 1):
                made[number, k] += [(phase, op, error, k * STRETCH + 1) for error in ERRORS[op]]
    return made


ALL_OPS = OPS[1:]
