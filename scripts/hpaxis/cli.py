"""The command `hpaxis`: what is done beside a run of the workflow. Running the workflow is Snakemake's own command.

A command is a function here that imports what it needs when it is called, so that ``hpaxis --help`` is quick; it holds
no logic of its own. An input at fault ends it with one line per problem and exit status 1; a wrong option, with 2.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="hpaxis",
    help="From saliva bisulfite reads and hair-cortisol plates to one moderation answer with its uncertainty. "
    "Run a study with Snakemake itself: snakemake --cores 4 --configfile my_study.yaml",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
panel_app = typer.Typer(help="Make, check and mask panels of amplicons.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(panel_app, name="panel")

DEMO = Path("config/config.yaml")
Study = Annotated[Path | None, typer.Argument(metavar="CONFIG", help=f"config of the study  [default: {DEMO}]")]
Config = Annotated[Path | None, typer.Option("--configfile", "--config", help="the same, as Snakemake calls it")]
Cores = Annotated[int, typer.Option(help="cores for the workflow")]


def command(of: typer.Typer, name: str, *examples: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command of ``of``, its examples at the end of its help."""
    return of.command(name, epilog="\n".join(["\b", "For example:", *(f"  {line}" for line in examples)]))


@command(app, "check", "hpaxis check my_study.yaml")
def check(config_path: Study = None, configfile: Config = None) -> None:
    """Check config, sheets, panels and input files, and report every problem; nothing is run or written.

    Says what was read as what, which inputs changed since the report, and which results no sheet names any more.
    """
    from hpaxis.config import read_config
    from hpaxis.report.numbers import plural
    from hpaxis.study import load_study
    from hpaxis.study.describe import described
    from hpaxis.study.traces import left_over, stale_inputs

    path = _config(config_path, configfile)
    config = read_config(path)
    made = "results/simulation" if "simulation" in config else None
    study = load_study(config, str(path), made_by_workflow=made)
    for line in described(study):
        print(line)
    for file, why in stale_inputs():
        print(f"changed since the report: {file} {why}")
    for path in left_over(study):
        print(f"named by no sheet any more: {path}")
    found = (
        (study.libraries, "library", "libraries"), (study.participants, "participant", None),
        (study.hair, "hair sample", None), (study.plates, "cortisol plate", None), (study.models, "model", None),
    )  # fmt: skip
    print(f"no problems: {', '.join(plural(len(rows), one, many) for rows, one, many in found)}")


@command(app, "forget", "hpaxis forget P017 my_study.yaml", "hpaxis forget P017 my_study.yaml --yes")
def forget(
    participant: Annotated[str, typer.Argument(help="id of somebody who withdrew")],
    config_path: Study = None,
    configfile: Config = None,
    yes: Annotated[bool, typer.Option("--yes", help="delete; without it, everything is only listed")] = False,
) -> None:
    """List everything that sheets, results and logs hold of a person; with --yes delete it, and prove it is gone."""
    from hpaxis.config import read_config
    from hpaxis.study import read_study
    from hpaxis.study.traces import find_traces, remove_traces

    path = _config(config_path, configfile)
    study, problems = read_study(read_config(path), str(path))
    if study is None:
        from hpaxis.problems import InputError

        raise InputError(problems)
    found = remove_traces(study, participant) if yes else find_traces(study, participant)
    for place in (*found.sheets, *found.files):
        print(f"{'deleted' if yes else 'found'}: {place}")
    print(
        f"{len(found.files)} files; nothing is left of the participant in results, logs and .snakemake"
        if yes
        else f"{len(found.sheets)} rows of sheets, {len(found.files)} files; take the rows out, then add --yes"
    )


@command(app, "init", "hpaxis init --list", "hpaxis init dyads my_study")
def init(
    design: Annotated[str | None, typer.Argument(help="name of the design, see --list")] = None,
    folder: Annotated[Path | None, typer.Argument(help="folder to write, which must be new or empty")] = None,
    list_designs: Annotated[bool, typer.Option("--list", help="list the designs")] = False,
) -> None:
    """Write a study to start from: a small commented config, the sheets its design needs, and inputs that run."""
    from hpaxis.designs.catalogue import DESIGNS, commands, write_design

    if list_designs:
        width = max(map(len, DESIGNS))
        print("\n".join(f"{name:{width}}  {design.about}" for name, design in DESIGNS.items()))
        return
    if design is None or folder is None:
        raise typer.BadParameter("give a design and a folder, or --list")
    for path in write_design(design, folder):
        print(path)
    print("to run it:\n  " + "\n  ".join(commands(folder)))


@command(app, "readers", "hpaxis readers plate7.txt", "hpaxis readers kinetic.txt --reading '450 at 0:10:00'")
def readers(
    file: Annotated[Path, typer.Argument(help="what a plate reader exported")],
    plate: Annotated[str | None, typer.Option(help="the plate's name in the file (column reader_plate)")] = None,
    reading: Annotated[str | None, typer.Option(help="the reading's name (column reading), or 450-620")] = None,
) -> None:
    """List every reading that a plate reader's file holds, and what a row of plates.tsv would choose."""
    from hpaxis.cortisol.readers import reading_table

    table = reading_table(file, plate=plate, reading=reading)
    print(table.to_string(index=False))
    chosen = table.attrs["chosen"]
    print(f"a row of plates.tsv takes: {chosen}" if chosen else f"a row of plates.tsv {table.attrs['refused']}")


@command(panel_app, "new", "hpaxis panel new my_panel hg38.fa GTTTTAGGAGGTTTAGTTAG CCAAAATACTTTAACCAAAC")
def panel_new(
    folder: Annotated[Path, typer.Argument(help="folder to write, which must not exist; its name is the amplicon's")],
    reference: Annotated[Path, typer.Argument(help="FASTA file of a genome, or of the sequence around the amplicons")],
    pairs: Annotated[list[str] | None, typer.Argument(metavar="[FORWARD REVERSE]...", help="primers, 5'→3'")] = None,
    primers: Annotated[Path | None, typer.Option(help="table of primers instead, with amplicon and gene")] = None,
    one_index: Annotated[bool, typer.Option("--one-index", help="one mean over all genes, not one for each")] = False,
) -> None:
    """Make a panel from primers (bisulfite space) and a reference: a genome, or the sequence around the amplicons."""
    from hpaxis.methylation.panels.new_panel import new_panel

    for line in new_panel(folder, reference, pairs or [], primers, one_index):
        print(line)


@command(panel_app, "check", "hpaxis panel check nr3c1_exon1f hg38.fa")
def panel_check(
    panel: Annotated[str, typer.Argument(help="name of a shipped panel, or the path of a panel folder")],
    genome: Annotated[Path, typer.Argument(help="FASTA file of the genome, or an Illumina manifest (CSV)")],
) -> None:
    """Compare a panel with a genome or a manifest, and write the result into its folder; exit 1 where they differ."""
    from hpaxis.methylation.panels.genome_check import check_panel
    from hpaxis.methylation.panels.manifest_check import check_manifest, is_manifest
    from hpaxis.methylation.panels.panel import panel_folder, read_panel
    from hpaxis.tables import write_table

    folder = panel_folder(panel)
    by_probe = is_manifest(genome)
    table = (check_manifest if by_probe else check_panel)(read_panel(folder), genome)
    written = folder / ("manifest_check.tsv" if by_probe else "genome_check.tsv")
    write_table(table, written)
    print(table.set_index("probe" if by_probe else "amplicon").T.to_string(na_rep="-"))
    print(f"written: {written}")
    raise typer.Exit(int((table["verdict"] != "same").any()))


@command(panel_app, "mask", "hpaxis panel mask my_panel dbsnp.vcf.gz --contig chr5=NC_000005.10")
def panel_mask(
    panel: Annotated[str, typer.Argument(help="name of a shipped panel, or the path of a panel folder")],
    variants: Annotated[Path, typer.Argument(help="VCF or BCF on the panel's genome build, compressed or not")],
    min_frequency: Annotated[float, typer.Option(help="least frequency of the other allele")] = 0.01,
    contig: Annotated[list[str] | None, typer.Option(metavar="PANEL=FILE", help="a contig's other name")] = None,
) -> None:
    """Fill a panel's SNP mask from a VCF: variants in CpGs, other bases and primer sites."""
    from hpaxis.methylation.panels.panel import panel_folder, read_panel
    from hpaxis.methylation.panels.snp_mask import build_mask
    from hpaxis.tables import write_table

    folder = panel_folder(panel)
    contigs = dict(_pair(text, "--contig") for text in contig or ())
    table, left_out = build_mask(read_panel(folder), variants, min_frequency, contigs)
    write_table(table, folder / "snp_mask.tsv")
    print(f"{len(table)} variants in {folder / 'snp_mask.tsv'}")
    for reason, count in left_out.items():
        if count:
            print(f"{count} left out: {reason}")


@command(app, "lock", "hpaxis lock my_study.yaml")
def lock(config_path: Study = None, configfile: Config = None) -> None:
    """Write the plan lock that the config names: the models as they are planned, before arms are joined."""
    from hpaxis.config import read_config
    from hpaxis.study import load_study
    from hpaxis.study.plan import lock_study

    path = _config(config_path, configfile)
    config = read_config(path)
    study = load_study(config, str(path), made_by_workflow="results/simulation" if "simulation" in config else None)
    locked = lock_study(study, str(path))
    print(f"locked {', '.join(study.models)} in {locked}: put it under version control before arms are joined")


@command(
    app, "fit",
    "hpaxis fit table.tsv --outcome y --predictor x --moderator arm --out tables",
    "hpaxis fit table.tsv --outcome y --predictor x --moderator arm --covariance CR2 --cluster therapist",
)  # fmt: skip
def fit(
    table: Annotated[Path, typer.Argument(help="tab-separated table, one row per participant")],
    outcome: Annotated[str, typer.Option(help="column of the outcome")],
    predictor: Annotated[str, typer.Option(help="column of the predictor")],
    moderator: Annotated[str, typer.Option(help="column of the moderator")],
    covariate: Annotated[list[str] | None, typer.Option(help="a covariate; may be given several times")] = None,
    covariance: Annotated[str, typer.Option(help="OLS, HC0, HC1, HC2, HC3, HC4 or CR2")] = "HC3",
    reference: Annotated[str | None, typer.Option(help="reference arm")] = None,
    standardise: Annotated[list[str] | None, typer.Option(help="outcome, predictor, moderator or covariates")] = None,
    cluster: Annotated[str | None, typer.Option(help="column of clusters, for CR2")] = None,
    factor: Annotated[
        list[str] | None, typer.Option(help="a column of numbers that name groups, such as arms 1, 2, 3")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="smallest slope of interest, in the unit of the slopes")] = None,
    weights: Annotated[str | None, typer.Option(help="column of positive weights, one per row")] = None,
    id: Annotated[str | None, typer.Option(help="column that names the rows")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for all tables")] = None,
) -> None:
    """Fit one moderation model on a table."""
    from hpaxis.moderation.command import fit_file

    for text in fit_file(
        table, id, out,
        outcome=outcome, predictor=predictor, moderator=moderator, covariates=covariate or [], covariance=covariance,
        reference=reference, standardise=standardise or [], cluster=cluster, factors=factor or [], margin=margin,
        weights=weights,
    ):  # fmt: skip
        print(text)


@command(app, "pool", "hpaxis pool first=a/summary.tsv second=b/summary.tsv --out pooled")
def pool(
    studies: Annotated[list[str], typer.Argument(metavar="NAME=SUMMARY", help="a study and its summary.tsv")],
    out: Annotated[Path, typer.Option(help="folder for the tables and the forest plot")] = Path("pooled"),
    across_designs: Annotated[bool, typer.Option(help="pool studies of different designs together")] = False,
    alpha: Annotated[float, typer.Option(help="1 - the level of the intervals")] = 0.05,
) -> None:
    """Pool one model of several studies from their summaries, which hold no person."""
    from hpaxis.programme.pooling import pool_files

    for line in pool_files(dict(_pair(text, "a study") for text in studies), out, alpha, across_designs):
        print(line)


@command(app, "pool-rows", "hpaxis pool-rows first=a/analysis.tsv second=b/analysis.tsv --outcome y --predictor x")
def pool_rows(
    studies: Annotated[list[str], typer.Argument(metavar="NAME=TABLE", help="a study and its table of participants")],
    outcome: Annotated[str, typer.Option(help="column of the outcome")],
    predictor: Annotated[str, typer.Option(help="column of the predictor")],
    moderator: Annotated[str, typer.Option(help="column of the moderator")] = "arm",
    covariate: Annotated[list[str] | None, typer.Option(help="a covariate; may be given several times")] = None,
    covariance: Annotated[str, typer.Option(help="OLS, HC0, HC1, HC2, HC3, HC4 or CR2")] = "HC3",
    reference: Annotated[str | None, typer.Option(help="reference arm")] = None,
    standardise: Annotated[list[str] | None, typer.Option(help="outcome, predictor or covariates, by study")] = None,
    cluster: Annotated[str | None, typer.Option(help="column of clusters, for CR2")] = None,
    weights: Annotated[str | None, typer.Option(help="column of positive weights")] = None,
    factor: Annotated[
        list[str] | None, typer.Option(help="a column of numbers that name groups, such as arms 1, 2, 3")
    ] = None,
    population: Annotated[str, typer.Option(help="role of the rows, or all")] = "child",
    out: Annotated[Path, typer.Option(help="folder for the table")] = Path("pooled"),
) -> None:
    """Fit one model over the participants of several studies, where their tables may be together."""
    from hpaxis.programme.pooling import one_stage_files

    for line in one_stage_files(
        dict(_pair(text, "a study") for text in studies), out, population, covariance,
        outcome=outcome, predictor=predictor, moderator=moderator, covariates=tuple(covariate or ()),
        reference=reference, standardise=tuple(standardise or ()), cluster=cluster, weights=weights,
        factors=tuple(factor or ()),
    ):  # fmt: skip
        print(line)


@command(app, "power", "hpaxis power 22 22 --reliability 0.8")
def power(
    n: Annotated[list[int], typer.Argument(help="people in each arm, the reference first")],
    covariance: Annotated[str, typer.Option(help="OLS, HC0, HC1, HC2, HC3 or HC4")] = "HC3",
    reliability: Annotated[float, typer.Option(help="of the predictor")] = 1.0,
    covariates: Annotated[int, typer.Option(help="how many")] = 0,
    skewed: Annotated[bool, typer.Option("--skewed", help="log-normal predictor")] = False,
    draws: Annotated[int, typer.Option(help="simulated studies")] = 4000,
    seed: Annotated[int, typer.Option(help="of the draws")] = 1,
) -> None:
    """Compute the power of a planned study for the interaction, by simulation."""
    from hpaxis.moderation.power import design_power, detectable_f2

    table = design_power(n, draws, seed, skewed, reliability, covariates, covariance)
    print(table.to_string(index=False))
    found = detectable_f2(sum(n), 2 * len(n) + covariates, len(n) - 1)
    print(f"80 % power under normal theory at f2 = {found:.3f}")


@command(app, "claims", "hpaxis claims claims.tsv --out checked.tsv")
def claims(
    table: Annotated[Path, typer.Argument(help="TSV: name, F, df1, df2, R2, dR2, b, SE, t, df, p, low, high")],
    out: Annotated[Path | None, typer.Option(help="file for the result")] = None,
) -> None:
    """Recompute printed statistics from each other; exit 1 where one contradicts another."""
    from hpaxis.moderation.command import claims_file

    found = claims_file(table, out)
    print(found.to_string(index=False))
    raise typer.Exit(int(found["verdict"].str.startswith("contradicts").any()))


@command(
    app, "simulate",
    "hpaxis simulate --out other --dyads 200 --pairs 5000",
    "hpaxis simulate --out pyro --assay pyrosequencing",
    "hpaxis simulate --sheets",
)  # fmt: skip
def simulate(
    config_path: Study = None,
    configfile: Config = None,
    out: Annotated[Path | None, typer.Option(help="folder for the study: config, sheets, reads, plates, truth")] = None,
    sheets: Annotated[bool, typer.Option("--sheets", help="only write the sheets that the config names")] = False,
    dyads: Annotated[int | None, typer.Option(help="number of dyads instead of the config's")] = None,
    pairs: Annotated[int | None, typer.Option(help="read pairs of a middling library instead of the config's")] = None,
    assay: Annotated[str, typer.Option(help="amplicon or pyrosequencing, with --out")] = "amplicon",
    seed: Annotated[int | None, typer.Option(help="seed instead of the config's")] = None,
    cores: Cores = 2,
) -> None:
    """Simulate a whole study with known truth, from a config that has a section `simulation`."""
    if (out is None) != sheets:
        raise typer.BadParameter("give either --out FOLDER or --sheets")
    from hpaxis.config import read_config
    from hpaxis.simulation.study import simulate as simulate_study
    from hpaxis.simulation.study import with_size, write_sheets, write_study

    path = _config(config_path, configfile)
    config = with_size(read_config(path), str(path), dyads, pairs, seed)
    if out is None:
        write_sheets(simulate_study(config), config["sheets"])
    else:
        write_study(config, out, cores, assay)
        print(f"run it with: snakemake --cores {cores} --configfile {out / 'config.yaml'}")


@command(app, "real", "hpaxis real my_reads --out real --cores 4")
def real(
    data: Annotated[Path, typer.Argument(help="folder of NAME_R1.fastq.gz, NAME_R2.fastq.gz and reference.fa")],
    out: Annotated[Path, typer.Option(help="folder for the study and its results")] = Path("real"),
    cores: Cores = 2,
) -> None:
    """Run the methylation stage on a folder of reads, and print known against estimated methylation."""
    from hpaxis.methylation.assays.real import prepare_study, summarise_study
    from hpaxis.tables import write_table

    config = prepare_study(data, out)
    if code := _snakemake(config, cores, "methylation"):
        raise typer.Exit(code)
    table = summarise_study(out)
    write_table(table, out / "estimates.tsv")
    print(table.round(2).set_index("library_id").T.to_string(na_rep="-"))
    print(f"\nwritten to {out / 'estimates.tsv'}")


@command(app, "genome", "hpaxis genome reads.bam hg38.fa --spike-in lambda --all-cpgs cpgs.tsv.gz")
def genome(
    bam: Annotated[Path, typer.Argument(help="aligned bisulfite reads, BAM or CRAM, of any aligner")],
    fasta: Annotated[Path, typer.Argument(help="FASTA that they are aligned to")],
    spike_in: Annotated[str | None, typer.Option(help="contig of unmethylated spike-in DNA")] = None,
    methylated_spike_in: Annotated[str | None, typer.Option(help="contig of fully methylated spike-in DNA")] = None,
    chemistry: Annotated[str, typer.Option(help="bisulfite, em-seq, taps or 5-base")] = "bisulfite",
    keep_duplicates: Annotated[bool, typer.Option("--keep-duplicates", help="keep them, as for RRBS")] = False,
    all_cpgs: Annotated[Path | None, typer.Option(help="write every CpG with its counts (gzip)")] = None,
) -> None:
    """Figures of a whole genome library, without a panel: where reads went, methylation and conversion."""
    from hpaxis.methylation.assays.genome import whole_genome

    spikes = {"spike_in": spike_in, "methylated_spike_in": methylated_spike_in}
    print(whole_genome(bam, fasta, chemistry, all_cpgs, remove_duplicates=not keep_duplicates, **spikes))


@command(app, "bundle", "hpaxis bundle my_study.yaml --participants")
def bundle(
    config_path: Study = None,
    configfile: Config = None,
    participants: Annotated[bool, typer.Option("--participants", help="with all that is needed to run again")] = False,
    cores: Cores = 2,
) -> None:
    """Pack what a reviewer may see into one archive, after a run of what it needs."""
    path = f"results/bundle/{'participants' if participants else 'shared'}.zip"
    raise typer.Exit(_snakemake(_config(config_path, configfile), cores, path))


@command(app, "verify", "hpaxis verify results/bundle/participants.zip --cores 4")
def verify(
    bundle: Annotated[Path, typer.Argument(help="archive that `hpaxis bundle` wrote")],
    cores: Cores = 2,
) -> None:
    """Check a reviewer's bundle and run again what it allows; exit 1 where anything differs."""
    from hpaxis.report.verify import verify_bundle

    raise typer.Exit(int(bool(verify_bundle(bundle, cores))))


def _config(argument: Path | None, option: Path | None) -> Path:
    """Return the config's path, which may be given by its place or as an option."""
    if argument and option and argument != option:
        raise typer.BadParameter(f"two configs are given, {argument} and {option}; give one")
    return argument or option or DEMO


def _pair(text: str, option: str) -> tuple[str, str]:
    first, mark, second = text.partition("=")
    if not (mark and first and second):
        raise typer.BadParameter(f"{option} needs NAME=NAME, not {text!r}")
    return first, second


def _snakemake(config: Path, cores: int, target: str) -> int:
    """Run the workflow for one target, in this folder; return its exit status."""
    from hpaxis.shipped import SNAKEFILE

    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--configfile", str(config)]
    command += ["--cores", str(cores), "--quiet", "rules", "host", "--", target]
    return subprocess.run(command, check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 1 where an input is at fault or a check fails, 2 for a wrong option."""
    from hpaxis.problems import InputError

    try:
        app(args=None if arguments is None else list(arguments), prog_name="hpaxis")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except InputError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or 'hpaxis'}: {error.strerror or error}", file=sys.stderr)
    return 1
