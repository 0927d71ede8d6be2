"""From gzipped FASTQ to per-CpG counts: hpaxis beside methylpy and BSBolt, on the same reads in one run.

python benchmarks/amplicon_calling.py [--pairs 200000] [--keep]      writes docs/benchmark_amplicon_calling.md
and its plot, and says which ratios have grown against benchmarks/ratios.tsv; --keep writes those anew.

Reads are simulated: 2×250 pairs of NR3C1 exon 1F with known levels. Every step is a process of its own; CPU is user
and system time of that process and its children. BSBolt is built from PyPI into an environment of its own (its build
needs a C compiler, make and autoconf); without it its row is left out and the table says so.
"""

import argparse
import csv
import gzip
import os
import platform
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path
from statistics import fmean

# Nothing large is imported here: a process begins with the memory of the one that started it.
ROOT = Path(__file__).parents[1]
PANEL = ROOT / "resources" / "panels" / "nr3c1_exon1f"
AMPLICON = "nr3c1_exon1f"
# An aligner drops pairs that touch a contig's edge: 100 N on either side mend it.
FLANK = 100
# A machine's pace changes by a fifth and more between runs of a few seconds.
TURNS = 3
# CPU in units of parsing, as measured when it was last kept; a third more is more than a busy machine explains.
RATIOS, SLOWER = ROOT / "benchmarks" / "ratios.tsv", 4 / 3
# One library of the demo's chemistry; prints the true mean level of its templates, in percent.
SIMULATE = """
import numpy as np
from hpaxis.methylation.panels.panel import read_panel
from hpaxis.simulation.reads import Library, panel_amplicon, random_stream, simulate_reads, write_fastq
amplicon = panel_amplicon(read_panel("PANEL"))
rng = random_stream(20240112, "benchmark")
levels = np.clip(rng.gamma(4, 0.007, amplicon.offsets.size), 0, 0.08)
hopped, dimer, off_target = (round(share * {pairs}) for share in (0.002, 0.06, 0.04))
library = Library("x", levels, {pairs} - hopped - dimer - off_target, hopped, dimer, off_target, non_conversion=0.006,
                  failed=0.002, over_conversion=0.006)
write_fastq(simulate_reads(amplicon, library, rng, [library]), *{files!r})
print(100 * levels.mean())
""".replace("PANEL", str(PANEL))
STEPS = {
    "parse": "import dnaio\nwith dnaio.open(*{files!r}) as reads:\n    for pair in reads: pass",
    "count": (
        "from hpaxis.methylation.counting.calls import count_library\n"
        "from hpaxis.methylation.panels.panel import read_panel\n"
        "count_library({files!r}, read_panel({panel!r}), 'x').counts.to_csv({out!r}, sep='\\t')"
    ),
    "count_bam": (
        "from hpaxis.methylation.counting.calls import count_library\n"
        "from hpaxis.methylation.counting.bam import BamWriter\n"
        "from hpaxis.methylation.counting.sample import MoleculeSample\n"
        "from hpaxis.methylation.panels.panel import read_panel\npanel = read_panel({panel!r})\n"
        "sample = MoleculeSample(10_000, 1, 'x')\n"
        "with BamWriter({bam!r}, panel.references, 'x', sample) as bam:\n"
        "    calls = count_library({files!r}, panel, 'x', sink=bam.add)\n"
        "calls.counts.to_csv({out!r}, sep='\\t')\n"
        "sample.write({sample!r}, panel)"
    ),
    "methylpy": (
        "from hpaxis.methylation.assays.methylpy import call_methylpy\n"
        "from hpaxis.methylation.panels.panel import read_panel\n"
        "call_methylpy({{'x': {bam!r}}}, read_panel({panel!r}), 20)['x'].to_csv({out!r}, sep='\\t')"
    ),
}


def main():
    """Run every tool and write the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pairs", type=int, default=200_000)
    options.add_argument("--work", type=Path, default=ROOT / "build" / "amplicon_calling")
    options.add_argument("--bsbolt", type=Path, help="an installed bsbolt; otherwise it is built here")
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmark_amplicon_calling.md")
    options.add_argument("--keep", action="store_true", help="write the ratios that later runs are compared with")
    given = options.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    files = [str(given.work / f"x_R{mate}.fastq.gz") for mate in (1, 2)]
    level = float(subprocess.check_output([sys.executable, "-c", SIMULATE.format(files=files, pairs=given.pairs)]))
    rows = own(files, given.work)
    bsbolt = given.bsbolt or build_bsbolt(given.work)
    rows += [run_bsbolt(bsbolt, files, given.work)] if bsbolt else []
    for row in rows:
        row["pairs / CPU s"] = given.pairs / row["CPU s"]
        row["CPU / parse"] = row["CPU s"] / rows[0]["CPU s"]
        row["wall / parse"] = row["wall s"] / rows[0]["wall s"]
        row["CPU / hpaxis"] = row["CPU s"] / rows[1]["CPU s"]
    write(rows, given.out, given.pairs, level, bool(bsbolt))
    plot(rows, given.out.with_suffix(".svg"), given.pairs)
    compare(rows, given.keep)


def measure(command, **options):
    """Run a command; return wall and CPU seconds and the largest memory in MB."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))[:200]}")
    return {
        "wall s": time.perf_counter() - begin,
        "CPU s": usage.ru_utime + usage.ru_stime,
        "memory MB": usage.ru_maxrss / 1024,
    }


def python(step, **values):
    """Measure a Python step less the start of an interpreter that imports the same and does nothing."""
    code = STEPS[step].format(**values)
    imports = "\n".join(line for line in code.splitlines() if line.startswith(("import", "from")))
    start, used = measure([sys.executable, "-c", imports]), measure([sys.executable, "-c", code])
    return {key: used[key] - (start[key] if key != "memory MB" else 0) for key in used}


def least(steps, values):
    """Measure steps by turns, since a machine's pace changes; the least of each."""
    turns = [[python(step, **values) for step in steps] for _ in range(TURNS)]
    return [{key: min(turn[key] for turn in one) for key in one[0]} for one in zip(*turns)]


def own(files, work):
    """Reading and parsing only; hpaxis' counts alone, counts and BAM, as shipped, and methylpy on the whole BAM."""
    out = {name: str(work / f"{name}.tsv") for name in ("counts", "counts_bam", "sampled", "methylpy")}
    values = {"files": files, "panel": str(PANEL), "bam": str(work / "x.bam"), "sample": str(work / "sample.bam")}
    parsing, counting = least(("parse", "count"), values | {"out": out["counts"]})
    (with_bam,) = least(("count_bam",), values | {"out": out["counts_bam"]})
    (sampled,) = least(("methylpy",), values | {"bam": values["sample"], "out": out["sampled"]})
    second = python("methylpy", **(values | {"out": out["methylpy"]}))
    whole = {"tool": "hpaxis: counts and BAM"} | with_bam | _result(out["counts_bam"])
    if _result(out["counts"]) != _result(out["counts_bam"]):
        sys.exit("counts differ with and without a BAM")
    return [
        {"tool": "dnaio: read and parse only"} | parsing,
        {"tool": "hpaxis: counts"} | counting | _result(out["counts"]),
        whole,
        {"tool": "hpaxis as shipped: counts, BAM, methylpy on 10,000 molecules"} | _both(with_bam, sampled)
        | _result(out["counts_bam"]),
        {"tool": "methylpy 1.4.7 (call-methylation-state) on hpaxis' whole BAM, both steps"} | _both(with_bam, second)
        | _result(out["methylpy"]),
    ]  # fmt: skip


def _both(one, two):
    summed = {key: one[key] + two[key] for key in ("wall s", "CPU s")}
    return summed | {"memory MB": max(one["memory MB"], two["memory MB"])}


def _result(path):
    with open(path, encoding="utf-8") as handle:
        table = list(csv.DictReader(handle, delimiter="\t"))
    shares = [int(row["methylated"]) / int(row["depth"]) for row in table]
    return {"raw CpG %": 100 * fmean(shares), "deepest CpG": max(int(row["depth"]) for row in table)}


def build_bsbolt(work):
    """Install BSBolt into its own environment; None when that fails."""
    home = work / "bsbolt"
    program = home / "bin" / "bsbolt"
    if not program.is_file():
        if not shutil.which("autoheader"):
            print("BSBolt is left out: building it needs autoconf", file=sys.stderr)
            return None
        venv.create(home, with_pip=True)
        if subprocess.run([home / "bin" / "pip", "install", "-q", "bsbolt==1.6.0"]).returncode:
            return None
    return program


def run_bsbolt(program, files, work):
    """BSBolt: index, align (undirectional, as reads start from either end), sort, call."""
    reference = "".join(line for line in (PANEL / "reference.fa").read_text().splitlines() if line[0] != ">")
    (work / "padded.fa").write_text(f">{AMPLICON}\n{'N' * FLANK}{reference}{'N' * FLANK}\n")
    database, prefix = work / "database", work / "bsbolt_out"
    shutil.rmtree(database, ignore_errors=True)
    steps = [
        ["Index", "-G", work / "padded.fa", "-DB", database],
        ["Align", "-DB", database, "-F1", files[0], "-F2", files[1], "-O", prefix, "-UN", "-t", "1", "-OT", "1"],
        ["Sort", "-I", f"{prefix}.bam", "-O", f"{prefix}.sorted.bam"],
        ["BamIndex", "-I", f"{prefix}.sorted.bam"],
        ["CallMethylation", "-I", f"{prefix}.sorted.bam", "-DB", database, "-O", prefix, "-CG", "-min", "1"],
    ]
    used = [measure([program, *map(str, step)], stderr=subprocess.DEVNULL) for step in steps]
    total = {key: sum(u[key] for u in used) for key in ("wall s", "CPU s")}
    with gzip.open(f"{prefix}.CGmap.gz", "rt") as handle:
        sites = [line.split("\t") for line in handle]
    share = [int(s[6]) / int(s[7]) for s in sites]
    return {
        "tool": "BSBolt 1.6.0: index, align, sort, call", **total, "memory MB": max(u["memory MB"] for u in used),
        "raw CpG %": 100 * fmean(share), "deepest CpG": max(int(s[7]) for s in sites),
    }  # fmt: skip


def write(rows, path, pairs, level, with_bsbolt):
    """Write the table as Markdown, with what it was measured on, and print it."""
    columns = ["tool", "CPU s", "wall s", "pairs / CPU s", "CPU / parse", "wall / parse", "CPU / hpaxis", "memory MB",
               "raw CpG %", "deepest CpG"]  # fmt: skip
    forms = {"pairs / CPU s": "{:,.0f}", "memory MB": "{:.0f}", "deepest CpG": "{:,.0f}", "raw CpG %": "{:.3f}"}
    lines = ["| " + " | ".join(columns) + " |", "| --- |" + " ---: |" * (len(columns) - 1)]
    for row in rows:
        cells = [row["tool"], *(forms.get(c, "{:.2f}").format(row[c]) if c in row else "" for c in columns[1:])]
        lines.append("| " + " | ".join(cells) + " |")
    text = "\n".join(lines)
    busy = rows[-1]["wall s"] > 2 * rows[-1]["CPU s"]
    busy = " The machine was busy with other work: compare CPU, not the clock." if busy else ""
    note = "" if with_bsbolt else "\nBSBolt could not be installed here, and has no row.\n"
    path.write_text(
        "# Amplicon calling, measured\n\n"
        f"{pairs:,} simulated pairs of 2×250 bases of NR3C1 exon 1F; Python {platform.python_version()}; "
        "hpaxis reads and parses a chunk in a thread while it counts the one before. "
        f"Rows of hpaxis are the least of {TURNS} turns, but the last. "
        "CPU is user and system time, less the start of Python and its imports. Ratios hold from machine to machine; "
        f"seconds do not. The templates' true mean level is {level:.3f} %; raw CpG % also holds the .6 % of "
        f"unmethylated cytosines left unconverted, before correction. As shipped, hpaxis takes "
        f"{_fewer(rows)}.{busy}\n\n"
        f"{text}\n{note}\n![CPU seconds by tool]({path.stem}.svg)\n\n"
        "Made by `make benchmark`.\n",
        encoding="utf-8",
    )
    print(text)


def _fewer(rows):
    shipped = next(row for row in rows if "as shipped" in row["tool"])
    if not rows[-1]["tool"].startswith("BSBolt"):
        return "the CPU time of the fourth row"
    return f"{rows[-1]['CPU s'] / shipped['CPU s']:.1f} times fewer CPU seconds than BSBolt"


def plot(rows, path, pairs):
    """Draw CPU seconds of each tool, with what it reads beside them."""
    from matplotlib.figure import Figure

    shown = rows[::-1]
    figure = Figure(figsize=(8, 0.5 * len(shown) + 1))
    axes = figure.subplots()
    axes.barh([row["tool"] for row in shown], [row["CPU s"] for row in shown], color="#4c72b0")
    for i, row in enumerate(shown):
        read = f", {row['raw CpG %']:.2f} % at depth {row['deepest CpG']:,}" if "raw CpG %" in row else ""
        axes.text(row["CPU s"], i, f" {row['CPU s']:.1f} s{read}", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(right=30 * max(row["CPU s"] for row in rows))
    axes.set_xlabel(f"CPU seconds, {pairs:,} pairs (log scale)")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def compare(rows, keep):
    """Say which tools cost clearly more, in units of parsing in the same run, than the ratios kept."""
    own = [row for row in rows if row["tool"].startswith("hpaxis")]
    ratios = {row["tool"]: row["CPU s"] / rows[0]["CPU s"] for row in own}
    if keep or not RATIOS.is_file():
        lines = ["tool\tcpu_per_parse", *(f"{tool}\t{ratio:.2f}" for tool, ratio in ratios.items())]
        RATIOS.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return
    with open(RATIOS, encoding="utf-8") as handle:
        kept = {row["tool"]: float(row["cpu_per_parse"]) for row in csv.DictReader(handle, delimiter="\t")}
    for tool, ratio in ratios.items():
        if tool in kept and ratio > SLOWER * kept[tool]:
            print(f"slower than kept: {tool}: {ratio:.1f} times parsing, {kept[tool]:.1f} before", file=sys.stderr)


if __name__ == "__main__":
    main()
