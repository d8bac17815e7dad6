"""Chapters of a long run: each has a country, a folder, ports and a sequence of random numbers of its own, and is a process, so that several run side by side."""
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

from control import Down, Refused
from country import DIE_WITH_PARENT, remove
from killing import Run

SHOWN = 8                  # wrongs of a kind that are told
REFUSED_MAX = 0.1          # of all events: with more the run proves little
END_SECONDS = 30           # in which a chapter that is told to stop has ended its daemons


def say(text):
    print(text, flush=True)


def tell(wrongs):
    """How many of each kind, and the first of each."""
    by_kind = {}
    for kind, text in wrongs:
        by_kind.setdefault(kind, []).append(text)
    for kind, texts in sorted(by_kind.items()):
        say(f"  {len(texts)} {kind}:")
        for text in texts[:SHOWN]:
            say(f"    {text}")


def close(run, failed):
    keep = failed and os.environ.get("KEEP")
    run.close(keep)
    if keep:
        say(f"  kept: {run.country.folder}")


def seed_of(seed, number):
    """A chapter's own. The first one has the run's, so that any chapter can be run again alone."""
    return f"{seed} {number}" if number else seed


def figures(run, kills):
    events, inboxes = run.ledger.events, run.ledger.inboxes.values()
    return {"kills": kills, "events handed in": len(events), "accepted": sum(e.result == "accepted" for e in events),
            "refused": sum(e.result == "refused" for e in events), "held in inboxes": sum(len(c) for inbox in inboxes for c in inbox.final.values())}


def chapter(bin_folder, seed, kills):
    """So many kills in a country of its own. Returns (whether nothing was wrong, figures)."""
    run = Run(bin_folder, seed)
    wrongs, done = [("wrong", "it did not come to an end")], {}
    try:
        run.start()
        for _ in range(kills):
            run.kill_once()
        wrongs = run.finish()
        done = figures(run, kills)
        say("  " + ", ".join(f"{n} {what}" for what, n in done.items()) + "; answers: " + ", ".join(f"{n} {what}" for what, n in sorted(run.ledger.count.items())))
        if done["refused"] > REFUSED_MAX * done["events handed in"]:
            wrongs.append(("wrong", f"{done['refused']} of {done['events handed in']} events were refused: this proves little"))
    except (TimeoutError, Down, Refused, RuntimeError) as error:
        wrongs = run.ledger.wrongs + [("stuck", str(error))]
    finally:
        close(run, bool(wrongs))
    tell(wrongs)
    return not wrongs, done


class Chapter:
    """One of them as a process. What it says is kept until it has ended."""

    def __init__(self, number, kills, seed, folder):
        self.number, self.kills, self.seed = number, kills, seed_of(seed, number)
        self.folder = os.path.join(folder, str(number))
        self.began = time.monotonic()
        os.mkdir(self.folder)
        with open(self.path("said"), "wb") as said:
            self.process = subprocess.Popen([*DIE_WITH_PARENT, sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "run"), "--chapter", str(kills), self.path("figures")],
                                            stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, "SEED": self.seed, "TMPDIR": self.folder})
        self.fd = os.pidfd_open(self.process.pid)

    def path(self, name):
        return os.path.join(self.folder, name)

    def ended(self):
        """Tells what it said. Returns (good, figures)."""
        os.close(self.fd)
        code = self.process.wait()
        with open(self.path("said"), encoding="utf-8", errors="replace") as f:
            said = f.read()
        try:
            with open(self.path("figures"), encoding="ascii") as f:
                done = json.load(f)
        except (OSError, ValueError):
            done = {}
        say(f"  chapter {self.number}: {'nothing wrong' if code == 0 else 'FAILED'} ({time.monotonic() - self.began:.0f} s)\n" + said.rstrip("\n"))
        if code:
            say(f"  again with: make crash T=kills N={self.kills} SEED='{self.seed}'" + ("" if code == 1 else f" (it ended with {code})"))
        if code == 0 or not os.environ.get("KEEP"):
            remove(self.folder)
        return code == 0 and bool(done), done

    def stop(self):
        """It ends its daemons and removes its folder."""
        self.process.terminate()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()        # its daemons die with it
            self.process.wait()


def play(kills, seed, jobs, folder):
    """kills: of each chapter. Returns (whether nothing was wrong in any, the sums of their figures)."""
    waiting, running, good, sums = list(enumerate(kills)), {}, True, {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                started = Chapter(*waiting.pop(0), seed, folder)
                running[started.fd] = started
            for fd in select.select(list(running), [], [])[0]:
                well, done = running.pop(fd).ended()
                good = good and well
                for what, n in done.items():
                    sums[what] = sums.get(what, 0) + n
    finally:
        for left in running.values():
            left.stop()
    return good, sums
