"""How long does a whole study take, and how much of that is jobs starting up?

python benchmarks/whole_run.py --dyads 56 --pairs 5000 --cores 2

Simulates a study (56 dyads: more than 88 libraries and four plates), runs the whole workflow on it and prints the time
of each rule, the share of start-up (interpreter and imports, measured for each entry point in the same run) and of
Snakemake's own scheduling. Writes nothing but its folder of work.
"""

import argparse
import ast
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from hpaxis.tables import read_table

ROOT = Path(__file__).resolve().parents[1]


def imports_of(script):
    """Return the import statements of an entry point, wherever they stand in it."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(n) for n in found)


def start_up(script, repeats=3):
    """Return the median wall time, in seconds, of starting Python and importing what an entry point imports."""
    times = []
    for _ in range(repeats):
        before = time.perf_counter()
        subprocess.run([sys.executable, "-c", imports_of(script)], cwd=ROOT / "scripts", check=True)
        times.append(time.perf_counter() - before)
    return sorted(times)[repeats // 2]


def scripts_by_rule():
    """Return rule to entry point, read from the rule files."""
    found = {}
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for rule, body in re.findall(r"^rule (\w+):(.*?)(?=^rule |\Z)", path.read_text(), re.MULTILINE | re.DOTALL):
            named = re.search(r"scripts/(\w+\.py)", body)
            if named:
                found[rule] = ROOT / "scripts" / named.group(1)
    return found


def seconds_by_rule(folder):
    """Return a table of rule, jobs and seconds of their processes, from Snakemake's benchmark files."""
    rows = []
    for path in sorted(folder.rglob("*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        rows.append((rule, pd.read_csv(path, sep="\t")["s"].sum()))
    return pd.DataFrame(rows, columns=["rule", "s"]).groupby("rule")["s"].agg(jobs="size", seconds="sum").reset_index()


def main():
    """Simulate, run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dyads", default="56")
    parser.add_argument("--pairs", default="5000")
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hpaxis-whole-run-") as work:
        simulate = [sys.executable, "-m", "hpaxis", "simulate", "--config", "config/config.yaml"]
        subprocess.run(
            [*simulate, "--out", f"{work}/study", "--dyads", given.dyads, "--pairs", given.pairs], cwd=ROOT, check=True
        )
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "workflow" / "Snakefile"), "--quiet", "all"]
        command += ["--directory", work, "--configfile", f"{work}/study/config.yaml", "--cores", str(given.cores)]
        before = time.perf_counter()
        subprocess.run(command, check=True)
        wall = time.perf_counter() - before
        table = seconds_by_rule(Path(work) / "logs" / "benchmarks")
        libraries, plates = (len(read_table(f"{work}/study/{name}.tsv")) for name in ("libraries", "plates"))
    scripts = scripts_by_rule()
    table["start_up"] = table["jobs"] * table["rule"].map(lambda rule: start_up(scripts[rule]))
    table = table.sort_values("seconds", ascending=False)
    print(table.round(1).to_string(index=False))
    busy, idle = table["seconds"].sum(), wall * given.cores
    starting = table["start_up"].sum()
    print(f"\n{libraries} libraries of about {given.pairs} pairs, {plates} plates, {given.cores} cores: {wall:.0f} s")
    print(f"of {idle:.0f} core seconds: start-up of jobs {starting / idle:.0%},", end=" ")
    print(f"work {(busy - starting) / idle:.0%}, scheduling and waiting {(idle - busy) / idle:.0%}")


if __name__ == "__main__":
    main()
