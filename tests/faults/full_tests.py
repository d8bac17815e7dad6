"""A disk of 16 MiB that becomes full: each test runs full_disk.py in a mount namespace of its own, so that nothing outside sees the disk."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 150


def in_namespace(setting, kind, side):
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    folder = os.path.join(setting.folder, f"{kind}-{side}")
    os.mkdir(folder)
    if subprocess.run([*own, "mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True).returncode:
        setting.skip("a mount namespace of its own needs root, or user namespaces")
    done = subprocess.run([*own, sys.executable, os.path.join(HERE, "full_disk.py"), folder, kind, side], text=True, timeout=SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for line in done.stdout.splitlines():
        setting.say(f"  {kind}: {line}")
    return done.returncode == 0, done.stdout


def ext4_is_here(setting):
    """Whether a file can be mounted as a disk."""
    folder = os.path.join(setting.folder, "probe")
    os.mkdir(folder)
    script = 'truncate -s 16M "$0/image" && mkfs.ext4 -q "$0/image" && mkdir "$0/mnt" && mount -o loop "$0/image" "$0/mnt"'
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "sh", "-c", script, folder], capture_output=True).returncode == 0


def on_each_disk(setting, side):
    kinds = ["tmpfs"] + (["ext4"] if ext4_is_here(setting) else [])
    if len(kinds) == 1:
        setting.say("  ext4 is left out: no loop device, mkfs.ext4 or privilege")
    return all([in_namespace(setting, kind, side)[0] for kind in kinds])


def broker_on_a_full_disk(setting):
    """a broker whose disk is full refuses publishes early enough that acknowledgements, replays and administration go on, and takes publishes again as soon as there is room, without a restart"""
    return on_each_disk(setting, "broker")


def agent_on_a_full_disk(setting):
    """an agent whose disk is full hands out what it has, gets its receipts, takes nothing it cannot keep, loses nothing, and goes on as soon as there is room, without a restart"""
    return on_each_disk(setting, "agent")


def planted_no_head_room(setting):
    """a broker that kept no head-room would be found out"""
    _, output = in_namespace(setting, "tmpfs", "planted")
    return "wrong: erase:" in output and "Traceback" not in output


TESTS = [broker_on_a_full_disk, agent_on_a_full_disk, planted_no_head_room]
