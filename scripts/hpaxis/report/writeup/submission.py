"""Sheets for GEO and SRA, and what dbGaP needs to be told: rows of files with checksums, gaps named in capitals.

Reads and levels of children are personal data: the sheets say so, and carry participants' pseudonyms only where the
study's own sheet does. They are not for publication before an ethics board has agreed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from hpaxis.report.run import Run

GAP = "MISSING"
NOTE = """# Submission

- `geo_samples.tsv`, `geo_files.tsv`: the samples and files of a GEO submission; levels per CpG are the processed data.
- `sra_metadata.tsv`: the rows of SRA's metadata sheet.
- What stands as {gap} is not known to the workflow: fill it in before you submit.

Reads of people need controlled access. In the United States that is dbGaP: register the study, let the data access
committee approve the data use limitations, and submit through SRA under the dbGaP accession. In Europe, use EGA. Do not
send reads to GEO or SRA without such an approval: bisulfite reads show variants of the participant.

Checksums are MD5, as the archives ask, and SHA-256, as the crate has them. Participants' ids are the study's
pseudonyms; replace them by ids made for the archive.
"""


def submission_files(run: Run, reads: Mapping[str, list[str]], processed: Mapping[str, str]) -> dict[str, str]:
    """Return name to text of the sheets.

    ``run`` is `hpaxis.report.build.Run`; ``reads`` maps a library to its read files, ``processed`` to its table of
    calls. Files that are not there any more get {gap} for their checksums.
    """
    study = run.sheet[run.sheet["kind"] == "study"]
    arms = run.analysis.drop_duplicates("participant_id").set_index("participant_id")
    samples, files, sra = [], [], []
    for row in study.to_dict("records"):
        library, person = row["library_id"], row["participant_id"]
        about = arms.loc[person] if person in arms.index else {}
        samples.append((library, f"saliva, {library}", "Homo sapiens", "saliva", about.get("arm", GAP),
                        about.get("role", GAP), row.get("timepoint", GAP), "genomic DNA", "bisulfite amplicon "
                        "sequencing",
                        Path(processed[library]).name if library in processed else GAP))  # fmt: skip
        paths = list(reads.get(library, ()))
        for path in [*paths, *([processed[library]] if library in processed else [])]:
            kind = "raw" if path in paths else "processed"
            files.append((library, Path(path).name, kind, *checksums(path)))
        if paths:
            layout = "paired" if len(paths) > 1 else "single"
            names = [Path(p).name for p in paths]
            title = f"Bisulfite amplicons, saliva, {library}"
            about = ("Bisulfite-Seq", "GENOMIC", "PCR", layout, GAP, GAP, "fastq")
            sra.append((library, library, title, *about, names[0], names[1] if len(names) > 1 else ""))
    tables = {
        "geo_samples": (samples, ["sample", "title", "organism", "tissue", "arm", "role", "timepoint", "molecule",
                                  "assay", "processed_file"]),
        "geo_files": (files, ["sample", "file", "kind", "bytes", "md5", "sha256"]),
        "sra_metadata": (sra, ["sample_name", "library_ID", "title", "library_strategy", "library_source",
                               "library_selection", "library_layout", "platform", "instrument_model", "filetype",
                               "filename", "filename2"]),
    }  # fmt: skip
    made = {
        f"{name}.tsv": pd.DataFrame(rows, columns=columns).to_csv(sep="\t", index=False, lineterminator="\n")
        for name, (rows, columns) in tables.items()
    }
    return made | {"README.md": NOTE.format(gap=GAP)}


def checksums(path: Path | str) -> tuple[int | str, str, str]:
    """Return (bytes, MD5, SHA-256) of a file; `GAP` for each where it is not there."""
    path = Path(path)
    if not path.is_file():
        return GAP, GAP, GAP
    one, two, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            one.update(chunk)
            two.update(chunk)
            size += len(chunk)
    return size, one.hexdigest(), two.hexdigest()
