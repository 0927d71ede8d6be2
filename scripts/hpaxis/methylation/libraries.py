"""All libraries of a study together: correction by its controls, calls, verdicts, and indices of participants."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpaxis.methylation import estimate
from hpaxis.methylation.cycles import cycle_bias
from hpaxis.methylation.variants import mask_notes, masked_cpgs
from hpaxis.problems import Problem, raise_if_any

LIMIT_COLUMNS = ("panel", "index", "n_blanks", "n_low", "blank_mean", "blank_sd", "lob", "lod")
ONE_SIDED = 1.645  # 95 % of a normal distribution lie below
LOW_PERCENT = 5
CROWDED = 0.1  # then about one template in twenty has its UMI in common with another
INDEX_PARTS = ("beta", "beta_se", "beta_low", "beta_high", "m", "m_se")


@dataclass(frozen=True)
class StudyEstimates:
    """All results: ``calls`` is a table a library (a row a CpG); rows of the others are what their names say.

    ``limits`` has a row an index: the limits of blank and of detection that the study's controls show.
    """

    calls: dict
    libraries: pd.DataFrame
    indices: pd.DataFrame
    limits: pd.DataFrame


@dataclass(frozen=True)
class _Sample:
    """One library: its sheet row, panel, tables, molecules by amplicon, templates, non-conversion, M-bias, CpGs
    that a variant destroys, those of them that are left out, and notes on both."""

    row: object
    panel: object
    counts: pd.DataFrame
    reads: pd.Series
    parts: list
    templates: float
    conversion: estimate.Rate
    bias: list
    masked: np.ndarray
    excluded: np.ndarray
    notes: list

    @property
    def depth(self):
        """Effective depth of each CpG, n T / (n + T): n molecules tell no more than the T templates they copy."""
        depth = self.counts["depth"].to_numpy(dtype=float)
        per_part = [np.full(len(m.known.T), estimate.duplication(m, self.templates)) for m in self.parts]
        return depth / np.concatenate(per_part)

    def weights(self, members):
        """Weights of the mean over a boolean set of the panel's CpGs, split by amplicon: CpGs × 1."""
        weight = members / members.sum()
        sizes = np.cumsum([m.known.shape[1] for m in self.parts])[:-1]
        return [part[:, None] for part in np.split(weight, sizes)]


def estimate_study(sheet, panels, tables, settings, others=()):
    """Turn counts into corrected levels for every library, and into indices for every participant and timepoint.

    Parameters: ``sheet``, the libraries sheet (columns library_id, participant_id, timepoint, kind, panel,
    expected_percent, plate, well, input_ng); ``panels``, panel name → `Panel`; ``tables``, library_id →
    `calls.LibraryCalls`; ``settings``, the config's methylation section; ``others``, what libraries
    without molecules were measured to be (`pyrosequencing_levels.Measured`). Returns `StudyEstimates`. A library that
    fails keeps its calls; its index is NA with the reason. Raises `InputError` when two panels name an index alike.
    """
    _check_index_names(panels)
    samples = [
        _read_sample(row, panels[row.panel], tables[row.library_id], settings)
        for row in sheet.sort_values("library_id").itertuples()
    ]
    over = {name: _over_conversion(samples, panel, settings) for name, panel in panels.items()}
    typical = np.median([s.reads["passed"] for s in samples if s.row.kind == "study"] or [0])
    calls, library_rows, index_rows = {}, [], []
    for sample in samples:
        g = over[sample.row.panel]
        calls[sample.row.library_id] = _calls(sample, g, settings)
        row = _library_row(sample, g, settings)
        row["verdict"], row["reasons"] = _verdict(sample, row, g, typical, settings)
        library_rows.append(row)
        if sample.row.kind == "study":
            index_rows += _index_rows(sample, row, g, settings)
    elsewhere = {name for other in others for name, *_ in other.limit_rows} - set(sheet["panel"])
    own = [n for n in panels if n not in elsewhere]
    limits = [row for name in own for row in _limits(samples, name, panels[name], over[name], settings)]
    _note_undetected(library_rows, limits)
    for other in others:
        found = [{"panel": n, "index": i} | _limit(blank, low) for n, i, blank, low in other.limit_rows]
        _note_undetected(other.library_rows, found)
        calls, limits = calls | other.calls, limits + found
        library_rows, index_rows = library_rows + other.library_rows, index_rows + other.index_rows
    library_rows.sort(key=lambda row: row["library_id"])
    indices = [dict.fromkeys(p.indices["index"]) for p in panels.values()]
    names = list(dict.fromkeys(name for panel in indices for name in panel))
    return StudyEstimates(
        calls=calls,
        libraries=pd.DataFrame(library_rows),
        indices=_participants(pd.DataFrame(index_rows), library_rows, names, settings),
        limits=pd.DataFrame(limits, columns=list(LIMIT_COLUMNS)),
    )


def _check_index_names(panels):
    seen, problems = {}, []
    for name, panel in panels.items():
        for index in dict.fromkeys(panel.indices["index"]):
            if index in seen:
                what = f"is an index of panel {seen[index]} too"
                problems.append(
                    Problem(f"{name}/indices.tsv", what, "rename it in one of them", column="index", value=index)
                )
            seen[index] = name
    raise_if_any(problems)


def _read_sample(row, panel, tables, settings):
    sizes = {name: len(panel.cpg_offsets(name)) for name in panel.references}
    parts = [estimate.read_molecules(tables.patterns, name, size) for name, size in sizes.items()]
    if _families(tables.reads.iloc[0]) is None:
        templates = estimate.template_copies(
            float(row.input_ng), settings["copies_per_ng"], settings["template_recovery"], settings["amplification_cv"]
        )
    else:
        # Every family is a template of its own: nothing is counted twice.
        templates = np.inf
    conversion = estimate.non_conversion(parts, templates)
    bias = [] if tables.cycles is None else cycle_bias(tables.cycles)
    masked = masked_cpgs(panel, settings["snp_frequency"])
    excluded = masked & (settings["snp_action"] == "exclude")
    notes = mask_notes(panel, settings)
    return _Sample(
        row, panel, tables.counts, tables.reads.iloc[0], parts, templates, conversion, bias, masked, excluded, notes
    )


def _families(reads):
    """Templates that UMIs tell apart; None without UMIs."""
    found = reads.get("umi_families")
    return None if found is None or pd.isna(found) else int(found)


def _over_conversion(samples, panel, settings):
    """g of a panel from its 100 % controls that are deep enough; 0 without one."""
    rates = []
    for sample in samples:
        if sample.panel is not panel or sample.row.kind != "control_100":
            continue
        deep = (sample.depth >= settings["depth_fail"]) & ~sample.excluded
        if not deep.any() or np.isnan(sample.conversion.value):
            continue
        known = sample.row.expected_percent
        expected = 1.0 if pd.isna(known) else float(known) / 100
        shares = estimate.observed_shares(sample.parts, sample.weights(deep), sample.conversion, sample.templates)
        rates.append(estimate.over_conversion(shares, sample.conversion, expected))
    return estimate.pool_over_conversion(rates)


def _level(sample, members, over, settings):
    """`Estimate` of the mean over a set of CpGs, each an array of one value; NaN for an empty set."""
    if not members.any() or np.isnan(sample.conversion.value):
        return estimate.Estimate(*(np.array([np.nan]) for _ in range(5)))
    shares = estimate.observed_shares(sample.parts, sample.weights(members), sample.conversion, sample.templates)
    return estimate.correct(shares, sample.conversion, over, settings["confidence"])


def _calls(sample, over, settings):
    """The library's CpG table: counts, levels with intervals, and flags that say what is wrong with a row."""
    table = sample.counts.copy()
    sizes = [m.known.shape[1] for m in sample.parts]
    single = np.split(np.eye(sum(sizes)), np.cumsum(sizes)[:-1])
    shares = estimate.observed_shares(sample.parts, single, sample.conversion, sample.templates)
    found = estimate.correct(shares, sample.conversion, over, settings["confidence"])
    depth = sample.depth
    usable = depth >= settings["depth_fail"]
    table["effective_depth"] = depth
    table["beta_raw"] = found.raw
    values = {
        "beta": np.clip(found.beta, 0, 1),
        "beta_unclipped": found.beta,
        "beta_se": found.se,
        "beta_low": np.clip(found.low, 0, 1),
        "beta_high": np.clip(found.high, 0, 1),
    }
    for column, value in values.items():
        table[column] = np.where(usable, value, np.nan)
    flags = np.select([~usable, depth < settings["depth_warn"]], ["depth_fail", "depth_low"], default="").astype(object)
    outside = usable & ((found.beta < 0) | (found.beta > 1))
    for where, name in ((outside, "clipped"), (sample.masked, "variant")):
        flags = np.where(where, [f"{f};{name}".lstrip(";") for f in flags], flags)
    table["flags"] = pd.Series(flags, dtype="str").replace("", pd.NA)
    return table


def _library_row(sample, over, settings):
    z_low, z_high = sample.conversion.limits(settings["confidence"])
    depth = sample.depth
    region = _level(sample, (depth >= settings["depth_fail"]) & ~sample.excluded, over, settings)
    row = {
        c: getattr(sample.row, c)
        for c in ("library_id", "participant_id", "timepoint", "kind", "panel", "plate", "well")
    }
    row |= {c: int(sample.reads[c]) for c in estimate.LIBRARY_COLUMNS}
    row |= {
        "non_conversion": sample.conversion.value,
        "non_conversion_low": float(z_low),
        "non_conversion_high": float(z_high),
        "over_conversion": over.value,
        "over_conversion_se": np.sqrt(over.variance),
        "template_copies": _families(sample.reads) if np.isinf(sample.templates) else sample.templates,
        "median_depth": float(np.median(sample.counts["depth"])),
        "effective_depth": float(np.median(depth)),
        "n_cpgs": int(np.count_nonzero(depth >= settings["depth_fail"])),
        "expected_percent": sample.row.expected_percent,
        "region_mean_beta_raw": float(region.raw[0]),
    }
    for part, value in (("", region.beta), ("_se", region.se), ("_low", region.low), ("_high", region.high)):
        row[f"region_mean_beta{part}"] = float(value[0])
    return row


def _verdict(sample, row, over, typical, settings):
    """Verdict (pass, warn, fail) and every reason, in words; a pass may carry notes."""
    if sample.row.kind == "no_template":
        return _no_template_verdict(row["passed"], typical, settings)
    found = []
    if row["passed"] == 0:
        return "fail", f"none of {row['pairs_in']} read pairs passed"
    conversion = 1 - row["non_conversion"]
    if np.isnan(conversion):
        found.append(("fail", "no cytosine outside CpGs was read, so conversion is unknown"))
    else:
        found += _gate(conversion, "conversion", settings, lambda v: f"{100 * v:.4g} %")
    found += _gate(row["effective_depth"], "depth", settings, lambda v: f"{v:.4g} molecules")
    if np.isnan(sample.templates) and sample.row.kind == "study":
        found.append(("pass", "template copies unknown (no input_ng): the interval assumes every molecule is its own"))
    elif row["effective_depth"] < 0.5 * row["median_depth"]:
        found.append(("warn", f"{row['median_depth']:.4g} molecules are copies of {sample.templates:.4g} templates"))
    if over.trials == np.inf and over.variance == 0 and over.value == 0:
        found.append(("pass", "no 100 % control of this panel: over-conversion taken as 0"))
    found += [("warn", reason) for reason in sample.bias + _crowded_umis(sample)]
    found += [("pass", note) for note in sample.notes]
    found += _control_reasons(sample, row, over, settings)
    worst = max((rank for rank, _ in found), key=RANK.index, default="pass")
    return worst, "; ".join(reason for _, reason in found) or None


def _crowded_umis(sample):
    """What short UMIs lose: templates that have theirs by chance in common, of so many that there can be."""
    pattern = getattr(sample.row, "umi", None)
    if pd.isna(pattern) or pattern == "name":
        return []
    kinds, families = 4.0 ** pattern.count("N"), _families(sample.reads)
    if families <= CROWDED * kinds:
        return []
    return [f"{families} families of molecules, where there are {kinds:.0f} UMIs: templates share UMIs by chance"]


RANK = ("pass", "warn", "fail")


def _gate(value, name, settings, show):
    for level, verdict in (("fail", "fail"), ("warn", "warn"), ("target", "pass")):
        limit = settings[f"{name}_{level}"]
        if value < limit:
            what = "median effective depth" if name == "depth" else name
            return [(verdict, f"{what} {show(value)}, below {show(limit)}{' (target)' if level == 'target' else ''}")]
    return []


def _control_reasons(sample, row, over, settings):
    kind, known = sample.row.kind, sample.row.expected_percent
    expected = {"control_0": 0.0, "control_100": 1.0}.get(kind, np.nan) if pd.isna(known) else float(known) / 100
    if kind == "control_100" and over.value > settings["over_conversion_warn"]:
        return [("warn", f"100 % controls lose {100 * over.value:.3g} % of their methylation")]
    if kind in ("control_0", "standard") and not np.isnan(expected):
        low, high = row["region_mean_beta_low"], row["region_mean_beta_high"]
        if not low <= expected <= high:
            rank = "warn" if kind == "control_0" else "pass"
            return [
                (
                    rank,
                    f"known level {100 * expected:.4g} % is outside {100 * low:.3g} to {100 * high:.3g} %",
                )
            ]
    return []


def _no_template_verdict(passed, typical, settings):
    if typical == 0:
        return ("warn", f"{passed} molecules passed in a control without template") if passed else ("pass", None)
    share = passed / typical
    reason = f"{passed} molecules passed, {100 * share:.3g} % of the median study library's"
    for rank in ("fail", "warn"):
        if share > settings[f"no_template_{rank}"]:
            return rank, reason
    return "pass", None


def _index_rows(sample, library_row, over, settings):
    """One row an index: level, errors, floor of its logit, depth, and why it has none."""
    rows = []
    cpgs = sample.panel.cpgs["cpg_id"].to_numpy()
    depth = sample.depth
    deep = depth >= settings["depth_fail"]
    for index, members in sample.panel.indices.groupby("index", sort=False):
        wanted = np.isin(cpgs, members["cpg_id"]) & ~sample.excluded
        used = wanted & deep
        reason = None
        if library_row["verdict"] == "fail":
            reason = library_row["reasons"]
        elif not wanted.any():
            reason = f"{index}: variants destroy all of its CpGs"
        elif used.sum() < settings["min_cpg_share"] * wanted.sum():
            reason = f"{index}: {used.sum()} of {wanted.sum()} CpGs deep enough"
        level = _level(sample, used if reason is None else np.zeros_like(used), over, settings)
        rows.append({
            "library_id": sample.row.library_id,
            "participant_id": sample.row.participant_id,
            "timepoint": sample.row.timepoint,
            "index": index,
            "beta": float(level.beta[0]),
            "se": float(level.se[0]),
            "low": float(level.low[0]),
            "high": float(level.high[0]),
            "depth": float(np.median(depth[used])) if used.any() else 0.0,
            "from_over": float(level.beta[0] ** 2 * over.variance / (1 - over.value - sample.conversion.value) ** 2),
            "reason": reason,
        })  # fmt: skip
    return rows


def _limits(samples, name, panel, over, settings):
    """Limits of blank and of detection of each index, from the 0 % controls.

    LoB = mean + 1.645 SD of blanks, LoD = LoB + 1.645 SD at a low level (Armbruster and Pry, 2008). The SD of few
    blanks is poorly known, so it is never taken below their own standard error. A low level is a standard of at most
    `LOW_PERCENT`; without one the blanks' standard error serves.
    """
    cpgs = panel.cpgs["cpg_id"].to_numpy()
    rows = []
    for index, members in panel.indices.groupby("index", sort=False):
        wanted = np.isin(cpgs, members["cpg_id"])
        levels = {kind: [] for kind in ("blank", "low")}
        for sample in samples:
            kind = _limit_kind(sample.row)
            wanted &= ~sample.excluded if sample.panel is panel else True
            if (
                sample.panel is panel
                and kind
                and wanted.any()
                and (sample.depth[wanted] >= settings["depth_fail"]).all()
            ):
                level = _level(sample, wanted, over, settings)
                levels[kind].append((float(level.beta[0]), float(level.se[0])))
        rows.append({"panel": name, "index": index} | _limit(levels["blank"], levels["low"]))
    return rows


def _limit_kind(row):
    if row.kind == "control_0":
        return "blank"
    return "low" if row.kind == "standard" and 0 < float(row.expected_percent) <= LOW_PERCENT else None


def _limit(blanks, low):
    found = {"n_blanks": len(blanks), "n_low": len(low), "blank_mean": np.nan, "blank_sd": np.nan, "lob": np.nan}
    if not blanks:
        return found | {"lod": np.nan}
    values, errors = np.array(blanks).T
    own = np.sqrt(np.mean(errors**2))
    sd = max(values.std(ddof=1), own) if len(values) > 1 else own
    low_sd = np.sqrt(np.mean(np.array(low)[:, 1] ** 2)) if low else own
    lob = values.mean() + ONE_SIDED * sd
    return found | {"blank_mean": values.mean(), "blank_sd": sd, "lob": lob, "lod": lob + ONE_SIDED * low_sd}


def _note_undetected(library_rows, limits):
    """Say of a study library whose region mean cannot be told from a blank that it cannot."""
    known = {row["panel"]: row["lod"] for row in limits if row["index"] == "region_mean"}
    for row in library_rows:
        limit = known.get(row["panel"], np.nan)
        if row["kind"] == "study" and row["region_mean_beta"] < limit:
            note = f"region mean below the limit of detection, {100 * limit:.3g} %"
            row["reasons"] = f"{row['reasons']}; {note}" if row["reasons"] else note


def _participants(rows, library_rows, names, settings):
    """Indices by participant and timepoint; libraries of one sample are combined by effective depth, or by
    their errors where one has none.

    The error of over-conversion is the study's and shared by all libraries, the rest is each library's own.
    """
    columns = ["participant_id", "timepoint", *(f"{n}_{p}" for n in names for p in INDEX_PARTS), "depth", "n_libraries",
               "verdict", "reasons"]  # fmt: skip
    if rows.empty:
        return pd.DataFrame(columns=columns)
    verdicts = {r["library_id"]: (r["verdict"], r["reasons"]) for r in library_rows}
    table = []
    for (participant, timepoint), group in rows.groupby(["participant_id", "timepoint"], sort=True):
        out = {"participant_id": participant, "timepoint": timepoint}
        depths = []
        for name in names:
            mine = group[group["index"] == name]
            out |= {f"{name}_{part}": value for part, value in zip(INDEX_PARTS, _combine(mine))}
            depths.append(mine["depth"].where(mine["beta"].notna() | mine["depth"].isna(), 0).sum(skipna=False))
        used = group.loc[group["beta"].notna(), "library_id"].unique()
        out["depth"] = np.max(depths)
        out["n_libraries"] = len(used)
        out["verdict"], out["reasons"] = _participant_verdict(group, used, verdicts)
        table.append(out)
    return pd.DataFrame(table, columns=columns)


def _combine(rows):
    """Level, errors, interval, M value and its error of one index from the libraries that have it."""
    rows = rows[rows["beta"].notna()]
    if rows.empty:
        return (np.nan,) * len(INDEX_PARTS)
    depth = rows["depth"].sum(skipna=False)
    # Levels that were not counted have no depth: they are combined by their errors.
    weight = (rows["depth"] if depth == depth else 1 / rows["se"] ** 2).to_numpy()
    weight = weight / weight.sum()
    beta, se = rows["beta"].to_numpy(), rows["se"].to_numpy()
    level = weight @ beta
    own = np.maximum(se**2 - rows["from_over"].to_numpy(), 0)
    shared = weight @ np.sqrt(rows["from_over"].to_numpy())
    error = np.sqrt(weight**2 @ own + shared**2)
    low = level - np.sqrt(weight**2 @ (beta - rows["low"].to_numpy()) ** 2)
    high = level + np.sqrt(weight**2 @ (rows["high"].to_numpy() - beta) ** 2)
    m, m_se = estimate.m_value(level, error, 0.5 / depth if depth == depth else error / 2)
    return level, error, low, high, float(m), float(m_se)


def _participant_verdict(group, used, verdicts):
    names = sorted(group["library_id"].unique())
    reasons = [f"{n}: {verdicts[n][1]}" for n in names if verdicts[n][1] is not None]
    sound = group["library_id"].map(lambda name: verdicts[name][0] != "fail")
    partial = group.loc[group["reason"].notna() & sound, ["library_id", "reason"]]
    reasons += [f"{r.library_id}: {r.reason}" for r in partial.itertuples()]
    if not len(used):
        return "fail", "; ".join(reasons) or None
    warned = len(used) < len(names) or len(partial) or any(verdicts[n][0] == "warn" for n in used)
    return "warn" if warned else "pass", "; ".join(reasons) or None
