"""Sheets and tiny inputs of each design. Paths in a sheet start in the study's own folder.

People, reads, plates and exports come from the simulator; nobody in them exists. Each writer takes the folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hpaxis.simulation.reads import Chemistry, Library, panel_amplicon, random_stream, simulate_reads, write_fastq
from hpaxis.tables import whole_file, write_table

if TYPE_CHECKING:
    from hpaxis.cortisol.kits import Kit
    from hpaxis.simulation.reads import ReadPairs
    from hpaxis.simulation.study import Simulation

SEED = 20260101
ARMS = ("control", "treatment")
PAIRS = 250
LIBRARY = ("library_id", "participant_id", "timepoint", "kind", "panel", "fastq_1", "fastq_2")


def dyads(folder: Path) -> None:
    """Parents and children, saliva as amplicon reads, hair on a plate."""
    study = _simulated(dyads=12, controls=("C0-1", "C100-1", "NTC-1"))
    _write(study.cohort.participants, ("participant_id", "dyad_id", "role", "arm", "competence", "age_months", "sex"),
           folder / "participants.tsv")  # fmt: skip
    _amplicon_reads(study, folder)
    _plates(study, folder)


def methylation(folder: Path) -> None:
    """Children whose saliva was sequenced; nothing else was measured."""
    study = _simulated(dyads=8, roles=("child",), controls=("C0-1", "C100-1", "NTC-1"))
    _write(study.cohort.participants, ("participant_id", "role", "arm"), folder / "participants.tsv")
    _amplicon_reads(study, folder)


def hair(folder: Path) -> None:
    """Parents and children whose hair was measured; nothing else was."""
    study = _simulated(dyads=12)
    _write(study.cohort.participants, ("participant_id", "dyad_id", "role", "arm"), folder / "participants.tsv")
    _plates(study, folder)


def pyrosequencing(folder: Path) -> None:
    """Children whose saliva a pyrosequencer read, with two assays of one region."""
    study = _simulated(dyads=20, roles=("child",), controls=("C0-1", "C100-1"))
    _write(study.cohort.participants, ("participant_id", "role", "arm", "competence", "age_months"),
           folder / "participants.tsv")  # fmt: skip
    _exports(study, folder)


def timepoints(folder: Path) -> None:
    """Children with saliva before and after treatment, read by a pyrosequencer."""
    study = _simulated(dyads=16, roles=("child",))
    later = study.cohort
    before = later.libraries.assign(
        library_id="B" + later.libraries["library_id"], timepoint="baseline", well=None, plate=None
    )
    rng = random_stream(SEED, "baseline")
    levels = later.levels.assign(library_id="B" + later.levels["library_id"])
    levels["level"] = (levels["level"] * np.exp(rng.normal(0, 0.1, len(levels)))).clip(0, 1)
    both = replace(
        later,
        libraries=pd.concat([before, later.libraries], ignore_index=True),
        levels=pd.concat([levels, later.levels], ignore_index=True),
        tubes=pd.concat([later.tubes.assign(library_id="B" + later.tubes["library_id"]), later.tubes],
                        ignore_index=True),
    )  # fmt: skip
    _write(later.participants, ("participant_id", "role", "arm", "competence"), folder / "participants.tsv")
    _exports(replace(study, cohort=both), folder)


def counts(folder: Path) -> None:
    """Children whose counts by CpG another pipeline made."""
    study = _simulated(dyads=14, roles=("child",))
    cohort, rng = study.cohort, random_stream(SEED, "counts")
    table = cohort.levels.merge(cohort.tubes[["library_id", "non_conversion"]], on="library_id")
    depth = rng.poisson(900, len(table))
    seen = table["level"] + (1 - table["level"]) * table["non_conversion"]
    methylated = rng.binomial(depth, seen)
    cytosines = 40 * 900
    unconverted = {name: rng.binomial(cytosines, rate) for name, rate in
                   cohort.tubes[["library_id", "non_conversion"]].itertuples(index=False)}  # fmt: skip
    table = table.assign(
        methylated=methylated,
        unmethylated=depth - methylated,
        non_cpg_unconverted=table["library_id"].map(unconverted),
        non_cpg_converted=cytosines - table["library_id"].map(unconverted),
    )
    (folder / "counts").mkdir()
    columns = ("library_id", "cpg_id", "methylated", "unmethylated", "non_cpg_unconverted", "non_cpg_converted")
    _write(table, columns, folder / "counts" / "cpgs.tsv")
    libraries = cohort.libraries.assign(assay="counts", counts="counts/cpgs.tsv")
    _write(libraries, ("library_id", "participant_id", "timepoint", "assay", "panel", "counts"),
           folder / "libraries.tsv")  # fmt: skip
    _write(cohort.participants, ("participant_id", "role", "arm", "competence", "age_months"),
           folder / "participants.tsv")  # fmt: skip


def three_arms(folder: Path) -> None:
    """Children in three arms, hair cortisol as a laboratory's finished concentrations."""
    arms, each = ("waitlist", "group", "home"), 9
    rng = random_stream(SEED, "three arms")
    size = each * len(arms)
    log_cortisol = rng.normal(1.8, 0.5, size)
    arm = np.tile(np.arange(len(arms)), each)
    score = 15 + 2.0 * np.array([-0.6, 0.0, 0.4])[arm] * (log_cortisol - 1.8) / 0.5 + rng.normal(0, 2, size)
    ids = [f"{i:03d}" for i in range(1, size + 1)]
    people = pd.DataFrame({
        "participant_id": ids, "role": "child", "arm": np.array(arms)[arm], "behaviour": score.round(1),
        "age_months": rng.integers(18, 42, size),
    })  # fmt: skip
    write_table(people, folder / "participants.tsv")
    hair = pd.DataFrame({
        "hair_id": [f"H{i}" for i in ids], "participant_id": ids, "timepoint": "month12",
        "mass_mg": rng.normal(18, 3, size).clip(9).round(1), "segment_from_cm": 0, "segment_to_cm": 3,
    })  # fmt: skip
    write_table(hair, folder / "hair.tsv")
    value = np.exp(log_cortisol)
    text = [f"{v:.3g}" for v in value]
    text[int(value.argmin())] = "<1.0"
    table = pd.DataFrame({"hair_id": hair["hair_id"], "cortisol_pg_per_mg": text, "cv_percent": 8})
    (folder / "cortisol").mkdir()
    write_table(table, folder / "cortisol" / "lc_ms_ms.tsv")
    plates = {"plate_id": ["LC1"], "kit": ["lc_ms_ms"], "reader_file": ["cortisol/lc_ms_ms.tsv"]}
    write_table(pd.DataFrame(plates), folder / "plates.tsv")


def saliva_series(folder: Path) -> None:
    """Children whose saliva was taken four times on each of two days, all tubes of a child on one plate."""
    from hpaxis.cortisol.kits import kit_named, pg_per_ml
    from hpaxis.simulation.plates import PlateDesign, simulate_plates

    size, of_a_plate = 16, 4
    rng = random_stream(SEED, "saliva series")
    arm, level = np.arange(size) % 2, rng.normal(0, 0.4, size)
    score = 15 - np.where(arm, 0.3, 1.6) * level / 0.4 + rng.normal(0, 1.5, size)
    people = pd.DataFrame({
        "participant_id": [f"{i:03d}" for i in range(1, size + 1)], "role": "child", "arm": np.array(ARMS)[arm],
        "behaviour": score.round(1),
    })  # fmt: skip
    write_table(people, folder / "participants.tsv")
    rows = []
    for child, day in [(child, day) for child in range(size) for day in (1, 2)]:
        shift = level[child] + rng.normal(0, 0.15)
        for minute, usual in ((0, 7.0), (30, 11.0), (45, 10.0), (600, 2.0)):
            late = int(rng.integers(0, 6)) if minute else 0
            value = usual * np.exp(shift + rng.normal(0, 0.1))
            rows.append((f"T{child + 1:03d}{day}{minute:03d}", people["participant_id"][child], "month12", day,
                         minute + late, 4, value))  # fmt: skip
    columns = ["saliva_id", "participant_id", "timepoint", "day", "minutes", "dilution", "true"]
    tubes = pd.DataFrame(rows, columns=columns)
    write_table(tubes.drop(columns="true"), folder / "saliva_cortisol.tsv")
    # To the simulator a tube is an extract of 1 mg in 1 mL, without methanol to lose.
    extracts = tubes.rename(columns={"saliva_id": "hair_id"}).assign(
        mass_mg=1.0, methanol_added_ml=1.0, methanol_recovered_ml=1.0, reconstitution_ml=1.0,
        cortisol_pg_per_mg=tubes["true"] * pg_per_ml("nmol/L"),
    )  # fmt: skip
    kit = kit_named("generic_competitive_elisa")
    design = PlateDesign(volume_cv_percent=0, mass_sd_mg=0, run_cv_percent=6, samples_per_plate=8 * of_a_plate)
    (folder / "plates").mkdir()
    sheet = []
    for k in range(size // of_a_plate):
        own = people["participant_id"][k * of_a_plate : (k + 1) * of_a_plate]
        mine = extracts[extracts["participant_id"].isin(own)]
        for plate in simulate_plates(mine, kit, SEED + k, design, prefix=f"S{k + 1}"):
            reader, layout = f"plates/{plate.plate_id}.txt", f"plates/{plate.plate_id}_layout.tsv"
            with whole_file(folder / reader) as part:
                part.write_text(plate.reader_text, encoding="utf-8", newline="")
            write_table(plate.layout, folder / layout)
            sheet.append((plate.plate_id, kit.kit, reader, layout))
    plates = pd.DataFrame(sheet, columns=["plate_id", "kit", "reader_file", "layout_file"])
    write_table(plates, folder / "plates.tsv")


def laboratory(folder: Path) -> None:
    """Three runs of two plates with controls, a pool, a dilution series, a spiked extract and an extract of no hair."""
    from hpaxis.cortisol.kits import kit_named
    from hpaxis.simulation.plates import CONTENTS, PlateDesign, simulate_plate

    kit, design = kit_named("generic_competitive_elisa"), PlateDesign(bad_wells=0)
    rng = random_stream(SEED, "laboratory")
    (folder / "plates").mkdir()
    sheet = []
    for run in range(1, 4):
        shared = rng.normal(0, 0.06)
        for plate in (1, 2):
            name = f"R{run}P{plate}"
            contents = _validation_wells(kit, rng.uniform(100, 900, 20))
            wells = pd.DataFrame(contents, columns=[*CONTENTS, "dilution"])
            made = simulate_plate(name, wells, kit, design, rng, shared + rng.normal(0, 0.03))
            reader, layout = f"plates/{name}.txt", f"plates/{name}_layout.tsv"
            with whole_file(folder / reader) as part:
                part.write_text(made.reader_text, encoding="utf-8", newline="")
            write_table(made.layout, folder / layout)
            sheet.append((name, kit.kit, reader, layout, f"R{run}", "LOT1", "2027-06-30", f"2026-03-0{run}"))
    columns = ["plate_id", "kit", "reader_file", "layout_file", "run", "lot", "expiry", "date"]
    write_table(pd.DataFrame(sheet, columns=columns), folder / "plates.tsv")


def _validation_wells(kit: Kit, extracts: Sequence[float]) -> list[tuple[str, str | None, float, float, float]]:
    """What a plate of a validation holds, in pairs: role, sample, nominal, concentration in the well, dilution."""
    pairs: list[tuple] = [("nsb", None, np.nan, 0.0, np.nan), ("b0", None, np.nan, 0.0, np.nan)]
    pairs += [("standard", f"S{i}", x, x, np.nan) for i, x in enumerate(kit.standards, start=1)]
    pairs += [("control", name, x, x, np.nan) for name, x in (("low", 110.0), ("high", 820.0))]
    pairs += [("pool", "POOL", np.nan, 320.0, np.nan), ("extraction_blank", "NOHAIR", np.nan, 4.0, np.nan)]
    pairs += [("sample", "SERIES", np.nan, 1600.0 / d, d) for d in (1, 2, 4, 8)]
    pairs += [("sample", "X00", np.nan, 240.0, 1), ("spiked", "X00", 400.0, 240.0 + 0.94 * 400, 1)]
    pairs += [("sample", f"X{i:02d}", np.nan, x, 1) for i, x in enumerate(extracts, start=1)]
    return [row for row in pairs for _ in (0, 1)]


def questionnaires(folder: Path) -> None:
    """Parents and children with questionnaires only."""
    size = 30
    rng = random_stream(SEED, "questionnaires")
    arm = np.arange(size) % 2
    ptsd = rng.normal(28, 9, size)
    aces = rng.binomial(10, 0.35, size)
    sessions = np.where(arm, rng.integers(6, 40, size), 0)
    child = pd.DataFrame({
        "participant_id": [f"{i:03d}01" for i in range(1, size + 1)],
        "dyad_id": [f"{i:03d}" for i in range(1, size + 1)], "role": "child", "arm": np.array(ARMS)[arm],
        "social_emotional": (16 - np.where(arm, 0.02, 0.14) * (ptsd - 28) + rng.normal(0, 2, size)).round(1),
        "language": (100 - np.where(arm, 0.5, 2.5) * (aces - 3.5) + rng.normal(0, 8, size)).round(),
    })  # fmt: skip
    parent = pd.DataFrame({
        "participant_id": [f"{i:03d}02" for i in range(1, size + 1)], "dyad_id": child["dyad_id"], "role": "parent",
        "arm": child["arm"], "ptsd": ptsd.round(), "aces": aces, "sessions": sessions,
        "sensitivity": (4 + 0.02 * sessions + rng.normal(0, 0.8, size)).round(1),
        "abuse_potential": (150 + 6 * (aces - 3.5) * np.where(arm, 0.4, 1) + rng.normal(0, 25, size)).round(),
    })  # fmt: skip
    people = pd.concat([child, parent]).sort_values("participant_id")
    write_table(people, folder / "participants.tsv")


def clusters(folder: Path) -> None:
    """Siblings within families, families within therapists, in both arms."""
    families, therapists = 24, 8
    rng = random_stream(SEED, "clusters")
    rows = []
    family_part, therapist_part = rng.normal(0, 1, families), rng.normal(0, 0.7, therapists)
    for family in range(families):
        arm = family % 2
        therapist = family % therapists
        for sibling in range(1 + (family % 3 > 0)):
            aces = int(rng.binomial(10, 0.35))
            score = 15 - (1.0 - 0.7 * arm) * (aces - 3.5) + family_part[family] + therapist_part[therapist]
            rows.append((f"{family + 1:03d}{sibling + 1}", "child", ARMS[arm], f"F{family + 1:02d}",
                         f"T{therapist + 1}", aces, round(score + rng.normal(0, 1.5), 1)))  # fmt: skip
    columns = ["participant_id", "role", "arm", "family", "therapist", "aces", "behaviour"]
    write_table(pd.DataFrame(rows, columns=columns), folder / "participants.tsv")


def programme(folder: Path) -> None:
    """Children of a trial with an event, therapists in one arm and units of care; and the summary of another study."""
    from hpaxis.moderation.run import run_model
    from hpaxis.schemas import load, with_defaults

    rng = random_stream(SEED, "programme")
    people = _trial_people(48, rng)
    write_table(people, folder / "participants.tsv")
    prices = pd.DataFrame({
        "item": ["visits", "clinic_contacts"], "unit_price": [90.0, 60.0], "currency": "EUR", "price_year": 2025,
        "source": ["made up: replace by the programme's accounts", "made up: replace by a tariff"],
    })  # fmt: skip
    (folder / "worth").mkdir()
    write_table(prices, folder / "worth" / "prices.tsv")
    outcomes = pd.DataFrame({
        "outcome": ["calmer families", "fewer referrals"], "quantity": [20, 6], "quantity_low": [12, 3],
        "quantity_high": [26, 9], "value": [900.0, 2400.0], "value_low": [400.0, 1500.0],
        "value_high": [1400.0, 3000.0], "years": [3, 2], "deadweight": [0.2, 0.3], "attribution": [0.1, 0.2],
        "displacement": [0.0, 0.0], "drop_off": [0.3, 0.5], "source": "made up: replace by your own",
        "price_year": 2025,
    })  # fmt: skip
    write_table(outcomes, folder / "worth" / "outcomes.tsv")
    # Other studies of the same question: their summaries, which hold no person; of one, the participants too.
    entry = {"outcome": "competence", "predictor": "adversity", "standardise": ["outcome", "predictor"]}
    settings = {"draws": 99, "error_draws": 20, "power_draws": 50, "multiverse": {"draws": 99}}
    settings = with_defaults(settings, load("config/moderation"))
    context = {"panel": "none", "assay": "none", "timepoint": "NA", "design": "randomised"}
    (folder / "other_studies").mkdir()
    for name, size in (("second", 60), ("third", 80)):
        people = _trial_people(size, rng).assign(timepoint="NA")
        if name == "second":
            write_table(people, folder / "other_studies" / "people.tsv")
        entry = with_defaults(entry, load("config/model"))
        tables = run_model("competence", people, entry, settings, list(ARMS), SEED, context=context)
        write_table(tables["summary"], folder / "other_studies" / f"{name}.tsv")


def _trial_people(size: int, rng: np.random.Generator) -> pd.DataFrame:
    """Children of two arms: a score, an event, a therapist in the treatment arm only, weights and units of care."""
    arm = np.arange(size) % 2
    adversity = rng.normal(0, 1, size).round(2)
    therapist = np.arange(size) // 2 % 8
    shared = rng.normal(0, 0.8, 8)[therapist] * arm
    score = 16 + np.where(arm, 0.4, -1.2) * adversity + 0.8 * arm + shared + rng.normal(0, 2, size)
    chance = 1 / (1 + np.exp(0.4 + np.where(arm, 0.1, -0.9) * adversity))
    return pd.DataFrame({
        "participant_id": [f"{i:03d}" for i in range(1, size + 1)], "role": "child", "arm": np.array(ARMS)[arm],
        "adversity": adversity, "competence": score.round(1), "referred": (rng.random(size) < chance).astype(int),
        "therapist": [f"T{t + 1}" if a else "NA" for t, a in zip(therapist, arm)],
        "weight": rng.uniform(0.8, 1.6, size).round(2),
        "visits": np.where(arm, rng.integers(8, 40, size), 0), "clinic_contacts": rng.poisson(np.where(arm, 2, 4)),
    })  # fmt: skip


def two_programmes(folder: Path) -> None:
    """Children of a waiting list and two programmes at two sites, with the sessions that each family came to."""
    rng, size = random_stream(SEED, "two programmes"), 72
    arm, site = np.arange(size) % 3, np.arange(size) // 3 % 2
    adversity = rng.normal(0, 1, size).round(2)
    score = 16 + 0.8 * site + np.array([-1.4, -0.6, 0.3])[arm] * adversity + np.array([0, 0.6, 0.9])[arm]
    sessions = np.where(arm == 0, 0, rng.integers(3, 13, size))
    people = pd.DataFrame({
        "participant_id": [f"{i:03d}" for i in range(1, size + 1)], "role": "child",
        "arm": np.array(["waitlist", "group", "home"])[arm], "site": np.array(["north", "south"])[site],
        "adversity": adversity, "competence": (score + rng.normal(0, 1.6, size)).round(1), "sessions": sessions,
    })  # fmt: skip
    write_table(people, folder / "participants.tsv")


def lanes(folder: Path) -> None:
    """Children whose libraries were sequenced on two lanes."""
    study = _simulated(dyads=6, roles=("child",), controls=("C0-1",))
    _write(study.cohort.participants, ("participant_id", "role", "arm"), folder / "participants.tsv")
    sheet = study.cohort.libraries.copy()
    reads = folder / "reads"
    reads.mkdir()
    for library in study.libraries:
        blocks = list(_pairs(study, library))
        for lane, part in enumerate(_halves(blocks), start=1):
            write_fastq(part, *(reads / f"{library.library_id}_L00{lane}_R{mate}.fastq.gz" for mate in (1, 2)))
    for mate in (1, 2):
        sheet[f"fastq_{mate}"] = [
            ";".join(f"reads/{name}_L00{lane}_R{mate}.fastq.gz" for lane in (1, 2)) for name in sheet["library_id"]
        ]
    _write(sheet, LIBRARY, folder / "libraries.tsv")


def two_genes(folder: Path) -> None:
    """Children whose libraries hold the amplicons of two genes; the second gene is made up."""
    from hpaxis.methylation.panels.panel import make_panel, panel_folder, read_panel, write_panel

    shipped = read_panel(panel_folder("nr3c1_exon1f"))
    first = shipped.amplicons.iloc[0]
    rng = random_stream(SEED, "second gene")
    second = _made_up_sequence(rng, 220)
    converted = second.replace("C", "T")
    primers = {
        "nr3c1": (shipped.references[first["amplicon"]].replace("Y", "C"), first["forward_primer"],
                  first["reverse_primer"]),
        "second": (second, converted[:24], _complement(converted[-24:])),
    }  # fmt: skip
    panel = folder / "two_genes"
    with whole_file(folder / "genes.fa") as part:
        part.write_text("".join(f">{name}\n{text}\n" for name, (text, *_) in primers.items()), encoding="utf-8")
    write_table(
        pd.DataFrame([(n, f, r) for n, (_, f, r) in primers.items()],
                     columns=["amplicon", "forward_primer", "reverse_primer"]),
        folder / "primers.tsv",
    )  # fmt: skip
    write_panel(make_panel(folder / "genes.fa", folder / "primers.tsv"), panel)
    for name in ("genes.fa", "primers.tsv"):
        (folder / name).unlink()  # the panel's folder holds both
    amplicons = [panel_amplicon(read_panel(panel), name) for name in primers]
    people, reads = _people(14, rng), folder / "reads"
    reads.mkdir()
    rows = []
    for person in people.itertuples():
        library, parts = f"L{person.participant_id}", []
        for place, (amplicon, level) in enumerate(zip(amplicons, (0.028 + 0.006 * person.z, 0.3 + 0.05 * person.z))):
            tube = Library(
                library, np.full(len(amplicon.offsets), max(float(level), 0.005)), PAIRS, non_conversion=0.004
            )
            parts.append(simulate_reads(amplicon, tube, random_stream(SEED, library, place), chemistry=Chemistry()))
        write_fastq(chain.from_iterable(parts), *(reads / f"{library}_R{mate}.fastq.gz" for mate in (1, 2)))
        rows.append((library, person.participant_id, "month12", "study", "two_genes",
                     f"reads/{library}_R1.fastq.gz", f"reads/{library}_R2.fastq.gz"))  # fmt: skip
    write_table(pd.DataFrame(rows, columns=list(LIBRARY)), folder / "libraries.tsv")
    _write(people, ("participant_id", "role", "arm", "competence"), folder / "participants.tsv")


def genome_bam(folder: Path) -> None:
    """Children whose libraries another aligner mapped to a genome, here one of two short contigs."""
    import pysam

    from hpaxis.methylation.panels.panel import make_panel, write_panel

    rng = random_stream(SEED, "genome")
    text = {"chr1": _made_up_sequence(rng, 4000), "lambda": _made_up_sequence(rng, 2000)}
    (folder / "genome.fa").write_text("".join(f">{n}\n{t}\n" for n, t in text.items()), encoding="utf-8")
    region = folder / "region.fa"
    region.write_text(f">toy_chr1_1501_1900\n{text['chr1'][1500:1900]}\n", encoding="utf-8")
    write_panel(make_panel(region), folder / "panel")
    region.unlink()
    people = _people(14, rng)
    (folder / "bam").mkdir()
    rows = []
    for person in people.itertuples():
        name = f"G{person.participant_id}"
        level = float(np.clip(float(0.3 + 0.06 * person.z), 0.05, 0.6))
        unsorted = folder / "bam" / "unsorted.bam"
        _write_bam(unsorted, text, level, random_stream(SEED, name))
        pysam.sort("-o", str(folder / "bam" / f"{name}.bam"), str(unsorted))
        unsorted.unlink()
        rows.append((name, person.participant_id, "month12", "genome", "panel", f"bam/{name}.bam"))
    columns = ["library_id", "participant_id", "timepoint", "assay", "panel", "bam"]
    write_table(pd.DataFrame(rows, columns=columns), folder / "libraries.tsv")
    _write(people, ("participant_id", "role", "arm", "competence"), folder / "participants.tsv")


def _simulated(dyads: int, roles: Sequence[str] = ("child", "parent"), controls: Sequence[str] = ()) -> Simulation:
    """A simulated study of some dyads with the libraries of ``roles`` and these ``controls``; paths from its folder."""
    from hpaxis.simulation.study import simulate

    settings = {"dyads": dyads, "pairs_per_library": PAIRS, "missing_percent": 0, "failing_libraries": False}
    config = {"simulation": settings, "seed": SEED, "arms": list(ARMS), "cohort": {"timepoint": "month12"}}
    study = simulate(config, ".")
    cohort = study.cohort
    people = cohort.participants[cohort.participants["role"].isin(roles)]
    own = cohort.libraries["participant_id"].isin(people["participant_id"])
    libraries = cohort.libraries[own | cohort.libraries["library_id"].isin(controls)].reset_index(drop=True)
    paths = {f"fastq_{mate}": libraries[f"fastq_{mate}"].str.removeprefix("./") for mate in (1, 2)}
    kept = cohort.tubes["library_id"].isin(libraries["library_id"])
    return replace(
        study,
        cohort=replace(
            cohort,
            participants=people,
            libraries=libraries.assign(**paths),
            hair=cohort.hair[cohort.hair["participant_id"].isin(people["participant_id"])],
            tubes=cohort.tubes[kept].reset_index(drop=True),
            levels=cohort.levels[cohort.levels["library_id"].isin(libraries["library_id"])].reset_index(drop=True),
        ),
    )


def _write(table: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Write these columns of a table."""
    write_table(table[list(columns)], path)


def _amplicon_reads(study: Simulation, folder: Path) -> None:
    """Write the reads, and the sheet of libraries."""
    from hpaxis.simulation.study import write_reads

    write_reads(study, folder / "reads")
    columns = [*LIBRARY, "plate", "well", "input_ng"]
    _write(study.cohort.libraries, columns, folder / "libraries.tsv")


def _plates(study: Simulation, folder: Path) -> None:
    """Write the hair sheet, the plates and what the reader exported of them."""
    from hpaxis.simulation.study import write_plates

    write_plates(study, folder / "plates")
    sheet = study.sheet("plates")
    for column in ("reader_file", "layout_file"):
        sheet[column] = sheet[column].str.removeprefix("./")
    write_table(sheet, folder / "plates.tsv")
    write_table(study.cohort.hair, folder / "hair.tsv")


def _exports(study: Simulation, folder: Path) -> None:
    """Write the exports of a pyrosequencer, its table of positions, and the sheet of libraries."""
    from hpaxis.methylation.panels.panel import panel_folder, read_panel
    from hpaxis.simulation.exports import write_exports

    panel = read_panel(panel_folder(study.settings.panel))
    cohort = study.cohort
    found = write_exports(cohort.levels, cohort.tubes, panel, SEED, folder / "exports")
    names = {
        library: ";".join(Path(path).relative_to(folder).as_posix() for path in paths)
        for library, paths in found.items()
    }
    sheet = cohort.libraries.assign(assay="pyrosequencing", export=cohort.libraries["library_id"].map(names))
    _write(sheet, ("library_id", "participant_id", "timepoint", "kind", "assay", "panel", "export"),
           folder / "libraries.tsv")  # fmt: skip


def _pairs(study: Simulation, library: Library) -> Iterator[ReadPairs]:
    """The read pairs of a library, in blocks."""
    from hpaxis.simulation.study import chemistry

    alone = replace(library, hopped=0)
    rng = random_stream(SEED, "reads", library.library_id)
    return simulate_reads(study.amplicon, alone, rng, (), chemistry(study.settings))


def _halves(blocks: Iterable[ReadPairs]) -> Iterator[list[ReadPairs]]:
    """The read pairs as two lanes would hold them."""
    for lane in (0, 1):
        yield [
            replace(block, **{name: getattr(block, name)[lane::2] for name in block.__dataclass_fields__})
            for block in blocks
        ]


def _people(size: int, rng: np.random.Generator) -> pd.DataFrame:
    """Children of two arms with a latent level ``z`` and a score that goes with it differently in the arms."""
    arm, z = np.arange(size) % 2, rng.normal(0, 1, size)
    score = 16 + np.where(arm, 0.8, -0.8) * z + rng.normal(0, 2, size)
    return pd.DataFrame({
        "participant_id": [f"{i:03d}" for i in range(1, size + 1)], "role": "child", "arm": np.array(ARMS)[arm], "z": z,
        "competence": score.round(1),
    })  # fmt: skip


def _made_up_sequence(rng: np.random.Generator, length: int, site: int = 24) -> str:
    """Bases with CpGs between the two primer sites, none within them."""
    inner = "".join(rng.choice(list("ACGT"), length - 2 * site, p=[0.27, 0.22, 0.24, 0.27]))
    ends = ["".join(rng.choice(list(bases), site)) for bases in ("AGT", "ACT")]
    return ends[0] + "A" + inner[1:-1] + "A" + ends[1]


def _complement(bases: str) -> str:
    """The other strand, from its 5' end."""
    return bases.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def _write_bam(path: Path, text: dict, level: float, rng: np.random.Generator, length: int = 100) -> None:
    """Pairs of a directional library along both contigs; ``lambda`` is unmethylated spike-in."""
    import pysam

    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": name, "LN": len(bases)} for name, bases in text.items()]}
    spots = [("chr1", int(s)) for s in rng.integers(1250, 1900, 500)]
    spots += [("lambda", int(s)) for s in rng.integers(0, 1700, 120)]
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for i, (contig, start) in enumerate(spots):
            plus = rng.random() < 0.5
            other = start + length + int(rng.integers(0, 60))
            here = level if contig == "chr1" else 0.0
            for place, flag in zip((start, other), (99, 147) if plus else (163, 83), strict=True):
                read = pysam.AlignedSegment(bam.header)
                read.query_name, read.flag = f"r{i}", flag
                read.query_sequence = _converted(text[contig], place, length, plus, here, rng)
                read.reference_id, read.reference_start = bam.get_tid(contig), place
                read.mapping_quality, read.cigartuples = 60, [(0, length)]
                read.query_qualities = pysam.qualitystring_to_array("I" * length)
                read.next_reference_id = read.reference_id
                read.next_reference_start = other if place == start else start
                read.template_length = (other + length - start) * (1 if place == start else -1)
                bam.write(read)


def _converted(text: str, place: int, length: int, plus: bool, level: float, rng: np.random.Generator) -> str:
    """A stretch of converted DNA along the plus strand: CpGs stay with ``level``, other cytosines with .5 %."""
    out = list(text[place : place + length])
    target, turned = ("C", "T") if plus else ("G", "A")
    for i, base in enumerate(out):
        at = place + i
        if base == target:
            cpg = text[at : at + 2] == "CG" if plus else text[at - 1 : at + 1] == "CG"
            if rng.random() >= (level if cpg else 0.0) and rng.random() >= 0.005:
                out[i] = turned
    return "".join(out)
