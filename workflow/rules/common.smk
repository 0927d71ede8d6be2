# The study, read and checked once when the workflow is planned, and the helpers that rules share.
import os
import shlex
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path


def checkout(place):
    """The folder that holds the workflow's files; those of a git address are unpacked, once for each commit."""
    clone = getattr(place, "repo_path", None) or (
        place.hosted_repo.repo_clone if hasattr(place, "hosted_repo") else None
    )
    if clone is None:
        return Path(place.get_path_or_uri(secret_free=True)).parents[1]
    git = ["git", "-C", str(clone)]
    commit = subprocess.run([*git, "rev-parse", f"{place.ref}^{{commit}}"], capture_output=True, text=True, check=True)
    folder = Path(".snakemake/hpaxis/source", commit.stdout.strip()).absolute()
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.{os.getpid()}")
        with subprocess.Popen([*git, "archive", folder.name], stdout=subprocess.PIPE) as archive:
            with tarfile.open(fileobj=archive.stdout, mode="r|") as files:
                files.extractall(part, filter="data")
        part.rename(folder)
    return folder.joinpath(*Path(place.path).parts[:-2])


ROOT = checkout(workflow.current_basedir)
# This checkout's library, here and in every job, even where another one is installed.
sys.path.insert(0, str(ROOT / "scripts"))
os.environ.update(PYTHONPATH=os.pathsep.join([str(ROOT / "scripts"), *filter(None, [os.getenv("PYTHONPATH")])]))
# Snakemake gives the path of its Python to a shell as it stands, for each job: in a folder with a space it needs quotes.
if not sys.executable.startswith("'"):
    sys.executable = shlex.quote(sys.executable)

from hpaxis.config import keys_given_twice
from hpaxis.cortisol.kits import split_plates
from hpaxis import imports
from hpaxis.methylation.panels.cell_types import cell_types
from hpaxis.problems import InputError, raise_if_any
from hpaxis.report import settings as report_settings
from hpaxis.study import load_study, read_study
from hpaxis.study.contents import content_of
from hpaxis.study.plan import facts, mask

RESULTS = workflow.pathvars.get("results")
CONFIG_FILE = ", ".join(os.path.relpath(f) for f in workflow.overwrite_configfiles) or "config/config.yaml"
# Where the workflow itself makes what the sheets name: reads and plates of a simulated study.
made_by_workflow = f"{RESULTS}/simulation" if "simulation" in config else None

try:
    if workflow.is_main_process:
        raise_if_any([problem for path in workflow.configfiles for problem in keys_given_twice(path)])
        study = load_study(
            dict(config),
            CONFIG_FILE,
            made_by_workflow=made_by_workflow,
            cache=".snakemake/hpaxis/checked_files.json",
            stored=workflow.storage_settings.default_storage_provider is not None,
        )
    else:
        study, _ = read_study(dict(config), CONFIG_FILE)
except InputError as error:
    print(error, file=sys.stderr)
    print(
        f"{len(error.problems)} problem(s) in the inputs; no job was started.",
        file=sys.stderr,
    )
    sys.exit(1)


wildcard_constraints:
    library="|".join(study.library_ids()) or "none",
    plate="|".join(study.plate_ids()) or "none",
    model="|".join(study.models) or "none",


def here(path):
    """What planning reads too, such as sheets and panels: on this file system, also where data are in a storage."""
    return local(path) if path else []


def shipped(*parts):
    """A file that comes with hpaxis; relative, so that a study that is moved with its checkout stays up to date."""
    return here(os.path.relpath(ROOT.joinpath(*parts)))


SHEETS = {name: here(path) for name, path in study.config.sheets.items()}
DICTIONARY = here(study.config.cohort.dictionary)
KITS = here(study.config.cortisol.kits) or shipped("resources", "kits.tsv")


def panel_files(*libraries):
    """The files of the panels of some libraries, each once."""
    return [here(path) for path in sorted({path for name in libraries for path in study.panel_files(name)})]


@cache
def code_of(script):
    """What a script runs, found from its imports, as a job's param: an edit reruns what depends on it."""
    return imports.code_of(ROOT / "scripts" / f"{script}.py")


def settings_of(script, section):
    """The keys of the config or a section that a script reads, found in its code: no other key reruns it."""
    return imports.keys_of(ROOT / "scripts" / f"{script}.py", section)


def content(*paths):
    """What input files hold, as a job's param: an edit reruns the job also where the file is dated before its outputs."""
    return content_of([p for p in paths if p], f"{RESULTS}/simulation/" if "simulation" in config else None)


def batched(names, most):
    """Pairs of a batch's number and its names, in the order given."""
    return [(f"{i // most + 1:03d}", names[i : i + most]) for i in range(0, len(names), most)]


def of_libraries(path, names):
    """One file of each library, as an input: a function, since of a list Snakemake compares each item with all others."""
    paths = expand(path, library=names)
    return lambda wildcards: paths


def growing(amount):
    """A resource that a failed job asks for again in a larger measure: twice, then three times the amount."""
    return lambda wildcards, attempt: amount * attempt


# What the simulator's rules are given, and the tables of truth they write; None where a study brings its own reads.
simulated = (
    {
        "simulation": study.config.simulation,
        "seed": study.config.seed,
        "arms": study.config.arms,
        "cohort": {"timepoint": study.config.cohort.timepoint},
    }
    if "simulation" in study.config
    else None
)
TRUTH = ("people", "levels", "indices", "tubes", "samples", "wells", "coefficients")

# Plates that are evaluated here, and tables of concentrations that were finished elsewhere.
measured_plates, finished_plates = split_plates(study.plates, study.config.cortisol.kits)

# Series of saliva cortisol, on plates or finished elsewhere.
with_series = study.config.sheets.saliva_cortisol is not None

# A study may have no saliva: then no job of the methylation stage is planned.
with_saliva = bool(study.library_ids())

# Libraries that are counted from reads here, or come as counts.
sequenced = study.library_ids(assay="genome")
# What amplicon reads show by cycle; a genome's reads begin anywhere.
by_cycle = sorted([*study.library_ids(assay="amplicon"), *study.library_ids(assay="counts")])
counted = sorted([*by_cycle, *sequenced])
# Libraries that a pyrosequencer measured, without molecules.
pyrosequenced = study.library_ids(assay="pyrosequencing")
# Libraries whose levels another laboratory finished.
finished_levels = study.library_ids(assay="levels")


# Whether a panel's marker table tells cell types apart.
cell_mixed = bool(cell_types(study.libraries))

# Genome libraries that come as FASTQ.
unaligned = [name for name in sequenced if study.fastq(name)]


def one_of(names):
    """A wildcard that is one of these names, or none at all."""
    return "|".join(sorted(names)) or "none"
