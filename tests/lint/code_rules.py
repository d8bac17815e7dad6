"""Lints about C and Python code: layers, headers, banned calls, sizes, form."""
import ast
import concurrent.futures
import os
import re
import subprocess

from base import Skip, code_of, excused, files, lint, text_of

LAYERS = ("lib/", "rules/", "broker/", "agents/", "cli/")
# lib <- proto <- rules <- {broker, agents, cli}
MAY_INCLUDE = {
    "lib": {"lib", "proto"},
    "rules": {"lib", "proto", "rules"},
    "broker": {"lib", "proto", "rules", "broker"},
    "agents": {"lib", "proto", "rules", "agents"},
    "cli": {"lib", "proto", "rules", "cli", "broker"},
}
# Of the broker the command sees what works without a daemon: the core for rehearsals, a store that is not running.
NOT_FOR_CLI = {"broker/session.h", "broker/server.h", "broker/daemon.h"}
# Where a third-party header may be included: the one place that hides it.
THIRD_PARTY = {
    "zmq.h": r"lib/(wire|loop|zap)\w*\.c$",
    "lmdb.h": r"lib/db\w*\.c$",
    "libconfig.h": r"lib/conf\w*\.c$",
    "sodium.h": r"lib/crypt\w*\.c$",
    "jansson.h": r"lib/json\w*\.c$",
    "openssl/": r"lib/crypt\w*\.c$",
}
# Pure rules have no clock, no input or output, no randomness.
IMPURE_HEADERS = {"time.h", "sys/time.h", "unistd.h", "fcntl.h", "sys/random.h", "sys/socket.h", "sys/stat.h", "poll.h", "pthread.h", "signal.h"}

FUNCTION_LINES = 60
FILE_LINES = 700
RATCHET = "tests/lint/long-functions"

# What is not called, and what is called instead: (calls, where, not where, instead).
EVERYWHERE, PROGRAMS, LIBRARIES = LAYERS + ("tests/",), LAYERS, ("lib/", "rules/")
BANNED = [
    ("strcpy stpcpy strcat strncpy strncat", PROGRAMS, (), "snprintf into a known size, or lib/buf"),
    ("sprintf vsprintf", EVERYWHERE, (), "snprintf, and look at its result"),
    ("gets", EVERYWHERE, (), "fgets or getline"),
    ("strtok", EVERYWHERE, (), "strcspn, or strtok_r"),
    ("atoi atol atoll atof sscanf", PROGRAMS, (), "strtoll with a check of the end and of errno"),
    ("rand srand random srandom drand48", EVERYWHERE, (), "crypt_random, or a generator of your own with a printed seed in tests"),
    ("localtime gmtime localtime_r gmtime_r ctime asctime mktime strftime strptime timegm", EVERYWHERE, ("lib/civil.c",), "lib/civil"),
    ("time gettimeofday clock_gettime", PROGRAMS, ("lib/clock.c", "lib/log.c"), "lib/clock: time is injected"),
    ("sleep usleep nanosleep clock_nanosleep", EVERYWHERE, (), "a timer of the loop; in tests wait for what you wait for, with a deadline"),
    ("system popen", EVERYWHERE, (), "posix_spawn or fork and exec, without a shell"),
    ("alloca", EVERYWHERE, (), "an arena or a named bound"),
    ("tmpnam tempnam mktemp", EVERYWHERE, (), "mkstemp or mkdtemp"),
    (r"signal(?!\s*\([^()]*,\s*SIG_(?:DFL|IGN)\s*\))", EVERYWHERE, (), "sigaction; signal() only with SIG_DFL or SIG_IGN"),
    ("vfork setjmp longjmp", EVERYWHERE, (), "return an error"),
    ("exit _exit abort quick_exit", LIBRARIES, ("lib/daemon.c",), "return an error: programs decide to end"),
    ("printf puts putchar perror syslog", LIBRARIES, ("lib/log.c",), "return a struct err: programs speak"),
    ("getenv setenv putenv", PROGRAMS, ("lib/daemon.c", "cli/"), "the configuration file"),
]


def c_files(under=LAYERS, *suffixes):
    return files(*(suffixes or (".c", ".h")), under=under)


def includes(path):
    for number, line in enumerate(text_of(path).split("\n"), 1):
        match = re.match(r'\s*#\s*include\s+([<"])([^>"]+)', line)
        if match:
            yield number, match.group(1), match.group(2)


@lint
def layers():
    """lib <- proto <- rules <- {broker, agents, cli}; broker and agents never include each other"""
    for path in c_files():
        layer = path.split("/")[0]
        for number, kind, name in includes(path):
            if kind != '"':
                continue
            target = name.split("/")[0]
            if "/" not in name:
                yield f'{path}:{number}: "{name}": include with its folder, "{layer}/{name}"'
            elif target not in MAY_INCLUDE[layer]:
                yield f"{path}:{number}: {layer}/ may not include {name}"
            elif layer == "cli" and name in NOT_FOR_CLI:
                yield f"{path}:{number}: the command may not include the daemon's {name}"


@lint
def third_party_headers():
    """a library is included in the one place of lib/ that hides it"""
    for path in c_files():
        for number, _, name in includes(path):
            for header, place in THIRD_PARTY.items():
                if name.startswith(header) and not re.match(place, path) and not excused(path, number, "third-party"):
                    yield f"{path}:{number}: <{name}> belongs into {place.rstrip('$')}: use that file's functions"


@lint
def rules_are_pure():
    """rules/ reads no clock, no socket, no file, no random number"""
    for path in c_files(("rules/",)):
        for number, _, name in includes(path):
            if name in IMPURE_HEADERS:
                yield f"{path}:{number}: <{name}>: the record carries its time; rules are pure functions"


@lint
def headers_alone():
    """each header compiles alone, and has a guard named after its path"""
    build = os.environ.get("BUILD", "build/release")
    cc = os.environ.get("CC", "gcc").split()
    if not os.path.isdir(f"{build}/gen/proto"):
        raise Skip("no generated headers yet: run make first")
    flags = subprocess.run(["pkg-config", "--cflags", "libzmq", "libprotobuf-c"], capture_output=True, text=True).stdout.split()
    command = cc + ["-std=gnu17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I.", "-isystem", f"{build}/gen", "-D_GNU_SOURCE", *flags]

    def compile_alone(path):
        source = f'#include "{path}"\n#include "{path}"\ntypedef int nothing_else;\n'
        done = subprocess.run([*command, "-x", "c", "-"], input=source, capture_output=True, text=True)
        first = next((l for l in done.stderr.splitlines() if "error" in l), done.stderr[:200])
        return f"{path}: does not compile alone: {first}" if done.returncode else None

    headers = c_files(LAYERS + ("tests/",), ".h")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from filter(None, pool.map(compile_alone, headers))
    for path in headers:
        guard = re.sub(r"[^A-Z0-9]", "_", path.upper())
        if f"#ifndef {guard}" not in text_of(path):
            yield f"{path}: guard is not {guard}"


@lint
def banned_calls():
    """calls that have a better replacement are not made"""
    for calls, where, but, instead in BANNED:
        pattern = re.compile(r"(?<![\w.>])(" + "|".join(calls.split()) + r")\s*\(")
        for path in c_files(where):
            if but and path.startswith(but):
                continue
            for number, line in enumerate(code_of(path), 1):
                match = pattern.search(line)
                if match and not excused(path, number, match.group(1)):
                    yield f"{path}:{number}: {match.group(1)}(): use {instead}"


def python_tests():
    shebang = [f for f in files("/run", under=("tests/",)) if text_of(f).startswith("#!") and "python" in text_of(f).split("\n")[0]]
    return files(".py", under=("tests/",)) + shebang


@lint
def no_sleep_in_tests():
    """Python tests wait for something, with a deadline, in one function named wait_...; they do not sleep"""
    for path in python_tests():
        try:
            tree = ast.parse(text_of(path))
        except SyntaxError as error:
            yield f"{path}:{error.lineno}: {error.msg}"
            continue
        inside = {id(call) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) and re.match(r"_?(wait|until)", function.name)
                  for call in ast.walk(function)}
        for call in ast.walk(tree):
            if (isinstance(call, ast.Call) and ast.unparse(call.func) in ("time.sleep", "sleep") and id(call) not in inside
                    and not excused(path, call.lineno, "sleep")):
                yield f"{path}:{call.lineno}: sleep: wait for a line, a file or a counter with a deadline, in a function wait_..."


@lint
def file_length():
    """no file has more than 700 lines"""
    for path in c_files(LAYERS + ("tests/", "proto/"), ".c", ".h", ".py", ".proto") + files("/run", under=("tests/",)):
        lines = text_of(path).count("\n")
        if lines > FILE_LINES:
            yield f"{path}: {lines} lines: split it by the nouns it is about"


def functions(path):
    """(name, first line, lines) of each function: from a brace in the first column to its end."""
    lines = code_of(path)
    for start, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        head, above = "", start - 1
        while above >= 0 and lines[above].strip() and not re.search(r"[;}]\s*$|^#", lines[above]):
            head = lines[above] + " " + head
            above -= 1
        match = re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)\s*", "", head))
        end = next((n for n in range(start + 1, len(lines)) if lines[n].startswith("}")), start)
        if match:
            yield match.group(1), start + 1, end - start + 1


def long_functions():
    found = {}
    for path in c_files(LAYERS + ("tests/",), ".c"):
        for name, line, length in functions(path):
            if length > FUNCTION_LINES:
                found[f"{path} {name}"] = (length, line)
    return found


def ratchet():
    if not os.path.exists(RATCHET):
        return {}
    rows = [l.rsplit(None, 1) for l in text_of(RATCHET).splitlines() if l.strip() and not l.startswith("#")]
    return {key: int(n) for key, n in rows}


@lint
def function_length():
    """no function has more than 60 lines; those that had may only shrink"""
    known, found = ratchet(), long_functions()
    for key, (length, line) in sorted(found.items()):
        path, name = key.split()
        allowed = known.get(key, FUNCTION_LINES)
        if length > allowed:
            yield f"{path}:{line}: {name} has {length} lines, at most {allowed}: split it, or make it a table"
        elif length < allowed:
            yield f"{RATCHET}: {key} {allowed}: has {length} now; write that down (tests/lint/run --update)"
    for key in sorted(set(known) - set(found)):
        yield f"{RATCHET}: {key}: is short now, or gone; remove the line (tests/lint/run --update)"


def ratchet_update():
    """Lower what has shrunk, drop what is gone; what has grown stays as it was and goes on failing."""
    known, found = ratchet(), long_functions()
    rows = {key: min(length, known[key]) for key, (length, _) in found.items() if key in known}
    with open(RATCHET, "w", encoding="utf-8") as f:
        f.write("# Functions of more than 60 lines, with their length: they may only shrink (tests/lint/run --update).\n")
        f.writelines(f"{key} {length}\n" for key, length in sorted(rows.items()))
    print(f"{RATCHET}: {len(rows)} functions")
    return 0


@lint
def parameters():
    """public functions of lib/ and rules/ end with their outputs, named ret_"""
    declaration = re.compile(r"^\w[\w\s*]*?\b(\w+)\(([^;{]*)\)[^;{]*;", re.DOTALL | re.MULTILINE)
    for path in c_files(LIBRARIES, ".h"):
        for match in declaration.finditer("\n".join(code_of(path))):
            names = [re.sub(r"[\[(].*", "", p.strip()).split()[-1].lstrip("*") for p in match.group(2).split(",") if p.strip()]
            outputs = [i for i, n in enumerate(names) if n.startswith("ret_")]
            after = [n for n in names[outputs[-1] + 1:]] if outputs else []
            between = [n for n in names[outputs[0]:] if not n.startswith("ret_")] if outputs else []
            allowed = {"err", "arena", "room", "size", "n"}
            wrong = [n for n in after + between if n not in allowed and not n.endswith(("_n", "room", "_size", "_max"))]
            if wrong:
                number = "\n".join(code_of(path))[:match.start()].count("\n") + 1
                yield f"{path}:{number}: {match.group(1)}: {wrong[0]} stands after an output: outputs come last"


def indented_with_spaces(path, number):
    """Of a line that begins something; one that goes on with the line above may be aligned with spaces."""
    lines = code_of(path)
    if not re.match(r"^ {2,}\S", lines[number - 1]):
        return False
    above = next((l.rstrip() for l in reversed(lines[:number - 1]) if l.strip()), "")
    return above.endswith((";", "{", "}"))


@lint
def form():
    """tabs indent C; no space at a line's end, no CR, a newline at the end"""
    for path in c_files(LAYERS + ("tests/", "proto/", "config/", "docs/", ".ci/", "README"), ".c", ".h", ".py", ".proto", ".md", ".cfg", "run", "Makefile"):
        content = text_of(path)
        if content and not content.endswith("\n"):
            yield f"{path}: no newline at its end"
        for number, line in enumerate(content.split("\n"), 1):
            if line.endswith("\r"):
                yield f"{path}:{number}: CR at the end of the line"
            elif line != line.rstrip() and not path.endswith(".md"):
                yield f"{path}:{number}: space at the end of the line"
            elif path.endswith((".c", ".h")) and indented_with_spaces(path, number):
                yield f"{path}:{number}: indented with spaces: use tabs"


@lint
def unfinished():
    """nothing is left for later in the code"""
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK|not (?:yet )?implemented)\b")
    for path in c_files(LAYERS + ("tests/", "proto/"), ".c", ".h", ".py", ".proto", ".cfg", "run"):
        for number, line in enumerate(text_of(path).split("\n"), 1):
            match = marks.search(line)
            if match and not path.startswith("tests/lint/"):
                yield f"{path}:{number}: {match.group(1)}: do it now, or file it"


@lint
def first_line_says_what_is_proved():
    """each test begins with what it proves"""
    for path in files(".c", under=("tests/unit/test_", "tests/fuzz/fuzz_", "tests/bench/bench_")):
        if not re.match(r"/\*+ ?\w.{15}", text_of(path)):
            yield f"{path}:1: begins without a comment that says what is proved"
    for path in files(".py", under=("tests/",)):
        if os.path.basename(path).startswith("test_") and not re.match(r'(#!.*\n)?(""".{15}|# .{15})', text_of(path)):
            yield f"{path}:1: begins without a docstring that says what is proved"
    for path in files(".expect", under=("tests/scenarios/",)):
        if not re.match(r"# .{10}", text_of(path)):
            yield f"{path}:1: begins without a comment that says which rule or trap"
