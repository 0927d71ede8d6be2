"""A reviewer's bundle checked, and what it allows run again: what is equal, what differs, and what was not checked."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hpaxis.report import claims
from hpaxis.report.bundle import crate_faults, rerun_targets, statistics_faults, unpack, withheld_tables
from hpaxis.report.provenance import versions
from hpaxis.shipped import SNAKEFILE


def verify_bundle(bundle: Path | str, cores: int = 2) -> list[str]:
    """Check a bundle, print what was found, and return the lines of what differs.

    A bundle with participants' rows is run again from counts, plates and sheets. Raises `InputError` if the file is no
    bundle.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        faults = unpack(bundle, folder)
        print(f"manifest: {'all files are as listed' if not faults else f'{len(faults)} files are not as listed'}")
        found, lines = check_folder(folder)
        faults += found
        for line in lines:
            print(line)
        for name, what in sorted(withheld_tables(folder).items()):
            print(f"{what}, since these are few: {name}")
        if (folder / "sheets").is_dir() and not _unreadable(faults):
            faults += _rerun(folder, cores)
            print("not run again: reads, and what needs their bases (the second caller's agreement)")
        else:
            print("not run again: without participants' rows neither cohort nor models can be computed anew; "
                  "counts are there, but their libraries are nobody's. Ask for a participants' bundle.")  # fmt: skip
            print("not checked against tables: what the page says of participants, libraries, plates and influence")
        print("not proved: who made the bundle. Whoever changes every table, page and checksum alike goes unnoticed: "
              "compare the manifest's own SHA-256 with one that you received through a separate channel.")  # fmt: skip
    for fault in faults:
        print(f"DIFFERS  {fault}")
    print("equal" if not faults else f"{len(faults)} differences")
    return faults


def check_folder(folder: Path, figures: bool = True) -> tuple[list[str], list[str]]:
    """Compare an unpacked bundle with itself; return the lines of what differs, and what was compared.

    ``figures``: whether the models' figures are drawn again, which takes seconds for each.
    """
    try:
        config, results, whole = claims.read_claims(folder)
        list(claims.crate_outputs(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"unreadable: config, crate or tables ({type(error).__name__})"], []
    faults, lines = [], []

    def note(what: str, unit: str, found: tuple[int, list[str]]) -> None:
        compared, differing = found
        faults.extend(differing)
        lines.append(f"{what}: {max(0, compared - len(differing))} of {compared} {unit}")

    checks = (
        ("complete", "files that must be there are", lambda: claims.missing_files(folder)),
        ("withheld", "tables that the bundle calls withheld may be", lambda: claims.withheld_faults(folder, config)),
        ("listed", "tables and figures are in the crate", lambda: claims.unlisted_files(folder)),
        ("crate", "outputs in the bundle have the checksum the crate states", lambda: crate_faults(folder)),
        ("settings", "settings agree with the crate, the plans and the tables",
         lambda: claims.settings_faults(folder, config, results)),
        ("statistics", "t, p and intervals follow from their parts", lambda: statistics_faults(folder)),
        ("tables", "numbers that stand in several tables are the same there", lambda: claims.cross_faults(results)),
        ("pages", "pages are what their blocks and figures give", lambda: claims.page_faults(folder)),
        ("claims", "tables and sentences of the page are what the models' tables give",
         lambda: claims.claim_faults(folder, config, whole)),
        ("figures", "figures of models are what their tables give",
         lambda: claims.figure_faults(folder, whole, figures and claims.same_software(folder, versions()))),
    )  # fmt: skip
    for what, unit, check in checks:
        try:
            note(what, unit, check())
        except (KeyError, ValueError, TypeError, IndexError, OSError) as error:
            faults.append(
                f"{what}: cannot be checked, tables lack what they should hold ({type(error).__name__}: {error})"
            )
    if not claims.same_software(folder, versions()):
        lines.append("figures: not drawn again, since other versions of hpaxis or its packages made them")
    return faults, lines


def _unreadable(faults: Iterable[str]) -> bool:
    return any(fault.startswith("unreadable") for fault in faults)


def _rerun(folder: Path, cores: int) -> list[str]:
    targets = rerun_targets(folder)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--cores", str(cores)]
    command += ["--configfile", "config.yaml", "--quiet", "rules", "host", "--", *(f"results/{t}" for t in targets)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-20:]
        return ["the bundle does not run", *(f"    {line}" for line in said)]
    other = [n for n in targets if (folder / "results" / n).read_bytes() != (folder / "tables" / n).read_bytes()]
    print(f"run again from counts, plates and sheets: {len(targets) - len(other)} of {len(targets)} tables are equal "
          "to the byte")  # fmt: skip
    return [f"other bytes when run again: {name}" for name in other]
