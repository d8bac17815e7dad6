"""What all lints share: the files of the tree, C source without comments and strings, and the list of lints."""
import functools
import os
import re
import subprocess

LINTS = []


class Skip(Exception):
    """Raised by a lint that cannot run here; says what is missing."""


def lint(check):
    """Each lint yields one line per problem: file:line: what, and what to do instead."""
    LINTS.append((check.__name__, check))
    return check


@functools.lru_cache(None)
def tracked():
    """Files in git, or to be: what is ignored is no part of the project. In an unpacked archive: all files."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True)
    if listed.returncode == 0:
        return sorted({f for f in listed.stdout.splitlines() if os.path.isfile(f)})
    return sorted(os.path.join(d, f)[2:] for d, _, files in os.walk(".") for f in files
                  if not d.startswith(("./build", "./.git")))


@functools.lru_cache(None)
def in_git():
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True)
    if listed.returncode:
        raise Skip("not a git checkout")
    return listed.stdout.splitlines()


def files(*suffixes, under=("",)):
    return [f for f in tracked() if f.endswith(suffixes) and f.startswith(tuple(under))]


@functools.lru_cache(None)
def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


BLANKED = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


@functools.lru_cache(None)
def code_of(path):
    """The lines of a C file with comments and literals blanked out, so that rules meet code only."""
    return BLANKED.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text_of(path)).split("\n")


def excused(path, number, name):
    """True if line `number` (from 1) says `lint: name, because ...`."""
    line = text_of(path).split("\n")[number - 1]
    return re.search(rf"lint: {re.escape(name)}\b.*\w{{3}}", line) is not None
