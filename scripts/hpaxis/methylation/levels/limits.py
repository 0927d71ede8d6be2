"""What a study's controls allow: limits of blank and of detection of each index."""

import numpy as np

from hpaxis.methylation.levels.estimate import Rate
from hpaxis.methylation.levels.measured import Measured, index_members, level, unmeasured
from hpaxis.methylation.levels.replicates import Overdispersion
from hpaxis.methylation.panels.panel import Panel
from hpaxis.settings import MethylationSettings

LIMIT_COLUMNS = ("panel", "index", "n_blanks", "n_low", "blank_mean", "blank_sd", "lob", "lod", "overdispersion",
                 "overdispersion_low", "overdispersion_high", "overdispersion_df", "overdispersion_source",
                 "assay")  # fmt: skip
ONE_SIDED = 1.645  # 95 % of a normal distribution lie below
LOW_PERCENT = 5


def limit_rows(
    samples: list[Measured],
    name: str,
    panel: Panel,
    over: Rate,
    rho: Overdispersion | None,
    settings: MethylationSettings,
) -> list[dict]:
    """Limits of blank and of detection of each index, from the 0 % controls among libraries of one panel and assay.

    LoB = mean + 1.645 SD of blanks, LoD = LoB + 1.645 SD at a low level (Armbruster and Pry, 2008). The SD of few
    blanks is poorly known, so it is never taken below their own standard error. A low level is a standard of at most
    `LOW_PERCENT`; without one the blanks' standard error serves.
    """
    levels = {index: {"blank": [], "low": []} for index in dict.fromkeys(panel.indices["index"])}
    for sample in samples:
        kind = _limit_kind(sample.row)
        if kind is None:
            continue
        absent = unmeasured(sample, settings)
        for index, wanted in index_members(sample):
            wanted = wanted & sample.covered
            if index not in absent and wanted.any() and sample.usable(settings)[wanted].all():
                found = level(sample, wanted, over, settings, index)
                levels[index][kind].append((float(found.beta[0]), float(found.se[0])))
    assay = samples[0].assay if samples else "reads"
    known = {"panel": name, "assay": assay}
    return [known | {"index": index} | limit(v["blank"], v["low"], rho) for index, v in levels.items()]


def _limit_kind(row):
    if row.kind == "control_0":
        return "blank"
    return "low" if row.kind == "standard" and 0 < float(row.expected_percent) <= LOW_PERCENT else None


def limit(blanks, low, rho=None):
    """Limits of one index from (level, standard error) of blanks and of low standards."""
    spread = {} if rho is None else {
        "overdispersion": rho.rho, "overdispersion_low": rho.low, "overdispersion_high": rho.high,
        "overdispersion_df": rho.df, "overdispersion_source": rho.source,
    }  # fmt: skip
    counts = {"n_blanks": len(blanks), "n_low": len(low)}
    found = spread | counts | dict.fromkeys(("blank_mean", "blank_sd", "lob"), np.nan)
    if not blanks:
        return found | {"lod": np.nan}
    values, errors = np.array(blanks).T
    own = np.sqrt(np.mean(errors**2))
    sd = max(values.std(ddof=1), own) if len(values) > 1 else own
    low_sd = np.sqrt(np.mean(np.array(low)[:, 1] ** 2)) if low else own
    lob = values.mean() + ONE_SIDED * sd
    return found | {"blank_mean": values.mean(), "blank_sd": sd, "lob": lob, "lod": lob + ONE_SIDED * low_sd}


def note_undetected(library_rows, limits):
    """Say of a study library whose region mean cannot be told from a blank that it cannot."""
    known = {row["panel"]: row["lod"] for row in limits if row["index"] == "region_mean"}
    for row in library_rows:
        lod = known.get(row["panel"], np.nan)
        if row["kind"] == "study" and row["region_mean_beta"] < lod:
            note = f"region mean below the limit of detection, {100 * lod:.3g} %"
            row["reasons"] = f"{row['reasons']}; {note}" if row["reasons"] else note
