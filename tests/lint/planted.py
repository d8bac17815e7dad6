"""A lint that cannot fail proves nothing: each is shown a small tree that breaks its rule, and must say so."""
import os
import re
import shutil
import subprocess
import tempfile

from base import lint

LONG = "int long_one(void);\nint long_one(void)\n{\n" + "\t;\n" * 70 + "\treturn 0;\n}\n"
# What is planted, and the lint that must see it.
PLANTED = {
    "layers": {"lib/low.c": '#include "broker/core.h"\n'},
    "third_party_headers": {"broker/stage.c": "#include <lmdb.h>\n"},
    "rules_are_pure": {"rules/clock.c": "#include <time.h>\n"},
    "headers_alone": {"lib/needs.h": "#ifndef LIB_NEEDS_H\n#define LIB_NEEDS_H\nsize_t n(void);\n#endif\n"},
    "banned_calls": {"lib/copy.c": "void f(char *a, const char *b)\n{\n\tstrcpy(a, b);\n}\n"},
    "no_sleep_in_tests": {"tests/e2e/test_lazy.py": '"""Proves that waiting is not sleeping."""\nimport time\ntime.sleep(1)\n'},
    "file_length": {"lib/endless.c": "/* line */\n" * 701},
    "function_length": {"lib/long.c": LONG},
    "parameters": {"lib/order.h": "#ifndef LIB_ORDER_H\n#define LIB_ORDER_H\nint f(int *ret_a, int flags);\n#endif\n"},
    "form": {"lib/spaces.c": "int f(void);\nint f(void)\n{\n    return 0;\n}\n"},
    "unfinished": {"lib/later.c": "/* TO" + "DO: the other half */\n"},
    "first_line_says_what_is_proved": {"tests/unit/test_mute.c": "#include <stddef.h>\n"},
    "nothing_generated": {"proto/event.pb-c.c": "\n"},
    "no_secrets": {"config/broker.key": "reentry key 1\n"},
    "no_machine_paths": {"docs/where.md": "See /home/" + "someone/reentry.\n"},
    "test_range_only": {"tests/e2e/data.jsonl": '{"oin": "0000000' + '1234567890123"}\n'},
    "links": {"docs/away.md": "[gone](nowhere.md)\n"},
    "scripts_parse": {"tests/broken": "#!/bin/sh\nif then\n"},
    "example_is_whole": {"config/example/gm9999.cfg": 'agent = {\n  # name\n  id = "gm9999";\n};\n'},
    "example_is_explained": {"config/example/bare.cfg": "agent = {\n  silent = 1;\n};\n"},
    "units_are_valid": {"config/systemd/odd.service": "[Service]\nExecStart=relative/path\n"},
}


@lint
def lints_can_fail():
    """each lint finds what is planted for it"""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree("tests/lint", f"{folder}/tests/lint", ignore=shutil.ignore_patterns("__pycache__", "planted.py"))
        with open(f"{folder}/tests/lint/planted.py", "w", encoding="utf-8") as f:
            f.write('"""Nothing is planted within what is planted."""\n')
        shutil.copytree("config", f"{folder}/config", ignore=shutil.ignore_patterns("keys", "store", "run", "spool"))
        for planted in PLANTED.values():
            for path, content in planted.items():
                os.makedirs(os.path.dirname(f"{folder}/{path}"), exist_ok=True)
                with open(f"{folder}/{path}", "w", encoding="utf-8") as f:
                    f.write(content)
        os.makedirs(f"{folder}/build/gen/proto")
        subprocess.run("git init -q && git add -f .", shell=True, cwd=folder, check=True, capture_output=True)
        environment = {**os.environ, "BUILD": f"{folder}/build", "T": ""}
        done = subprocess.run(["tests/lint/run"], cwd=folder, capture_output=True, text=True, env=environment)
        verdicts = {name: word for word, name in re.findall(r"^(ok|FAIL|SKIP)\s+([\w-]+)", done.stdout, re.MULTILINE)}
        for name, planted in PLANTED.items():
            verdict = verdicts.get(name.replace("_", "-"), "nothing")
            where = next(iter(planted))
            if verdict not in ("FAIL", "SKIP"):
                yield f"{name}: said {verdict} where {where} breaks its rule"
            elif verdict == "FAIL" and os.path.basename(where) not in done.stdout:
                yield f"{name}: does not name {where}"
        for name in sorted(set(verdicts) - {n.replace("_", "-") for n in PLANTED}):
            yield f"tests/lint/planted.py: nothing is planted for {name}"
