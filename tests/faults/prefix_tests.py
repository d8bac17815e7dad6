"""Every crash prefix of the core's stores: the work is done by `faults prefix` (prefix.c); here it is run, and each planted fault must be found by it."""
import os
import shutil
import subprocess
import tempfile

STRIDE = 97                  # of the short form
STRIDE_PLANTED = 7
PLANTED = ("early", "unsynced", "forgotten")     # see prefix.c


def prefixes(setting, stride, fault=""):
    """Exit code and output. In memory where there is a file system for that: real syncs would prove no more."""
    folder = tempfile.mkdtemp(prefix="reentry-faults-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    seed = sum(setting.seed.encode()) if not setting.seed.isdigit() else int(setting.seed)
    try:
        done = subprocess.run([os.path.join(os.environ["BUILD"], "test", "faults"), "prefix", folder, str(stride), str(seed), *([fault] if fault else [])],
                              capture_output=True, text=True)
        return done.returncode, done.stdout
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def told(setting, output):
    lines = [l for l in output.splitlines() if l.startswith(("prefix:", "a crash"))]
    setting.say("  " + (lines[-1] if lines else output[-400:]))


def every_crash_prefix(setting):
    """wherever a crash cuts what the core wrote, and whatever it takes of what was not synced: every receipt given by then is kept, the state is what the log says, and it works on"""
    code, output = prefixes(setting, 1 if setting.long else STRIDE)
    told(setting, output)
    return code == 0


def planted_crash_faults(setting):
    """a promise before the commit, syncs that are ignored, and a disk that forgets are found by the crash prefixes"""
    found = 0
    for fault in PLANTED:
        code, output = prefixes(setting, STRIDE_PLANTED, fault)
        told(setting, output)
        found += code == 1
    return found == len(PLANTED)


TESTS = [every_crash_prefix, planted_crash_faults]
