"""How hpaxis carries a load: `make load`, or parts of it with  python benchmarks/load.py plan run deep.

submissions   1,000 libraries (--libraries) under profiles/slurm, small ones in batches and large ones by themselves
plan   2,000 libraries and 100 plates with their files: checked, planned and dry-run
plates 100 plates (--plates) and their hair samples: the cortisol stage, by the CPU of its jobs
run    1,000 libraries of 2,000 read pairs (--libraries, --pairs): the methylation stage, memory of its jobs
deep   one library of 20 million read pairs (--deep): memory and time of its job

Each part prints one line for docs/reliability.md. Times are of this machine, so no test asserts them.
"""

import argparse
import gzip
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from hpaxis import schemas  # noqa: E402
from hpaxis.simulation.plates import PlateDesign  # noqa: E402
from hpaxis.simulation.reads import random_stream, simulate_reads, write_fastq  # noqa: E402
from hpaxis.simulation.study import (  # noqa: E402
    chemistry,
    simulate,
    write_plates,
    write_reads,
    write_sheets,
    write_study,
)
from hpaxis.tables import read_table, write_table  # noqa: E402


@dataclass
class Measured:
    """What one run of Snakemake took: seconds on the clock and of the CPU (its own and its jobs'), MB at most.

    ``first`` and ``most``: resident memory of Snakemake itself when the first job runs, and at most. ``disk``: size of
    the folder at most, in GB.
    """

    wall: float
    cpu: float
    first: float
    most: float
    disk: float


def snakemake(folder, *arguments):
    """Run Snakemake on the study in `folder`; return what was `Measured`, looking every other second."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "snakemake", *arguments, "-s", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--quiet", "rules", "--configfile", "study/config.yaml"]
    first = most = disk = 0.0
    with open(Path(folder) / "load.log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        while process.poll() is None:
            most = max(most, _peak(process.pid))
            disk = max(disk, sum(_size(p) for p in Path(folder).rglob("*")) / 1e9)
            if not first and any(Path(folder).glob("results/*/*")):
                first = most
            time.sleep(2)
    if process.returncode:
        sys.exit((Path(folder) / "load.log").read_text(errors="replace")[-3000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(time.monotonic() - start, cpu, first, most, disk)


def _peak(pid):
    """Largest resident memory of a process so far, in MB (Linux)."""
    try:
        line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0.0
    return int(line.split()[1]) / 1024


def _size(path):
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def settings(dyads, pairs):
    """The demo's config for so many dyads and read pairs a library, the sheets in study/: a dict to be changed."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    config["simulation"] |= {"dyads": dyads, "pairs_per_library": pairs}
    config["sheets"] = {name: f"study/{name}.tsv" for name in config["sheets"]}
    return yaml.safe_load(yaml.safe_dump(schemas.with_defaults(config, schemas.config_schema())))


def copies_study(libraries, plates, pairs):
    """A study of so many libraries and plates in ./study whose files are copies of a few simulated ones."""
    per_dyad = 2 * 96 / 89  # two libraries, and seven controls a plate of 96
    config = settings(round(libraries / per_dyad), pairs)
    simulation = simulate(config, "study")
    Path("study").mkdir()
    write_sheets(simulation, config["sheets"])
    write_plates(simulation, "study/plates")
    few = simulate(settings(12, pairs), "few")
    write_reads(few, "few/reads", cores=2)
    ordinary = few.libraries[0].library_id
    Path("study/reads").mkdir()
    for library in simulation.libraries:  # controls stay controls
        stem = library.library_id.split("-")[0] + "-1" if "-" in library.library_id else ordinary
        for mate in (1, 2):
            own = f"study/reads/{library.library_id}_R{mate}.fastq.gz"
            renamed(f"few/reads/{stem}_R{mate}.fastq.gz", own, library.library_id)
    table = read_table("study/plates.tsv")
    table["reader_plate"] = table["plate_id"]
    more = max(plates - len(table), 0)  # plates again, under other ids
    again = table.iloc[[i % len(table) for i in range(more)]].assign(plate_id=[f"X{i:03d}" for i in range(more)])
    write_table(pd.concat([table, again]), "study/plates.tsv")
    del config["simulation"]
    Path("study/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return len(simulation.libraries), len(table) + more


def renamed(source, copy, name):
    """Copy a FASTQ file with names of its own: the same reads under two libraries are refused."""
    lines = gzip.decompress(Path(source).read_bytes()).split(b"\n")
    lines[:-1:4] = [b"@" + name.encode() + b":" + line[1:] for line in lines[:-1:4]]
    Path(copy).write_bytes(gzip.compress(b"\n".join(lines), compresslevel=1, mtime=0))


def plan(given):
    """Time the first plan, which reads every file through, and the next."""
    libraries, plates = copies_study(2000, 100, 300)
    first, again = snakemake(".", "--dry-run"), snakemake(".", "--dry-run")
    print(f"plan: {libraries} libraries, {plates} plates: every file read and dry-run in {first.wall:.0f} s "
          f"({first.cpu:.0f} s CPU, {first.most:.0f} MB), dry-run again in {again.wall:.0f} s ({again.cpu:.0f} s CPU)",
          flush=True)  # fmt: skip


def plates(given):
    """Run the cortisol stage on many plates of hair alone, each with samples of its own: copies are refused."""
    dyads = 40
    of_a_dyad = len(simulate(settings(dyads, 300)).cohort.hair) / dyads
    config = settings(int(given.plates * PlateDesign().samples_per_plate / of_a_dyad), 300)
    simulation = simulate(config, "study")
    Path("study").mkdir()
    write_sheets(simulation, config["sheets"])
    write_plates(simulation, "study/plates")
    del config["simulation"], config["moderation"]
    config["sheets"]["libraries"], config["models"] = None, {}
    Path("study/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    ran = snakemake(".", "results/cortisol/samples.tsv")
    jobs = pd.concat(pd.read_csv(p, sep="\t") for p in Path("logs/benchmarks/quantify_plates").glob("*.tsv"))
    together = pd.read_csv("logs/benchmarks/collect_cortisol.tsv", sep="\t")
    print(f"plates: {len(simulation.plates)} plates, {len(simulation.cohort.hair)} hair samples, up to samples.tsv in "
          f"{ran.wall:.0f} s ({ran.cpu:.0f} s CPU): {jobs['cpu_time'].sum():.0f} s for the plates in {len(jobs)} jobs, "
          f"{together['cpu_time'].sum():.0f} s to bring them together", flush=True)  # fmt: skip


def run(given):
    """Run the methylation stage on many libraries."""
    libraries, _ = copies_study(given.libraries, 0, given.pairs)
    ran = snakemake(".", "methylation")
    measured = [pd.read_csv(p, sep="\t") for p in sorted(Path("logs/benchmarks/count_amplicon_reads").glob("*.tsv"))]
    rss = pd.concat(measured)["max_rss"]
    whole = {p.stem: pd.read_csv(p, sep="\t")["max_rss"].max() for p in sorted(Path("logs/benchmarks").glob("*.tsv"))}
    print(f"run: {libraries} libraries of {given.pairs} read pairs in {ran.wall:.0f} s ({ran.cpu:.0f} s CPU); memory "
          f"of Snakemake {ran.first:.0f} MB at the first job and {ran.most:.0f} MB at most, of a counting job "
          f"{rss.min():.0f}-{rss.max():.0f} MB, of " + ", ".join(f"{name} {mb:.0f} MB" for name, mb in whole.items())
          + f"; disk {ran.disk:.1f} GB", flush=True)  # fmt: skip


def deep(given):
    """Count one very deep library, all of whose read pairs are different."""
    write_study(settings(12, 300), "study", cores=2)
    member = min(100_000, given.deep)
    shallow = simulate(settings(12, 300), "study")
    library = replace(shallow.libraries[0], own=member, hopped=0, dimer=0, off_target=0)
    name = library.library_id
    paths = [Path(f"study/reads/{name}_R{mate}.fastq.gz") for mate in (1, 2)]
    parts = [Path(f"part_R{mate}.fastq.gz") for mate in (1, 2)]
    for path in paths:
        path.unlink()
    for i in range(given.deep // member):  # gzip members one after another are one gzip file
        stream = random_stream(given.deep, name, i)
        write_fastq(simulate_reads(shallow.amplicon, library, stream, (), chemistry(shallow.settings)), *parts)
        for path, part in zip(paths, parts, strict=True):
            with open(path, "ab") as file:
                file.write(part.read_bytes())
    ran = snakemake(".", f"results/methylation/counts/{name}.tsv")
    pairs = read_table(f"results/methylation/reads/{name}.tsv")["pairs_in"].iloc[0]
    distinct = len(read_table(f"results/methylation/patterns/{name}.tsv"))
    memory = pd.read_csv(f"logs/benchmarks/count_amplicon_reads/{name}.tsv", sep="\t")["max_rss"].iloc[0]
    print(
        f"deep: {pairs} read pairs, {distinct} distinct molecules, checked and counted in {ran.wall:.0f} s "
        f"({ran.cpu:.0f} s CPU); memory of the job {memory:.0f} MB at most, of Snakemake {ran.most:.0f} MB; "
        f"disk {ran.disk:.0f} GB at most"
    )


def submissions(given):
    """Count what the SLURM profile would submit for a study, by a dry-run with the profile's groups."""
    config = settings(round(given.libraries / (2 * 96 / 89)), given.pairs)
    Path("study").mkdir()
    simulation = simulate(config)
    write_sheets(simulation, config["sheets"])
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text(encoding="utf-8"))
    groups = ["--groups", *(f"{k}={v}" for k, v in profile["groups"].items())]
    groups += ["--group-components", *(f"{k}={v}" for k, v in profile["group-components"].items())]
    for what, most in (("small", 12), ("small", 50), ("large", 1)):
        config["methylation"]["libraries_per_job"] = most
        Path("study/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--dry-run", "-s", str(ROOT / "Snakefile"), "--cores", "4"]
        command += ["--configfile", "study/config.yaml", *groups]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout[-2000:] + done.stderr[-3000:])
        jobs = len(re.findall(r"^ *rule (?!all:)", done.stdout, flags=re.MULTILINE))
        alone = len(re.findall(r"^rule (?!all:)", done.stdout, flags=re.MULTILINE))
        together = len(re.findall(r"Group job ", done.stdout))
        study = f"{len(simulation.libraries)} {what} libraries, {len(simulation.plates)} plates"
        print(f"submissions: {study}, {most} a job: {jobs} jobs in {alone + together} submissions", flush=True)


PARTS = {"submissions": submissions, "plan": plan, "plates": plates, "run": run, "deep": deep}


def main():
    """Do the parts that are asked for, each in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="default: all")
    parser.add_argument("--libraries", type=int, default=1000)
    parser.add_argument("--plates", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--deep", type=int, default=20_000_000)
    given = parser.parse_args()
    for name in given.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix=f"hpaxis-load-{name}.") as folder:
            os.chdir(folder)
            PARTS[name](given)
            os.chdir(ROOT)


if __name__ == "__main__":
    main()
