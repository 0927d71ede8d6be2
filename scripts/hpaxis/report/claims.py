"""What a bundle claims, compared with what its own tables say: numbers, pages, figures, settings, completeness.

Nothing here runs the workflow. Each function returns (how much was compared, lines of what differs).
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from hpaxis.moderation.apa import reported
from hpaxis.moderation.lock import plan_hash
from hpaxis.moderation.robustness import robustness_table
from hpaxis.moderation.verdict import NOTHING, Interval, interval, judge
from hpaxis.report.answer import answer, lines_table, raw_paragraph
from hpaxis.report.blocks import Section, every_block, numbered
from hpaxis.report.models import difference_sentence, in_order
from hpaxis.report.moderation import (
    coefficient_table,
    fit_table,
    forest_data,
    overview_table,
    predictor_section,
    region_sentence,
    region_table,
    slope_table,
)
from hpaxis.report.numbers import MISSING
from hpaxis.report.privacy import PEOPLE_CHECKS, PEOPLE_COUNTS, Cells, few_beside, without_counts
from hpaxis.report.provenance import settings_digest
from hpaxis.report.read import NAMES, read_results
from hpaxis.report.scrutiny import (
    power_sentence,
    power_table,
    reliability_sentence,
    resampling_table,
    sensitivity_table,
    versions_sentence,
)
from hpaxis.report.stored import drawn, load_page
from hpaxis.shipped import SCHEMAS
from hpaxis.tables import read_table

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from hpaxis.report.blocks import Block
    from hpaxis.report.models import ModelResult

CRATE = "report/crate/ro-crate-metadata.json"
PAGES = ("report", "methylation_quality")
# Tables of a model that must be in every bundle, since they name nobody: without one, a claim has no numbers.
NEEDED = ("coefficients", "slopes", "slope_differences", "region", "fit", "resampling", "sensitivity", "plan",
          "predictor_by_arm", "power", "detectable", "warnings", "multiverse", "multiverse_joint", "lines", "effects",
          "reliability", "refused", "verdict", "robustness")  # fmt: skip

# Tables of the page with rows of every model.
OF_ALL_MODELS = ("The interaction (b₃) in every model", "Predictor by arm, in every model")


def read_claims(folder: Path) -> tuple[dict[str, Any], tuple[ModelResult, ...], tuple[ModelResult, ...]]:
    """Return (config, results, whole) of an unpacked bundle: the models' tables, and those with all their counts."""
    from hpaxis.report.bundle import withheld_tables

    folder = Path(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    below = folder / "tables" / "moderation"
    paths = [path for name in config["models"] for path in sorted((below / name).glob("*.tsv"))]
    withheld = withheld_tables(folder)
    # What the page says of notes is the same with and without the number that they begin with.
    short = {name for name in withheld if set(PEOPLE_COUNTS) & (_columns(name) or set(PEOPLE_COUNTS))}
    whole = [path for path in paths if path.relative_to(folder / "tables").as_posix() not in short]
    every, counted = (tuple(read_results(found, config["models"])) for found in (paths, whole))
    for result in counted:
        if f"moderation/{result.name}/robustness.tsv" in withheld and "robustness" in result.tables:
            table = result.tables["robustness"]
            result.tables["robustness"] = table[~table["check"].isin(PEOPLE_CHECKS)]
    return config, every, counted


def missing_files(folder: Path) -> tuple[int, list[str]]:
    """The crate’s outputs, and the tables that every model has, that should be in the bundle and are not.

    A table that the bundle calls withheld may be missing only where few people can follow from it
    (`withheld_faults` says where not).
    """
    folder, expected = Path(folder), {}
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    for name in config["models"]:
        for table in NEEDED:
            expected[f"tables/moderation/{name}/{table}.tsv"] = "every model has it"
    for name, _ in crate_outputs(folder):
        path = name if name.startswith("report/") else f"tables/{name}"
        if name.endswith((".tsv", ".svg", ".html", ".json")) and not _personal(name):
            expected[path] = "the crate lists it"
    for page in ("report/report.html", "report/report.json", CRATE):
        expected[page] = "every bundle has it"
    excused = _excused(folder, config)
    faults = [f"missing: {path} ({why})" for path, why in expected.items()
              if not (folder / path).is_file() and path.removeprefix("tables/") not in excused]  # fmt: skip
    return len(expected), faults


def _excused(folder: Path, config: Mapping[str, Any]) -> set[str]:
    """Names that a bundle may leave out as withheld: of a model all tables or none, and all if the page hides its n.

    Others may be where their schema has a column that counts people. Nothing is withheld where every count is shown.
    """
    from hpaxis.report.bundle import COMPLEMENTS, LEFT_OUT, STATED, withheld_tables

    if Cells(config["report"]["smallest_cell"]).all_shown:
        return set()
    left = {name for name, what in withheld_tables(folder).items() if what == LEFT_OUT}
    whole = set()
    for model in config["models"]:
        own = {f"moderation/{model}/{table}.tsv" for table in set(NEEDED) - STATED}
        if own <= left and _hides_n(folder, model):
            whole.add(model)
    excused = set()
    for name in left:
        parts = Path(name).parts
        of_figure = parts[:3] == ("report", "figures", "models")
        of = parts[1] if parts[0] == "moderation" else parts[3] if of_figure else None
        if of in whole or Path(name).name in COMPLEMENTS or (of is None and _counts_people(name)):
            excused.add(name)
    return excused


def _hides_n(folder: Path, model: str) -> bool:
    """Whether the page’s overview of the models has no ΔR² of a model, as where the n of complete cases is hidden."""
    stored = Path(folder) / "report/report.json"
    page = load_page(stored.read_text(encoding="utf-8"), lambda file: "")
    rows = [row for block in every_block([Section("answer", "", tuple(page["answer"])), *page["sections"]])
            if block.kind == "table" and block.title == OF_ALL_MODELS[0] for row in block.rows]  # fmt: skip
    own = [row for row in rows if re.split(r" \(primary\)|: ", str(row[0]))[0] == model]
    return bool(own) and all(row[-1] == MISSING for row in own)


def _counts_people(name: str) -> bool:
    """Whether a table has, by its schema, a column that counts people, or a check or note that may."""
    return bool({*PEOPLE_COUNTS, "check", "note", "what"} & (_columns(name) or set()))


def _columns(name: str) -> set[str] | None:
    """The columns of a table by its schema; None without one."""
    parts = Path(name).parts
    path = SCHEMAS / f"{parts[0]}_{Path(name).stem}.schema.yaml"
    return set(yaml.safe_load(path.read_text(encoding="utf-8")).get("properties", {})) if path.is_file() else None


def withheld_faults(folder: Path, config: Mapping[str, Any]) -> tuple[int, list[str]]:
    """What a bundle calls withheld: nothing where every count is shown, only what may be, and what really is."""
    from hpaxis.report.bundle import LEFT_OUT, WITHOUT_COUNTS, withheld_tables

    folder, faults = Path(folder), []
    cells = Cells(config["report"]["smallest_cell"])
    withheld = withheld_tables(folder)
    excused = _excused(folder, config)
    for name, what in withheld.items():
        path = folder / (name if name.startswith("report/") else f"tables/{name}")
        if cells.all_shown:
            faults.append(f"withheld.tsv: {name}, but smallest_cell is {cells.smallest}")
        elif what == WITHOUT_COUNTS:
            if not path.is_file():
                faults.append(f"missing: {name} (withheld.tsv says that it is there, without counts)")
            elif not _counts_people(name):
                faults.append(f"withheld.tsv: {name} has no counts of people to withhold")
            else:
                table = read_table(path, text=NAMES)
                if not table.equals(without_counts(table, cells)):
                    faults.append(f"{name}: has counts that withheld.tsv says it is without")
        elif what != LEFT_OUT or path.is_file() or name not in excused:
            faults.append(f"withheld.tsv: {name} need not be withheld")
    return len(withheld), faults


def crate_outputs(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, checksum) of each output in the crate."""
    crate = json.loads((Path(folder) / CRATE).read_text(encoding="utf-8"))
    for entity in crate["@graph"]:
        if str(entity.get("@id", "")).startswith("#output-"):
            yield entity["name"], str(entity["value"]).removeprefix("sha256:")


def unlisted_files(folder: Path) -> tuple[int, list[str]]:
    """Tables and figures of the bundle that its crate does not list."""
    folder = Path(folder)
    known = {name for name, _ in crate_outputs(folder)}
    found = [p.relative_to(folder / "tables").as_posix() for p in sorted((folder / "tables").rglob("*.tsv"))]
    found += [p.relative_to(folder).as_posix() for p in sorted((folder / "report" / "figures").rglob("*.svg"))]
    return len(found), [f"not in the crate: {name}" for name in found if name not in known]


def _personal(name: str) -> bool:
    """Whether a table names people by its schema: it is not shared, and not missed."""
    from hpaxis.report.bundle import PERSONAL, SMALL_CELLS

    if name in SMALL_CELLS:
        return True
    columns = _columns(name)
    if columns is None:
        return not name.endswith((".svg", ".html", ".json"))  # without a schema it is not known to be shareable
    return bool(PERSONAL & columns)


def settings_faults(folder: Path, config: Mapping[str, Any], results: Sequence[ModelResult]) -> tuple[int, list[str]]:
    """The config against the crate’s digest, each model’s plan, and the tables’ own covariance, n and scale."""
    compared, faults = 0, []
    crate = json.loads((Path(folder) / CRATE).read_text(encoding="utf-8"))
    told = {e.get("name"): str(e.get("value", "")) for e in crate["@graph"] if str(e["@id"]).startswith("#input-")}
    if "settings" in told:
        compared += 1
        if told["settings"] != f"sha256:{settings_digest(config)}":
            faults.append("config.yaml: its settings are not those that the crate states")
    for result in results:
        where = f"config.yaml, model {result.name}"
        plan = result.tables.get("plan")
        if plan is not None and len(plan):
            compared += 1
            if plan["hash"].iloc[0] != plan_hash(result.entry, config["moderation"], config["arms"]):
                faults.append(f"{where}: not the model that plan.tsv states")
            if f"plan-{result.name}" in told and told[f"plan-{result.name}"] != f"sha256:{plan['hash'].iloc[0]}":
                faults.append(f"plan.tsv of {result.name}: not the plan that the crate states")
        if result.refused or "slopes" not in result.tables:
            continue
        compared += 2
        if result.covariance != result.entry["covariance"]:
            faults.append(f"{where}: covariance {result.entry['covariance']}, but its tables have {result.covariance}")
        own = result.tables["coefficients"]
        if not (own["covariance"] == result.entry["covariance"]).any():
            faults.append(f"{where}: no coefficients under {result.entry['covariance']}")
        region = result.tables.get("region")
        if region is not None and abs(float(region["alpha"].iloc[0]) - config["moderation"]["alpha"]) > 1e-12:
            faults.append(f"{where}: alpha is {config['moderation']['alpha']}, but region.tsv has another")
    return compared, faults


def cross_faults(results: Sequence[ModelResult]) -> tuple[int, list[str]]:
    """A model’s tables against each other; the same number stands in several of them.

    b3 in coefficients, slope differences, treatments, resampling, versions and family; its variance in the curve of
    the effect’s standard error (a parabola whose leading coefficient it is); t² in the Wald F; n in fit, slopes,
    region and power; the ends of the region where |effect| = t × SE.
    """
    compared, faults = 0, []

    def same(what: str, one: ArrayLike, other: ArrayLike, rtol: float = 1e-6, atol: float = 1e-8) -> None:
        nonlocal compared
        one, other = np.atleast_1d(np.asarray(one, float)), np.atleast_1d(np.asarray(other, float))
        compared += len(one)
        if one.shape != other.shape or not np.allclose(one, other, rtol=rtol, atol=atol, equal_nan=True):
            faults.append(f"tables contradict each other: {what}")

    columns = ["estimate", "se", "df", "p", "low", "high"]
    for result in results:
        if result.refused or any(name not in result.tables for name in ("coefficients", "slopes", "slope_differences")):
            continue
        t, name = result.tables, result.name
        own = result.own_coefficients()
        product = own[own["term"].str.contains(f"{result.entry['predictor']}:", regex=False)
                      | own["term"].str.contains(f":{result.entry['predictor']}", regex=False)]  # fmt: skip
        differences = t["slope_differences"]
        if len(product) and len(differences):
            first = differences.iloc[: len(product)]
            same(f"{name}, interaction in coefficients and slope differences",
                 product[columns].to_numpy().ravel(), first[columns].to_numpy().ravel())  # fmt: skip
            if len(product) == 1 and "fit" in t:
                same(f"{name}, F of the interaction and t²", result.fit("wald_interaction"), first["t"].iloc[0] ** 2)
                same(f"{name}, p of the interaction’s F and t", result.fit("wald_interaction", "p"), first["p"].iloc[0])
        if result.counts:
            place = {str(m): e for m, e in zip(t["slopes"]["moderator"], t["slopes"]["estimate"], strict=True)}
            pairs = [(a, b, r) for r in differences.to_dict("records") for a in place for b in place
                     if f"{a} - {b}" == r["contrast"]]  # fmt: skip
            same(f"{name}, slopes and their differences", [place[a] - place[b] for a, b, _ in pairs],
                 [r["estimate"] for *_, r in pairs])  # fmt: skip
            same(f"{name}, n by arm", t["slopes"]["n"], list(result.counts.values()))
            same(f"{name}, n in all", sum(result.counts.values()), result.fit("n"))
        _curves(result, same)
        _copies(result, same, columns)
        if not set(NEEDED) <= t.keys():  # some are withheld, and these sum up several
            continue
        _strip(result, same)
        judged = _verdicts(result, same)
        compared += len(judged)
        faults += [
            f"{name}, verdict on {row}: does not follow from its intervals" for row, right in judged if not right
        ]
    return compared, faults


def _curves(result: ModelResult, same: Callable[..., None]) -> None:
    """The effect’s curve and the ends of the region from it."""
    effects, region, name = result.tables.get("effects"), result.tables.get("region"), result.name
    if effects is None:
        return
    alpha = 0.05 if region is None else float(region["alpha"].iloc[0])
    arms = bool(result.counts)
    for contrast, rows in effects.groupby("contrast", sort=False):
        rows = rows.dropna(subset=["value", "estimate", "se"])
        if len(rows) < 5 or np.ptp(rows["value"]) == 0:
            continue
        line = np.polyfit(rows["value"], rows["estimate"], 1)
        curve = np.polyfit(rows["value"], rows["se"] ** 2, 2)
        found = result.tables["slope_differences"]
        own = found[found["contrast"] == contrast] if arms else found.iloc[:1]
        if len(own):
            same(f"{name}, slope of the effect’s line ({contrast})", line[0], own["estimate"].iloc[0], 1e-5, 1e-7)
            same(f"{name}, variance of the interaction in the effect’s band ({contrast})", curve[0],
                 own["se"].iloc[0] ** 2, 1e-4, 1e-7)  # fmt: skip
        half = stats.t.ppf(1 - alpha / 2, rows["df"])
        same(f"{name}, band of the effect ({contrast})", rows["high"] - rows["estimate"], half * rows["se"], 1e-5)
        if region is None:
            continue
        for row in region[(region["contrast"] == contrast) & region["low"].notna()].to_dict("records"):
            for end in ("low", "high"):
                if np.isfinite(row[end]) and np.isfinite(row["critical_t"]):
                    size = np.polyval(line, row[end]) ** 2
                    same(f"{name}, {end} end of the region ({contrast}, {row['adjustment']})", size,
                         row["critical_t"] ** 2 * np.polyval(curve, row[end]), 1e-3, 1e-6)  # fmt: skip


def _copies(result: ModelResult, same: Callable[..., None], columns: list[str]) -> None:
    """Numbers of the interaction and slopes that stand again in other tables."""
    t, name = result.tables, result.name
    complete = t["sensitivity"][t["sensitivity"]["method"] == "complete cases"] if "sensitivity" in t else None
    if complete is not None and len(complete):
        slopes = complete[complete["quantity"].fillna("").str.startswith("slope[")]
        if result.counts and len(slopes) == len(t["slopes"]):
            same(f"{name}, slopes among the treatments", slopes[columns].to_numpy().ravel(),
                 t["slopes"][columns].to_numpy().ravel())  # fmt: skip
        terms = complete[~complete["quantity"].fillna("").str.startswith("slope[")]
        first = t["slope_differences"].iloc[: len(terms)]
        same(f"{name}, interaction among the treatments", terms[columns].to_numpy().ravel(),
             first[columns].to_numpy().ravel())  # fmt: skip
    family = t.get("family")
    if family is not None and len(family):
        own = family[family["predictor"] == result.entry["predictor"]]
        if len(own) == 1:
            same(f"{name}, interaction in its family", own[["estimate", "se"]].to_numpy().ravel(),
                 t["slope_differences"][["estimate", "se"]].iloc[:1].to_numpy().ravel())  # fmt: skip
    if "power" in t and len(t["power"]):
        same(f"{name}, n of the power", t["power"]["n"].iloc[0], result.fit("n"))


def _strip(result: ModelResult, same: Callable[..., None]) -> None:
    """What stands beside the answer, made again from the tables that it sums up; deletions need rows of people."""
    told = result.tables.get("robustness", pd.DataFrame())
    if told.empty or "region" not in result.tables:
        return
    numbers = ["value", "count", "total", "p"]
    region = result.tables["region"]
    hidden = region["n_significant"].isna().any() or told.loc[told["check"] == "region", "count"].isna().any()
    tables = {**result.tables, "region": region.fillna({"n_significant": 0})}
    again = robustness_table(tables, float(region["alpha"].iloc[0]))
    key, left = ["contrast", "check"], PEOPLE_CHECKS if hidden else PEOPLE_CHECKS[:1]
    told, again = (t[~t["check"].isin(left)].set_index(key)[numbers].astype(float) for t in (told, again))
    shared = told.index.union(again.index)
    same(f"{result.name}, robustness and the tables it sums up", told.reindex(shared), again.reindex(shared))


def _verdicts(result: ModelResult, same: Callable[..., None]) -> list[tuple[str, bool]]:
    """Each verdict against its own intervals, and these against the fit that is reported: (contrast, whether) pairs.

    The interval of the sum of two slopes is in no table: a verdict is right that follows with any side of it.
    """
    table = result.tables.get("verdict", pd.DataFrame())
    found = []
    _, slopes, differences = reported(result.tables)
    slopes, differences = slopes.set_index("moderator"), differences.set_index("contrast")
    for row in table.to_dict("records"):
        own = {"difference": (differences, row["contrast"])}
        if result.counts:
            own |= {part: (slopes, row[part]) for part in ("arm", "reference")}
        parts = {}
        for part, (rows, name) in own.items():
            told = [
                row["difference" if part == "difference" else f"{part}_slope"],
                row[f"{part}_low"],
                row[f"{part}_high"],
            ]
            parts[part] = Interval(told[0], told[1], told[2], row[f"tost_{part}_p"])
            if name not in rows.index:  # treatments of the data have no row for two arms that both get a treatment
                continue
            r, margin = rows.loc[name], row["margin"]
            margin = None if margin is None or margin != margin else float(margin)
            again = interval(r["estimate"], r["se"], r["df"], 1 - row["level"], margin)
            same(f"{result.name}, the {part} in the verdict ({row['contrast']})", [*told, row[f"tost_{part}_p"]],
                 [again.estimate, again.low, again.high, again.tost])  # fmt: skip
        if result.counts:
            sums = [{**parts, "sum": Interval(0.0, side, side, np.nan)} for side in (-1, 0, 1)]
            right = row["verdict"] in {judge(possible, 1 - row["level"]) for possible in sums}
        else:
            right = (row["verdict"] != NOTHING) == bool(parts["difference"].side)
        found.append((row["contrast"], right))
    return found


def page_faults(folder: Path) -> tuple[int, list[str]]:
    """The pages drawn again from their stored blocks."""
    folder, compared, faults = Path(folder), 0, []
    for name in PAGES:
        page, stored = folder / f"report/{name}.html", folder / f"report/{name}.json"
        if not stored.is_file():
            continue
        compared += 1
        try:
            again = drawn(load_page(stored.read_text(encoding="utf-8"), lambda file: _svg(folder, file)))
        except (ValueError, KeyError, TypeError, OSError) as error:
            faults.append(f"report/{name}.json: cannot be drawn ({type(error).__name__})")
            continue
        if not page.is_file() or again != page.read_text(encoding="utf-8"):
            faults.append(f"report/{name}.html: not the page that its blocks and figures give")
    return compared, faults


def _svg(folder: Path, file: str) -> str:
    return (folder / file).read_text(encoding="utf-8")


def claim_faults(folder: Path, config: Mapping[str, Any], results: Sequence[ModelResult]) -> tuple[int, list[str]]:
    """What the page says of the models, against what it would say from the bundle’s tables.

    Sentences of the answer and of each model, the lines, coefficients, slopes, regions, fits, treatments, resampling
    and power. What rests on rows of people (participants, libraries, influence) cannot be made from a shared bundle.
    """
    stored = Path(folder) / "report/report.json"
    if not stored.is_file():
        return 0, []
    try:
        page = load_page(stored.read_text(encoding="utf-8"), lambda file: "")
    except (ValueError, KeyError, TypeError):
        return 0, []
    # Blocks as they are shown on both sides: a column without a value is not.
    told = list(every_block(numbered([Section("answer", "", tuple(page["answer"])), *page["sections"]])))
    tables = {(b.title, tuple(b.columns), tuple(map(tuple, b.rows)), b.note) for b in told if b.kind == "table"}
    rows = {b.title: {tuple(row) for row in b.rows} for b in told if b.kind == "table"}
    titles = {b.title for b in told if b.kind == "table"}
    texts = " ".join(str(b.text) for b in told if b.kind in ("paragraph", "notice"))
    compared, faults = 0, []
    strip = {(c.name, c.verdict, str(c.said)) for b in told if b.kind == "strip" for c in b.checks}
    lines = {tuple(row[: 2 + ("Raw" in " ".join(b.columns))]) for b in told if b.kind == "table" and b.key == "lines"
             for row in b.rows}  # fmt: skip
    fitted = [r for r in in_order(results) if not r.refused and "slopes" in r.tables]
    # Where tables of a model are withheld, the page's tables of all models hold more rows than can be made again.
    some = len(fitted) < sum(not r.refused for r in results)
    for block in _expected(config, fitted):
        compared += 1
        if block.kind == "strip":
            compared += len(block.checks) - 1
            other = [c.name for c in block.checks if (c.name, c.verdict, str(c.said)) not in strip]
            faults += [f"report.html: the check “{name}” says something else" for name in other]
        elif block.kind == "table" and block.key == "lines":
            # A simulation's true values, which stand in the last column, are in no bundle.
            if not set(block.rows) <= lines:
                faults.append(f"report.html: the table “{block.title}” has other numbers or words")
        elif block.kind == "table" and some and block.title in OF_ALL_MODELS:
            if not {tuple(row) for row in block.rows} <= rows.get(block.title, set()):
                faults.append(f"report.html: the table “{block.title}” has other numbers or words")
        elif block.kind == "table":
            shown = numbered([Section("", "", (block,))])[0].blocks[0]
            key = (shown.title, tuple(shown.columns), tuple(map(tuple, shown.rows)), shown.note)
            if key not in tables:
                what = "has other numbers or words" if block.title in titles else "is not there"
                faults.append(f"report.html: the table “{block.title}” {what}")
        elif str(block.text) not in texts:
            faults.append(f"report.html: does not say “{str(block.text)[:80]}…”")
    return compared, faults


def _expected(config: Mapping[str, Any], fitted: Sequence[ModelResult]) -> Iterator[Block | _Said]:
    """Blocks that the models’ tables give without a row of a person; what rests on a withheld table is left out."""
    cells = Cells(config["report"]["smallest_cell"])
    if not fitted:
        return
    whole = all(set(NEEDED) <= r.tables.keys() for r in fitted)

    def made(make: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns; None where it asks for a table that is withheld."""
        try:
            return make(*arguments)
        except KeyError:
            if whole:
                raise
            return None

    primary, after = fitted[0], config["moderation"]["predictor_after_randomisation"]
    first = made(answer, fitted, after, cells)
    if first is None:
        rows = [row for _, row in primary.differences.iterrows()]
        first = (made(raw_paragraph, primary, rows), made(lines_table, primary, None))
    yield from (b for b in first if b is not None and b.kind in ("paragraph", "notice", "table", "strip"))
    yield from (t for t in (made(overview_table, fitted, cells),) if t)
    section = made(predictor_section, fitted, cells)
    yield from (b for b in (section.blocks if section else ()) if b.kind == "table")
    for result in fitted:
        hidden = made(result.hides_complete, cells)
        if hidden is None:
            continue
        for row in (r for _, r in result.differences.iterrows()):
            yield _Said(difference_sentence(result, row))
        said = [made(lambda r=result: region_sentence(r, r.region, cells)), made(versions_sentence, result),
                made(power_sentence, result), made(reliability_sentence, result)]  # fmt: skip
        yield from (_Said(text) for text in said if text)
        shown = [] if hidden else [made(coefficient_table, result), made(fit_table, result)]
        shown += [made(slope_table, result), made(region_table, result, cells), made(sensitivity_table, result, cells)]
        shown += [made(resampling_table, result), made(power_table, result) if result is primary else None]
        yield from (table for table in shown if table is not None)


class _Said:
    kind = "paragraph"

    def __init__(self, text: str) -> None:
        self.text = text


def figure_faults(folder: Path, results: Sequence[ModelResult], software: bool = True) -> tuple[int, list[str]]:
    """Figures of the models drawn again from the tables that name nobody; (0, []) where other versions would draw."""
    from hpaxis.figures import svg_text
    from hpaxis.moderation.figures import line_labels, plot_forest, plot_model

    folder, compared, faults = Path(folder), 0, []
    if not software:
        return 0, []
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    cells = Cells(config["report"]["smallest_cell"])
    fitted = [r for r in in_order(results) if not r.refused and set(NEEDED) <= r.tables.keys()]
    drawn_again = {}
    for result in fitted:
        # Slopes, effects and influence show people, whose rows are not in every bundle.
        whole = {"points", "influence"} <= result.tables.keys()
        kept = ("versions", "power", *(("slopes", "effects", "influence") if whole else ()))
        figures = plot_model(result.tables, result.entry, kept, not few_beside(result.tables, cells))
        drawn_again |= {f"report/figures/models/{result.name}/{name}.svg": svg_text(figures[name]) for name in kept}
    if fitted and len(fitted) == sum(not r.refused for r in results):
        forest = plot_forest(forest_data(fitted), {r.name: r.title for r in fitted})
        drawn_again["report/figures/moderation/forest.svg"] = svg_text(forest)
    for name, text in drawn_again.items():
        path = folder / name
        if path.is_file():
            compared += 1
            if path.read_text(encoding="utf-8") != text:
                faults.append(f"{name}: not the figure that its tables give")
    for result in fitted:
        # People's points are in no shared bundle; the names, n and slopes beside the lines are.
        path = folder / f"report/figures/models/{result.name}/slopes.svg"
        if path.is_file() and path.relative_to(folder).as_posix() not in drawn_again:
            compared += 1
            drawing = html.unescape(re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8")))
            drawing = re.sub(r"\s+", " ", drawing)
            other = [label for label in line_labels(result.tables, result.entry) if label not in drawing]
            faults += [f"{path.relative_to(folder).as_posix()}: does not say “{label}”" for label in other]
    return compared, faults


def same_software(folder: Path, software: Sequence[tuple[str, str]]) -> bool:
    """Whether a bundle was made with these versions of hpaxis and of what draws."""
    crate = json.loads((Path(folder) / CRATE).read_text(encoding="utf-8"))
    told = {e.get("name"): e.get("softwareVersion") for e in crate["@graph"] if e.get("@type") == "SoftwareApplication"}
    here = dict(software)
    return all(told.get(name) == here.get(name) for name in ("hpaxis", "matplotlib", "numpy", "pandas") if name in told)
