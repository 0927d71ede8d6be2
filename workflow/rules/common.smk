# The study, read and checked once when the workflow is planned, and the helpers that rules share.
import os
import shlex
import sys
from pathlib import Path

ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
# This checkout's library, here and in every job, even where another one is installed.
sys.path.insert(0, str(ROOT / "scripts"))
os.environ.update(PYTHONPATH=os.pathsep.join([str(ROOT / "scripts"), *filter(None, [os.getenv("PYTHONPATH")])]))
# Snakemake gives the path of its Python to a shell as it stands, for each job: in a folder with a space it needs quotes.
if workflow.is_main_process:
    sys.executable = shlex.quote(sys.executable)

from hpaxis.cortisol.kits import split_plates
from hpaxis.methylation.levels.cell_mix import cell_types
from hpaxis.problems import InputError
from hpaxis.report import settings as report_settings
from hpaxis.study import load_study, read_study

RESULTS = workflow.pathvars.get("results")
CONFIG_FILE = ", ".join(os.path.relpath(f) for f in workflow.overwrite_configfiles) or "config/config.yaml"

try:
    if workflow.is_main_process:
        study = load_study(
            dict(config),
            CONFIG_FILE,
            made_by_workflow=(f"{RESULTS}/simulation" if "simulation" in config else None),
            cache=".snakemake/hpaxis/checked_files.json",
        )
    else:
        study, _ = read_study(dict(config), CONFIG_FILE)
except InputError as error:
    print(error, file=sys.stderr)
    print(
        f"{len(error.problems)} problem(s) in the inputs; nothing was started.",
        file=sys.stderr,
    )
    sys.exit(1)


wildcard_constraints:
    library="|".join(study.library_ids()) or "none",
    plate="|".join(study.plate_ids()) or "none",
    model="|".join(study.models) or "none",


SHARED = ("figures", "labels", "names", "problems", "schemas", "sheets", "sizes", "tables", "workbooks")


def library(*stages):
    """The modules that a job runs: named as its input, so that an edited module reruns what depends on it."""
    package = ROOT / "scripts" / "hpaxis"
    modules = [package / f"{m}.py" for m in SHARED]
    for stage in stages:
        modules += [p for p in (package / stage).rglob("*") if p.suffix in (".py", ".html", ".css")]
    # Relative, so that a study that is moved together with its checkout stays up to date.
    return sorted(os.path.relpath(m) for m in modules)


def schemas_of(*stages):
    """The schemas that a job checks its tables against."""
    folder = ROOT / "workflow" / "schemas"
    return sorted(os.path.relpath(p) for stage in stages for p in folder.glob(f"{stage}_*.yaml"))


def growing(amount):
    """A resource that a failed job asks for again in a larger measure: twice, then three times the amount."""
    return lambda wildcards, attempt: amount * attempt


# What the simulator's rules are given, and the tables of truth they write; None where a study brings its own reads.
simulated = (
    {
        "simulation": study.config["simulation"],
        "seed": study.config["seed"],
        "arms": study.config["arms"],
        "cohort": {"timepoint": study.config["cohort"]["timepoint"]},
    }
    if "simulation" in study.config
    else None
)
TRUTH = ("people", "levels", "indices", "tubes", "samples", "wells", "coefficients")

# Plates that are evaluated here, and tables of concentrations that were finished elsewhere.
measured_plates, finished_plates = split_plates(study.plates, study.config["cortisol"]["kits"])

# A study may have no saliva: then no job of the methylation stage is planned.
with_saliva = bool(study.library_ids())

# Libraries that are counted from reads here, or come as counts.
sequenced = study.library_ids(assay="genome")
# What amplicon reads show by cycle; a genome's reads begin anywhere.
by_cycle = sorted([*study.library_ids(assay="amplicon"), *study.library_ids(assay="counts")])
counted = sorted([*by_cycle, *sequenced])
# Libraries that a pyrosequencer measured, without molecules.
pyrosequenced = study.library_ids(assay="pyrosequencing")


# Whether a panel's marker table tells cell types apart.
cell_mixed = bool(cell_types(study.libraries))

# Genome libraries that come as FASTQ.
unaligned = [name for name in sequenced if study.fastq(name)]


def one_of(names):
    """A wildcard that is one of these names, or none at all."""
    return "|".join(names) or "none"
