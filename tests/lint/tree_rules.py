"""Lints about the tree: what is in git, paths, documents, the example country."""
import os
import re
import subprocess

from base import Skip, excused, files, in_git, lint, text_of, tracked

GENERATED = re.compile(r"\.pb-c\.[ch]$|_pb2\.py$|\.(o|a|so|d|gcda|gcno|pyc|mdb|orig|rej|log)$|^build/|__pycache__|^compile_commands\.json$")
SECRET = re.compile(r"\.key$|\.pem$|(^|/)id_(rsa|ed25519)$")
SECRET_TEXT = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|^reentry key \d+\n(.*\n)*secret", re.MULTILINE)
TEXT = (".c", ".h", ".py", ".proto", ".md", ".cfg", ".service", ".conf", ".jsonl", ".expect", ".sh", "/run", "Makefile", ".1", ".5", ".8")
SIZE_MAX = 256 * 1024
AGENCIES = """om-utrecht pi-utrecht pi-rotterdam probation-nl gm0344 gm0599 gm0758 gm0855 gm0363 care-a care-b care-c
shelter-utrecht school-mbo employer-bouw volunteers-nl audit-nl desk-nl""".split()


@lint
def nothing_generated():
    """what is made from other files is not in git"""
    for path in in_git():
        if GENERATED.search(path):
            yield f"{path}: generated: git rm --cached it"
        elif os.path.isfile(path) and os.path.getsize(path) > SIZE_MAX:
            yield f"{path}: {os.path.getsize(path)} bytes: too large for a source"


@lint
def no_secrets():
    """no key is in git"""
    for path in in_git():
        if SECRET.search(path):
            yield f"{path}: a secret key: remove it and make a new one"
        elif os.path.isfile(path) and os.path.getsize(path) < SIZE_MAX and SECRET_TEXT.search(text_of(path)):
            yield f"{path}: holds a secret key"


@lint
def no_machine_paths():
    """nothing names a folder of the machine it was written on"""
    here = os.getcwd()
    own = [re.escape(here)] if here.count("/") >= 2 else []
    pattern = re.compile(r"(?<![\w.])(/home/\w+|/root/|/Users/\w+|/mnt/\w+/|" + "|".join(own or ["/home/"]) + r")(?![\w-])")
    for path in files(*TEXT):
        for number, line in enumerate(text_of(path).split("\n"), 1):
            match = pattern.search(line)
            if match and not path.startswith("tests/lint/") and not excused(path, number, "path"):
                yield f"{path}:{number}: {match.group(1)}: a path relative to the tree, or from mkdtemp"


@lint
def test_range_only():
    """every organisation number lies in the test range 00000099, every telephone number is an invented one"""
    for path in files(*TEXT):
        for number, line in enumerate(text_of(path).split("\n"), 1):
            for oin in re.findall(r"(?<!\d)0000\d{16}(?!\d)", line):
                # they begin with 0000; twenty digits that begin with ten zeros are a sequence
                if not oin.startswith(("00000099", "0000000000")) and not excused(path, number, "oin"):
                    yield f"{path}:{number}: {oin}: use 00000099..."
            if re.search(r"\+31 ?\d[ \d]{7,}\d|(?<!\w)(?!0123456789)0[1-79]\d[- ]?\d{7}(?!\w)", line) and not excused(path, number, "telephone"):
                yield f"{path}:{number}: looks like a real telephone number: use 0800-00000nn (invented)"


@lint
def links():
    """every relative link of a document leads somewhere"""
    for path in files(".md"):
        inside_code = False
        for number, line in enumerate(text_of(path).split("\n"), 1):
            if line.startswith("```"):
                inside_code = not inside_code
            if inside_code:
                continue
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                if not os.path.exists(os.path.join(os.path.dirname(path), target)):
                    yield f"{path}:{number}: {target} does not exist"


@lint
def scripts_parse():
    """every script of the tree is valid in its language and executable where it says how to be run"""
    for path in tracked():
        if not os.path.isfile(path) or os.path.getsize(path) > SIZE_MAX:
            continue
        with open(path, "rb") as f:
            first = f.readline()
        if not first.startswith(b"#!"):
            continue
        if not os.access(path, os.X_OK):
            yield f"{path}: begins with #! but is not executable"
        if b"python" in first:
            try:
                compile(text_of(path), path, "exec")
            except SyntaxError as error:
                yield f"{path}:{error.lineno}: {error.msg}"
        elif b"sh" in first:
            shell = "bash" if b"bash" in first else "sh"
            done = subprocess.run([shell, "-n", path], capture_output=True, text=True)
            if done.returncode:
                yield f"{path}: {done.stderr.strip()}"


@lint
def example_is_whole():
    """config/example/ has the broker and each agency of the specification once, no more"""
    text = text_of("config/example/broker.cfg")
    listed = re.findall(r'^\s+id = "([^"]+)"', text.split("agencies = (", 1)[1], re.MULTILINE)
    for name in sorted(set(AGENCIES) ^ set(listed)):
        yield f"config/example/broker.cfg: {name}: " + ("is missing" if name in AGENCIES else "is not of the example country")
    for name in sorted({n for n in listed if listed.count(n) > 1}):
        yield f"config/example/broker.cfg: {name}: twice"
    oins = re.findall(r'oin = "(\d+)"', text)
    for oin in sorted({o for o in oins if oins.count(o) > 1 or len(o) != 20}):
        yield f"config/example/broker.cfg: {oin}: not unique, or not 20 digits"
    if len(oins) != len(AGENCIES) + 1:
        yield f"config/example/broker.cfg: {len(oins)} OINs for {len(AGENCIES)} agencies and the broker"
    if re.search(r"^\s*unconfirmed\s*=\s*true", text, re.MULTILINE):
        yield "config/example/broker.cfg: no agency of the example sets unconfirmed"
    have = {os.path.basename(p)[:-4] for p in files(".cfg", under=("config/example/",))} - {"broker"}
    for name in sorted(set(AGENCIES) ^ have):
        yield f"config/example/{name}.cfg: " + ("is missing" if name in AGENCIES else "is not of the example country")
    for name in sorted(have & set(AGENCIES)):
        if f'id = "{name}"' not in text_of(f"config/example/{name}.cfg"):
            yield f"config/example/{name}.cfg: is not about {name}"


@lint
def example_is_explained():
    """every key of the examples has its sentence in a comment above it or at its side"""
    for path in files(".cfg", under=("config/",)):
        lines = text_of(path).split("\n")
        end = next((i for i, l in enumerate(lines) if l.startswith("agencies = (")), len(lines))
        for index, line in enumerate(lines[:end]):
            match = re.match(r"\s+(\w+)\s*=", line)
            if match and not lines[index - 1].lstrip().startswith("#") and "#" not in line:
                yield f"{path}:{index + 1}: {match.group(1)}: no sentence above it"
        # agencies all have the same keys: explained once, in front of the list
        head = "\n".join(l for l in lines[:end] if l.startswith("#"))
        for key in sorted(set(re.findall(r"^\s+(\w+) = ", "\n".join(lines[end:]), re.MULTILINE)) - {"scope"}):
            if not re.search(rf"^#\s+{key}\s", head, re.MULTILINE):
                yield f"{path}: {key} of an agency: not explained above the list"


@lint
def units_are_valid():
    """systemd understands our units"""
    if subprocess.run(["sh", "-c", "command -v systemd-analyze"], capture_output=True).returncode:
        raise Skip("no systemd-analyze here")
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for path in files(".service", under=("config/systemd/",)):
            name = os.path.basename(path).replace("@.", "@example.")
            text = re.sub(r"@BINDIR@/reentry-\w+", "/bin/true", text_of(path))
            text = re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE)
            for target in {name, os.path.basename(path)}:
                with open(os.path.join(folder, target), "w", encoding="utf-8") as f:
                    f.write(text)
            names.append(os.path.join(folder, name))
        done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True)
        for line in done.stderr.splitlines():
            if folder in line or any(os.path.basename(n) in line for n in names):
                yield line.replace(folder, "config/systemd")
