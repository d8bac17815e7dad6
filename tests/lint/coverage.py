"""Sums gcov's lines per file and folder after a run of the coverage build.  make coverage; usage: coverage.py BUILD"""
import collections
import gzip
import glob
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
OURS = ("lib/", "rules/", "broker/", "agents/", "cli/")


def main(build):
    hits = collections.defaultdict(dict)
    data = [os.path.abspath(p) for p in glob.glob(f"{build}/obj/**/*.gcda", recursive=True)]
    if not data:
        print(f"coverage: no counters under {build}/obj: did the tests run?", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["gcov", "--json-format", *data], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        for name in glob.glob(folder + "/*.gcov.json.gz"):
            with gzip.open(name, "rt", encoding="utf-8") as f:
                for source in json.load(f)["files"]:
                    path = os.path.relpath(os.path.join(ROOT, source["file"]), ROOT)
                    for line in source["lines"] if path.startswith(OURS) else []:
                        seen = hits[path]
                        seen[line["line_number"]] = max(seen.get(line["line_number"], 0), line["count"])
    folders = collections.Counter()
    for path, lines in sorted(hits.items()):
        covered = sum(1 for n in lines.values() if n)
        folders[path.split("/")[0], 0] += covered
        folders[path.split("/")[0], 1] += len(lines)
        print(f"{100 * covered / max(1, len(lines)):6.1f} %  {covered:5} of {len(lines):5}  {path}")
    print()
    for name in sorted({n for n, _ in folders}):
        covered, lines = folders[name, 0], folders[name, 1]
        print(f"{100 * covered / max(1, lines):6.1f} %  {covered:5} of {lines:5}  {name}/")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
