"""The n-th call fails, of the broker and of an agent; and the proof that a broken promise would be seen."""
import collections
import errno
import os
import shutil
import time

from agent_faults import AgentBench
from broker_faults import BrokerBench
from nth import ALL_OPS, STRETCH, Injection, Sweep, bundles

LEAST = 12               # calls that must have failed in a sample: fewer prove little


def sample(setting, make):
    bench = make(setting.folder)
    try:
        made = Sweep(bench, setting.say)
        made.measure(bench.phases, ALL_OPS)
        made.sample(setting.seconds, setting.seed, LEAST)
        wrongs = made.finish()
        if made.count["failed calls"] < LEAST:
            setting.say(f"  only {made.count['failed calls']} calls failed: this proves little")
            return False
        return not wrongs
    finally:
        bench.close()


def in_folder(setting, name, make, work):
    """What the work says of a new daemon in a folder of its own, which goes when nothing was wrong."""
    folder = os.path.join(setting.folder, name)
    os.mkdir(folder)
    bench = make(folder)
    try:
        made = Sweep(bench, setting.say)
        work(made)
    finally:
        bench.close()
    if not made.wrongs:
        shutil.rmtree(folder)
    return made


def whole(setting, make):
    """All of it, or those bundles of it that are this part's: PART=i/n."""
    measured = in_folder(setting, "measure", make, lambda made: made.measure(made.bench.phases, ALL_OPS))
    phases, (part, parts), count, wrongs = measured.bench.phases, setting.part, collections.Counter(measured.count), len(measured.wrongs)
    for phase in phases:
        setting.say(f"  {phase}: " + ", ".join(f"{n} {op}" for (of, op), n in measured.calls.items() if of == phase and n))
    planned = bundles(phases, measured.calls)
    mine = [key for key in sorted(planned) if sum(key) % parts == part - 1]
    for number, k in mine:
        began = time.monotonic()

        def work(made, stretches=planned[number, k]):
            made.calls = measured.calls
            for stretch in stretches:
                made.stretch(*stretch)
            made.finish()

        made = in_folder(setting, f"{number}-{k}", make, work)
        count.update(made.count)
        wrongs += len(made.wrongs)
        setting.say(f"  {phases[number]}, n from {k * STRETCH + 1} to {(k + 1) * STRETCH}: {time.monotonic() - began:.0f} s")
    setting.say(f"  part {part} of {parts}: {len(mine)} of {len(planned)} bundles, {wrongs} wrong; " + ", ".join(f"{n} {what}" for what, n in sorted(count.items())))
    return not wrongs


def sweep(setting, make):
    return (whole if setting.long else sample)(setting, make)


def broker_nth_call(setting):
    """whichever call of the broker fails: no false receipt, no crash, a clean restart, and its log has everything once and in order"""
    return sweep(setting, BrokerBench)


def agent_nth_call(setting):
    """whichever call of an agent fails: what it promised is in the broker's log once, what it acknowledged is in its inbox once, no crash, a clean restart"""
    return sweep(setting, AgentBench)


def faulty_broker():
    """The broker in which faults can be planted."""
    return os.path.join(os.environ["BUILD"], "test", "reentry-broker-faults")


def found(setting, fault, word):
    """Whether a broker with that fault is found out by this word, when a write or a sync of a publish fails."""
    folder = os.path.join(setting.folder, fault)
    os.mkdir(folder)
    bench = BrokerBench(folder, faulty_broker(), fault)
    made = Sweep(bench, lambda text: None)
    try:
        for op, at in [(op, at) for op in ("pwrite", "writev", "sync") for at in (1, 2, 3)]:
            made.once(Injection("publish", op, errno.EIO, at))
            if any(word in wrong for wrong in made.wrongs):
                break
    finally:
        bench.close()
    named = [w for w in made.wrongs if word in w]
    setting.say(f"  {fault}: " + (named[0][:200] if named else f"not found; instead: {made.wrongs[:2]}"))
    return bool(named)


def planted_early_receipt(setting):
    """a broker that gives receipts before it commits is found out"""
    return found(setting, "ack-before-commit", "was receipted, and")


def planted_ignored_sync(setting):
    """a broker that goes on behind a failed sync is found out"""
    return found(setting, "ignore-failed-sync", "went on behind a write or sync that failed")


broker_nth_call.in_parts = agent_nth_call.in_parts = True
TESTS = [broker_nth_call, agent_nth_call, planted_early_receipt, planted_ignored_sync]
