"""The designs that `hpaxis init` knows, and how one is written to a folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpaxis.designs import inputs
from hpaxis.problems import InputError, Problem, closest
from hpaxis.shipped import SNAKEFILE
from hpaxis.tables import whole_file

CONFIG = "my_study.yaml"
CONFIGS = Path(__file__).parent


@dataclass(frozen=True)
class Design:
    """A design: its ``name`` on the command line, what it is in one line, and who writes its sheets and inputs."""

    name: str
    about: str
    write: Callable[[Path], None]


DESIGNS = {
    design.name: design
    for design in (
        Design("dyads", "parent-child dyads: amplicon reads of saliva, hair on an ELISA plate", inputs.dyads),
        Design("three_arms", "children only, three arms, hair cortisol as finished concentrations", inputs.three_arms),
        Design("methylation", "methylation only: amplicon reads and controls, no models", inputs.methylation),
        Design("hair", "hair cortisol only: an ELISA plate, no models", inputs.hair),
        Design(
            "saliva_series",
            "saliva cortisol over the day on ELISA plates: areas, awakening response",
            inputs.saliva_series,
        ),
        Design("laboratory", "plates alone, without participants: the validation of an assay", inputs.laboratory),
        Design("questionnaires", "questionnaires only: four models of parents and children", inputs.questionnaires),
        Design("pyrosequencing", "a pyrosequencer's exports, two assays of one region", inputs.pyrosequencing),
        Design("two_genes", "two genes amplified in one library", inputs.two_genes),
        Design("genome_bam", "whole-genome or capture libraries as an aligner's BAM", inputs.genome_bam),
        Design("counts", "counts by CpG from another pipeline", inputs.counts),
        Design("timepoints", "two timepoints: methylation before and after, and its change", inputs.timepoints),
        Design("clusters", "siblings and therapists as clusters (CR2)", inputs.clusters),
        Design("programme", "a trial within its programme: events, therapists, costs, other studies", inputs.programme),
        Design("two_programmes", "two programmes and a waiting list: all pairs, dose received", inputs.two_programmes),
        Design("lanes", "libraries sequenced on several lanes", inputs.lanes),
    )
}


def write_design(name: str, folder: Path) -> list[Path]:
    """Write the config, sheets and inputs of a design to ``folder``, which must be new or empty.

    Returns the files that are for editing: the config, then the sheets. Raises `InputError` for an unknown design or
    a folder that holds something.
    """
    if name not in DESIGNS:
        remedy = f"hpaxis init --list shows them all{closest(name, DESIGNS)}"
        raise InputError(Problem("hpaxis init", "is not a known design", remedy, value=name))
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(Problem(str(folder), "exists and is not empty", "name a new folder"))
    folder.mkdir(parents=True, exist_ok=True)
    DESIGNS[name].write(folder)
    text = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")
    with whole_file(folder / CONFIG) as part:
        part.write_text(text, encoding="utf-8")
    return [folder / CONFIG, *sorted(path for path in folder.glob("*.tsv"))]


def commands(folder: Path) -> list[str]:
    """Return the lines that check a written study and run it, from its own folder."""
    return [
        f"cd {_quoted(folder)}",
        f"hpaxis check {CONFIG}",
        f"snakemake -s {_quoted(SNAKEFILE)} --configfile {CONFIG} --cores 2",
    ]


def _quoted(path: Path) -> str:
    """A path as a shell takes it."""
    import shlex

    return shlex.quote(str(path))
