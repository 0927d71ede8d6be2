"""Every number of a page traced to the tables of its run, by code that shares nothing with the page's.

A number is traced where one row of one table has it at the precision shown (as it is, as a percentage, or as a
size), together with all other numbers of its cell, interval or statistic; where it follows from the tables by a
formula of this file; or where it is a setting, or a constant that the sentence names (`CONSTANTS`). What is not
traced is returned with its place.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

NUMBER = re.compile(
    r"(?<![\w.₀-₉^])(?P<sign>[−-]?)(?P<body>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)(?P<exponent>e[−-]?\d+)?"
    r"(?P<unit>\s?%)?(?![\w²])"
)
# Numbers that a sentence carries by itself: methods, conventions and labels, each as a whole phrase.
CONSTANTS = re.compile(
    r"95 ?% (?:CI|confidence|band|t interval|intervals?|over)|intervals? (?:are |hold for all CpGs together )?at 95%|"
    r"pointwise 95%|at 95% \(Bonferroni|80[–-]120%|80% power|with 80%|150 molecules in each panel|"
    r"p = \(k \+ 1\) / \(N \+ 1\)|100% control|0% control|100 mg|SHA-256|Fisher’s|"
    r"CONSORT(?:-SPI)? 20\d\d|column (?:\w+) above 0|\(\w[\w ]* above 0\)|\b(?:19|20)\d\d\)|"
    r"of \d to \d|Study library \d+|(?:Table|Figure) \d+|[Mm]odel \d+|exon \d\w|from 1 to \d+ people|(?<![\d.])1–\d+\b|"
    r"the panel’s|Python 3[\d.]*|percentile of 100|corrected value may fall below zero|one thousand|per \d+ mg"
)
IN_TEXT = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")


class Trace:
    """The tables of a run, as rows of numbers, and what the page says of them.

    Numbers of all tables lie in one sorted array with the row that each stands in, so that the rows which hold a
    number are found without looking at a table.
    """

    def __init__(self, results, config, more=None):
        """Read the tables below ``results``; ``more``: tables by name that stand in for those there."""
        self.results, self.config = Path(results), config
        self.tables = {}
        for path in sorted(self.results.rglob("*.tsv")):
            name = path.relative_to(self.results).as_posix()
            if not name.startswith(("simulation/", "benchmarks/", "writeup/", "bundle/", "report/tables/")):
                self.tables[name] = pd.read_csv(
                    path, sep="\t", na_values=["NA"], keep_default_na=False, low_memory=False
                )
        self.tables |= more or {}
        self.truth = self._read("simulation/truth/coefficients.tsv")
        self._facts = np.array(facts(self.tables, config))
        self.names = known_names(self.tables, config)
        self.together = [np.array(t, float) for t in together(self.tables, config)]
        self._index()

    def _read(self, name):
        path = self.results / name
        return pd.read_csv(path, sep="\t", na_values=["NA"], keep_default_na=False) if path.is_file() else None

    def _index(self):
        """Lay every number of every table in one array, sorted, with its row and whether it is a p value."""
        values, rows, said, p_values, p_rows, first = [], [], [], [], [], 0
        self._rows = {}
        for name, table in self.tables.items():
            numeric = [c for c in table if table[c].dtype.kind in "fiub"]
            for column in numeric:
                own = table[column].to_numpy(float)
                values.append(own)
                rows.append(np.arange(first, first + len(own)))
                if re.match(r"p(_|$)|adjusted", column):
                    p_values.append(own)
                    p_rows.append(rows[-1])
            # Text cells may hold numbers too: notes, reasons, dilutions.
            if len(table) < 3000:
                for column in table.columns.difference(numeric):
                    for at, cell in enumerate(table[column].to_numpy()):
                        if isinstance(cell, str):
                            said += ((float(n.replace(",", "")), first + at) for n in IN_TEXT.findall(cell))
            self._rows[name] = (first, first + len(table))
            first += len(table)
        empty = [np.array([number for number, _ in said])]
        rows = np.concatenate([*rows, np.array([row for _, row in said])]).astype(int)
        values, empty = np.concatenate(values + empty), [np.zeros(0)]
        kept = np.isfinite(values)
        order = np.argsort(values[kept], kind="stable")
        self._values, self._where, self._n = values[kept][order], rows[kept][order], first
        self._p, self._p_rows = np.concatenate(p_values + empty), np.concatenate(p_rows + empty).astype(int)

    def _rows_with(self, token, factors):
        """Rows that hold a number, by any of the factors."""
        sign, number, digits, relation = token
        if relation in "<>":
            with np.errstate(invalid="ignore"):
                return np.unique(self._p_rows[self._p < number if relation == "<" else self._p > number])
        near = 0.5000001 * 10.0**-digits + 1e-9 * abs(number)
        found = []
        for factor in factors:
            for target in (number,) if sign is not None else (number, -number):
                ends = sorted(((target - near) / factor, (target + near) / factor))
                at = np.searchsorted(self._values, ends[0], "left"), np.searchsorted(self._values, ends[1], "right")
                found.append(self._where[at[0] : at[1]])
        return np.unique(np.concatenate(found))

    def in_one_row(self, tokens, names=None, factors=(1.0, 100.0)):
        """Whether one row of one of the tables (None: of any) has all tokens."""
        rows = None
        for token in tokens:
            found = self._rows_with(token, factors)
            rows = found if rows is None else np.intersect1d(rows, found, assume_unique=True)
            if not len(rows):
                return False
        if rows is None or names is None:
            return True
        spans = [self._rows[name] for name in names if name in self._rows]
        return any(np.searchsorted(rows, first) < np.searchsorted(rows, end) for first, end in spans)

    def traced(self, tokens, names):
        """Whether tokens stand in one row of tables, or are one of the facts that follow from tables."""
        if self.in_one_row(tokens, names):
            return True
        return all(_same(token, self._facts).any() for token in tokens)

    def tuple_of(self, tokens):
        """Whether tokens are one of the tuples of numbers that belong together."""
        return any(
            len(t) == len(tokens) and all(_same(a, b) for a, b in zip(tokens, t, strict=True)) for t in self.together
        )

    def anywhere(self, token):
        """Whether a number that stands alone is in any table, as it is or in percent, or follows from the tables."""
        return bool(len(self._rows_with(token, (1.0, 100.0))) or _same(token, self._facts).any())

    def sources(self, block):
        """Tables that a block names, with * as a wildcard; the truth by its own name."""
        found = []
        for source in block["source"]:
            pattern = re.escape(source).replace(r"\*", "[^/]+")
            found += [name for name in self.tables if re.fullmatch(pattern, name)]
        return found


def _same(token, fact):
    _, number, digits, relation = token
    return (relation == "=") & (np.abs(fact - number) <= 0.5000001 * 10.0**-digits + 1e-9 * abs(number))


def tokens_of(text):
    """Numbers of a text as (signed, value, digits after the point, relation), percent signs dropped."""
    found = []
    for match in NUMBER.finditer(text):
        body = match["body"].replace(",", "")
        value = float(body + (match["exponent"] or "").replace("−", "-"))
        digits = len(body.partition(".")[2])
        if match["exponent"]:
            digits -= int(match["exponent"][1:].replace("−", "-"))
        before = text[: match.start()].rstrip()
        relation = before[-1] if before.endswith(("<", ">")) else "="
        if (
            not match["body"].startswith("0")
            and "." not in body
            and value >= 1000
            and "," not in match["body"]
            and digits <= 0
        ):
            digits = 0
        found.append((bool(match["sign"]) or True, -value if match["sign"] else value, digits, relation))
    return found


# Expressions whose numbers belong together: to one row, or to one of the tuples of `Trace.together`.
NUM = r"[−-]?(?:\d[\d,]*)?\.?\d+ ?%?"
STATISTIC = re.compile(
    rf"b₃ = {NUM}, \d+% CI \[{NUM}, {NUM}\], t\({NUM}\) = {NUM}, p [=<>] {NUM}"
    rf"|{NUM}(?: SD)? (?:higher|lower) [^.;]*?CI of this difference from {NUM} to {NUM}"
    rf"|{NUM}(?: SD)? (?:higher|lower) [^;(]*?\((?:\d+% )?CI of this difference from {NUM} to {NUM}"
    rf"|differences from {NUM} to {NUM} remain|ranges from {NUM} to {NUM}|{NUM} \(from {NUM} to {NUM}\)"
    rf"|{NUM} ?\[{NUM}, {NUM}\]|{NUM} \((?:\d+% )?CI (?:of this difference )?from {NUM} to {NUM}"
    rf"|{NUM} SD \({NUM}\)|\w[\w ]* {NUM}, p [=<>] \.\d+"
    rf"|{NUM} (?:children|parents|people|participants|infants|mothers|families) \([^()]*{NUM}[^()]*\)"
    rf"|{NUM} of {NUM}\b"
)


# Counts by arm, parts and ranges stand in several rows: only a tuple has them.
OF_SEVERAL_ROWS = re.compile(r"\(\D*\d+ \w[^()]* and |ranges from|differences from")


def text_faults(trace, text, names, where):
    """Numbers of a text that no row, tuple, fact, setting or constant has."""
    text = trace.names.sub(" ", str(text))
    text = re.sub(r"\S*\.(?:tsv|html|svg|json|md|yaml)\b", " ", text)
    text = CONSTANTS.sub(lambda m: " " * len(m[0]) if "CI" not in m[0] else m[0], text)
    kept, faults = text, []
    for match in STATISTIC.finditer(text):
        said = re.sub(r"\b\d+ ?% (?=CI)", "", match[0])
        tokens = tokens_of(said)
        if "higher" in said or "lower" in said:
            tokens[0] = (None, *tokens[0][1:])  # its direction is a word
        in_row = not OF_SEVERAL_ROWS.search(said) and (trace.in_one_row(tokens, names) or trace.scaled(tokens))
        if not in_row and not trace.tuple_of(tokens):
            faults.append(f"{where}: “{match[0]}” stands in no row")
        kept = kept[: match.start()] + " " * (match.end() - match.start()) + kept[match.end() :]
    for token in tokens_of(re.sub(r"\b\d+ ?% (?=CI)", "", kept)):
        if not trace.anywhere(token):
            faults.append(f"{where}: {token[1]:g} (…{_near(kept, token)}…)")
    return faults


def _near(text, token):
    for match in NUMBER.finditer(text):
        if tokens_of(match[0]) and abs(tokens_of(match[0])[0][1]) == abs(token[1]):
            return re.sub(r"\s+", " ", text[max(0, match.start() - 50) : match.end() + 30])
    return ""


def scaled(self, tokens):
    """Whether estimate and interval are those of one row in raw units: by one factor, from the model's own SDs."""
    return any(self.in_one_row(tokens, names, (factor,)) for (_, factor), names in self._raw())


def _raw(self):
    """Each model's factor from SD per SD to raw units, from its own fit table."""
    for name in self.config["models"]:
        fit = self.tables.get(f"moderation/{name}/fit.tsv")
        if fit is None:
            continue
        value = dict(zip(fit["statistic"], fit["value"], strict=True))
        percent = 100.0 if str(self.config["models"][name]["predictor"]).endswith("_beta") else 1.0
        entry = self.config["models"][name]
        factor = 1.0 / percent
        for role, power in (("outcome", 1), ("predictor", -1)):
            sd = value.get(f"sd[{entry[role]}]")
            if role in entry["standardise"] and sd:
                factor *= float(sd) ** power
        yield (name, factor), [f"moderation/{name}/{t}.tsv" for t in ("slopes", "slope_differences")]


Trace.scaled, Trace._raw = scaled, _raw


def blocks_of(section):
    """Blocks of a section of the stored page, those inside folds included."""
    for block in section:
        if block is None:
            continue
        yield block
        if block.get("block") == "Fold":
            yield from blocks_of(block["blocks"])


def plain(value):
    """Text of a value of the stored page."""
    if isinstance(value, dict):
        return re.sub(r"<[^>]+>", "", value["markup"])
    return str(value)


def page_faults(trace, page):
    """(numbers looked at, what is not traced) over the whole stored page (report.json as a dict)."""
    looked, faults = 0, []
    every = None  # any table
    found = [*page["answer"], *page["notices"], *(b for s in page["sections"] for b in s["blocks"])]
    for block in blocks_of(found):
        kind = block["block"]
        where = block.get("title") or kind
        if kind in ("Paragraph", "Notice"):
            texts = [(block["text"], every)]
        elif kind == "Items":
            texts = [(item, every) for item in block["items"]]
        elif kind == "Strip":
            texts = [(check["said"], every) for check in block["checks"]]
        elif kind == "Figure":
            texts = [(t, every) for t in (block["title"], block["note"], block["alt"]) if t]
        elif kind == "Table":
            texts = [(t, every) for t in (block["title"], block["note"]) if t]
            if plain(block["title"]) not in NO_NUMBERS:
                looked += sum(len(tokens_of(plain(c))) for row in block["rows"] for c in row)
            faults += table_faults(trace, block)
        else:
            continue
        for text, names in texts:
            looked += len(tokens_of(plain(text)))
            faults += text_faults(trace, plain(text), names, f"{kind} {plain(where)[:60]}")
    return looked, faults


def table_faults(trace, block):
    """Cells whose numbers no row of the named files has; rows whose numbers no single row has count by their cells."""
    title = plain(block["title"])
    if title in NO_NUMBERS:
        return []
    names = trace.sources(block)
    faults = []
    for row in block["rows"]:
        cells = [CONSTANTS.sub(" ", trace.names.sub(" ", plain(c))) for c in row]
        cells[0] = re.sub(r"^\d+: +$", "", cells[0])  # CpGs are numbered in their order
        tokens = [t for c in cells for t in tokens_of(c)]
        if trace.in_one_row(tokens, names):
            continue
        for column, cell in zip(block["columns"], cells, strict=False):
            # Values of several arms in one cell stand in a row each.
            for part in cell.split("; "):
                own = tokens_of(part)
                if own and not trace.traced(own, names) and not trace.scaled(own) and not trace.known(own):
                    faults.append(f"Table {title}, {plain(row[0])}, {plain(column)}: {part.strip()}")
    return faults


def known(self, tokens):
    """Whether tokens are a true value of the simulation."""
    if self.truth is None:
        return False
    values = self.truth.select_dtypes("number").to_numpy(float).ravel()
    return all(any(_same(t, v) for v in values) for t in tokens)


Trace.known = known
# Versions of software are names, and digests are.
NO_NUMBERS = ("Versions and settings", "Inputs")


NAMED = ["library_id", "cpg_id", "plate_id", "control", "panel", "amplicon", "kit", "lot", "sha256", "plate", "level",
         "version", "index", "cluster", "timepoint", "condition", "sample"]  # fmt: skip


def known_names(tables, config):
    """A pattern of names that hold digits and are not numbers: arms, models, columns, ids, panels."""
    names = set(config["arms"]) | set(config["models"])
    for entry in config["models"].values():
        names |= {str(v) for v in (entry.get("title"),) if v}
    names |= {str(config["study"][k]) for k in ("title", "question") if config["study"].get(k)}
    for table in tables.values():
        for column in table.columns.intersection(NAMED):
            names |= {str(v) for v in table[column].dropna().unique()[:3000]}
        names |= {str(c) for c in table.columns}
    for column in list(names):
        from hpaxis.labels import column_label

        names.add(column_label(column))
    names = sorted(
        (n for n in names if re.search(r"\d", n) and "%" not in n and not re.fullmatch(r"[\d.,]+", n)),
        key=len,
        reverse=True,
    )
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, names)) + r")(?!\w)") if names else re.compile(r"(?!x)x")


def facts(tables, config):
    """Counts, medians and shares that the page gives and no single row has, each by a formula over the tables."""
    found = {0.0}

    def add(*values):
        found.update(float(v) for v in values if v == v)

    for table in tables.values():
        add(len(table))
    flow = tables.get("cohort/attrition.tsv")
    if flow is not None:
        add(*(flow["n_before"] - flow["n_after"]))
        add(*flow[flow["step"] == "enrolled"].groupby("population")["n_after"].sum())
    inputs = tables.get("report/checksums.tsv")
    if inputs is not None and len(inputs):
        add(*inputs.groupby("role")["bytes"].sum(), *inputs.groupby("role").size())
    audit = tables.get("cohort/join_audit.tsv")
    if audit is not None:
        add(*audit.groupby("sheet").size(), *audit.groupby(["sheet", "status"]).size())
        reasons = audit[(audit["status"] == "left out") & audit["reason"].notna()]
        add(*reasons.groupby(["sheet", reasons["reason"].astype(str).str.split(":").str[0]]).size())
    analysis = tables.get("cohort/analysis.tsv")
    if analysis is not None:
        people = analysis.groupby(["role", "arm"])
        add(*people.size(), *analysis.groupby("role").size())
        for column in analysis.filter(regex="^saliva_.*").select_dtypes("number"):
            for _, group in people:
                add(*group[column].dropna().quantile([0.25, 0.5, 0.75]))
        if "cortisol_censored" in analysis:
            for _, group in people:
                beyond = group["cortisol_censored"].isin(["below", "above"])
                add(group["cortisol_pg_per_mg"].notna().sum() + beyond.sum())
                add(*(group["cortisol_censored"].eq(side).sum() for side in ("below", "above")))
                values = group["cortisol_pg_per_mg"].dropna()
                if len(values):
                    add(np.exp(np.log(values).mean()))
                limit = group["cortisol_limit_pg_per_mg"].where(group["cortisol_pg_per_mg"].isna()).dropna()
                both = np.concatenate([values, limit])
                if len(both):
                    add(*np.quantile(both, [0.25, 0.5, 0.75]))
    libraries = tables.get("methylation/libraries.tsv")
    if libraries is not None:
        study, good = libraries[libraries["kind"] == "study"], None
        for group in (libraries, study, libraries[libraries["kind"] != "study"]):
            add(len(group), *(group["verdict"].eq(v).sum() for v in ("pass", "warn", "fail")))
        good = study[study["verdict"] != "fail"]
        for column in ("median_depth",):
            add(good[column].median(), good[column].min(), good[column].max())
        conversion = 100 * (1 - good["non_conversion"].astype(float))
        add(conversion.median(), conversion.min(), conversion.max())
        add(*(100 * (1 - libraries["non_conversion"].astype(float))))
        for _, group in libraries.groupby("kind"):
            add(len(group), *(group["verdict"].eq(v).sum() for v in ("pass", "warn", "fail")))
            add(
                *(
                    group[c].median()
                    for c in ("pairs_in", "merged", "on_target", "passed", "median_depth")
                    if c in group
                )
            )
            add(100 * (1 - group["non_conversion"].astype(float).median()))
        flagged = study[study["verdict"].isin(["warn", "fail"])].reset_index(drop=True)
        kinds = flagged["reasons"].fillna("").astype(str).str.split("; ").explode()
        for word in {w for text in kinds for w in [text.split(",")[0].split(":")[0]] if w}:
            lead = re.split(r"\d|[~<>≥≤(]", word)[0].strip()
            for verdict in ("warn", "fail"):
                own = kinds[(flagged.loc[kinds.index, "verdict"] == verdict).to_numpy()]
                add(own[own.str.startswith(lead)].index.nunique())
                if lead.split(" ")[0]:  # of several kinds that begin alike
                    add(own[own.str.startswith(lead.split(" ")[0])].index.nunique())
    compared = tables.get("methylation/concordance.tsv")
    if compared is not None and "difference" in compared:
        seen = compared.dropna(subset=["difference"])
        add(
            len(seen),
            seen["discordant_calls"].sum(),
            seen["flag"].notna().sum(),
            (seen["compared"] < seen["passed"]).sum(),
        )
        add(*(100 * f for f in (seen["difference"].mean(), seen["difference"].std(ddof=1))))
    for name, column in (("cortisol/curves.tsv", "verdict"), ("cortisol/samples.tsv", "censored")):
        table = tables.get(name)
        if table is not None:
            add(
                len(table),
                *table[column].value_counts(),
                *(table[column].eq(v).sum() for v in ("pass", "warn", "fail")),
            )
    samples = tables.get("cortisol/samples.tsv")
    if samples is not None:
        add(samples["cortisol_pg_per_mg"].notna().sum(), samples["censored"].isin(["below", "above"]).sum())
    rerun = tables.get("cortisol/rerun.tsv")
    if rerun is not None and len(rerun):
        add(*rerun["role"].eq("control").value_counts())
    moderation = config["moderation"]
    add(moderation["draws"], 100 * (1 - moderation["alpha"]), moderation["minimum_per_arm"])
    methylation = config["methylation"]
    add(*(methylation[k] for k in methylation if isinstance(methylation[k], int | float)))
    add(*(100 * methylation[k] for k in methylation if isinstance(methylation[k], float)))
    cortisol = config.get("cortisol") or {}
    add(*(v for v in cortisol.values() if isinstance(v, int | float)), config["seed"])
    add(len(config["models"]), len(config["arms"]))
    for name in config["models"]:
        add(*model_facts(tables, f"moderation/{name}/"))
    return sorted(found)


def together(tables, config):
    """Tuples of numbers that the page gives together and that stand in several rows, each by a formula."""
    flow = tables.get("cohort/attrition.tsv")
    if flow is not None:
        for _, rows in flow[flow["step"] == "enrolled"].groupby("population", sort=False):
            yield (rows["n_after"].sum(), *rows["n_after"])
    libraries = tables.get("methylation/libraries.tsv")
    if libraries is not None:
        good = libraries[(libraries["kind"] == "study") & (libraries["verdict"] != "fail")]
        for values in (100 * (1 - good["non_conversion"].astype(float)), good["median_depth"].dropna()):
            yield (values.median(), values.min(), values.max())
        study = libraries[libraries["kind"] == "study"]
        for verdict in ("pass", "warn", "fail"):
            yield (study["verdict"].eq(verdict).sum(), len(study))
    samples = tables.get("cortisol/samples.tsv")
    if samples is not None:
        yield (samples["censored"].isin(["below", "above"]).sum(), len(samples))
    analysis = tables.get("cohort/analysis.tsv")
    for name, entry in config["models"].items():
        get = lambda table: tables.get(f"moderation/{name}/{table}.tsv", pd.DataFrame())  # noqa: B023, E731
        fit, region = get("fit"), get("region")
        if not len(fit):
            continue
        value = dict(zip(fit["statistic"], fit["value"], strict=True))
        counts = [v for s, v in value.items() if s.startswith("n[")]
        yield (value["n"], *counts)
        treated = get("sensitivity")
        for n in treated["n"].dropna().unique() if "n" in treated else ():
            yield (n, *counts)
        for rows in (region, get("sensitivity_region")):
            if len(rows):
                yield from rows[["n_significant", "n"]].itertuples(index=False)
        if analysis is not None:
            population = entry["population"]
            people = analysis if population == "all" else analysis[analysis["role"] == population]
            yield (value["n"], len(people))
        used = get("used")
        if len(used):
            yield (value["n"], len(used))
        for table, column in (("influence", "estimate_without"), ("multiverse", "estimate")):
            rows = get(table)
            for _, own in rows.groupby("term") if "term" in rows else [(None, rows)] if len(rows) else []:
                yield (own[column].min(), own[column].max())
        differences = get("slope_differences")
        yield from differences[["low", "high"]].itertuples(index=False) if len(differences) else ()
        for _, row in (treated if len(treated) else pd.DataFrame()).iterrows():
            yield (row["low"], row["high"])
            yield (row["estimate"], row["low"], row["high"])


def model_facts(tables, at):
    """Counts and ranges of one model."""
    get = lambda name: tables.get(f"{at}{name}.tsv", pd.DataFrame())  # noqa: E731
    used = get("used")
    if len(used):
        column = "used" if "used" in used else used.columns[-1]
        yield from used[column].value_counts()
        if "reason" in used:
            yield from used["reason"].value_counts()
            yield used["reason"].notna().sum()
    for table, column in (("influence", "estimate_without"), ("multiverse", "estimate")):
        values = get(table).get(column)
        if values is not None and len(values):
            yield from (values.min(), values.max(), values.median(), values.notna().sum())
            if "term" in get(table):
                for _, own in get(table).groupby("term"):
                    yield from (
                        own[column].min(),
                        own[column].max(),
                        own.get("sign_flips", pd.Series(dtype=float)).sum(),
                    )
    region, without = get("region"), get("region_without")
    if len(region) and len(without):
        usual = region[region["adjustment"] == "none"].set_index("contrast")["observed_kind"]
        yield (without["observed_kind"].to_numpy() != without["contrast"].map(usual).to_numpy()).sum()
    sensitivity = get("sensitivity")
    if len(sensitivity):
        shown = sensitivity[
            ~sensitivity["quantity"].fillna("").str.startswith("slope[") & sensitivity["estimate"].notna()
        ]
        for _, own in shown.groupby("quantity"):
            yield len(own)
            excludes = (own["low"] > 0) | (own["high"] < 0)
            main = own.iloc[0]
            yield (((own["estimate"] > 0) == (main["estimate"] > 0)) & (excludes == excludes.iloc[0])).sum()


def load(path):
    """The stored page."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def pages(folder, config):
    """Yield (smallest, stored page, `Trace`): the page of a finished run, made again for each smallest cell."""
    from hpaxis.report.build import page_blocks
    from hpaxis.report.describe import describe_study
    from hpaxis.report.read import read_run
    from hpaxis.report.stored import dump_page

    results = Path(folder) / "results"
    sheet = config["sheets"]["libraries"]

    def there(name):
        return str(results / name) if (results / name).is_file() else []

    def below(pattern):
        return [str(p) for p in sorted(results.glob(pattern))]

    files = {
        "sheet": sheet and str(Path(folder) / sheet),
        **{name: there(f"methylation/{name}.tsv") for name in ("libraries", "instrument", "concordance")},
        **{name: there(f"report/cpg_{name}.tsv") for name in ("levels", "effects")},
        **{name: there(f"cohort/{name}.tsv") for name in ("analysis", "attrition")},
        "audit": there("cohort/join_audit.tsv"),
        "checksums": there("report/checksums.tsv"),
        "truth": there("simulation/truth/coefficients.tsv"),
        "cortisol": below("cortisol/*.tsv"),
        "models": below("moderation/*/*.tsv"),
        "programme": below("programme/*.tsv"),
        "figures": below("report/figures/**/*.svg"),
    }
    run = read_run(files, config)
    trace = None
    for smallest in (0, 5):
        asked = config | {"report": config.report | {"smallest_cell": smallest}}
        run = replace(run, config=asked)
        if trace is None:
            described = describe_study(asked, run.attrition, run.analysis, run.results)
            more = {f"report/tables/{name}.tsv": table.reset_index(drop=True) for name, table in described.items()}
            trace = Trace(results, asked, more)
        arguments, more = page_blocks(run)
        yield smallest, json.loads(dump_page(*arguments, **more)), trace


def small_counts(page, smallest):
    """Counts of people from 1 to ``smallest - 1`` in sentences and tables of people, where they must be a range."""
    said = re.compile(r"(?<![\w.,–-])(?<!1 to )(\d+)(?: of (\d+))? (?:people|children|parents|participants|persons)\b")
    found = []
    every = [*page["answer"], *page["notices"], *(b for s in page["sections"] for b in s["blocks"])]
    for block in blocks_of(every):
        texts = [block.get(k) for k in ("text", "note", "alt") if block.get(k)] + list(block.get("items", ()))
        for text in map(plain, texts):
            # The numbers enrolled and analysed are always shown, as CONSORT asks.
            for match in said.finditer(re.sub(r"\d+ of \d+ \w+ are complete cases", "", text)):
                n, total = int(match[1]), int(match[2] or 0)
                if 0 < n < smallest or (total and 0 < total - n < smallest):
                    found.append(text[max(0, match.start() - 40) : match.end() + 40])
    return found
