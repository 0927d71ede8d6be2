"""A bundle whose checksums were made to agree after a change is told all the same."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from hpaxis.figures import save
from hpaxis.moderation.figures import plot_forest, plot_model
from hpaxis.report.build import page_blocks
from hpaxis.report.bundle import COMPLEMENTS, LEFT_OUT, WITHOUT_COUNTS, few_people, is_shareable, withheld_tables
from hpaxis.report.claims import CRATE, crate_outputs
from hpaxis.report.crate import run_crate
from hpaxis.report.moderation import forest_data
from hpaxis.report.page import render
from hpaxis.report.privacy import PEOPLE_CHECKS, Cells, without_counts
from hpaxis.report.provenance import checksum_table, sha256, versions
from hpaxis.report.stored import drawn, dump_page, load_page
from hpaxis.report.verify import check_folder
from hpaxis.tables import read_table, write_table

MODEL = "main"


def bundle(folder, run, checksums, smallest=0, participants=False):
    """A bundle's folder as `hpaxis bundle` unpacks to, of the small study."""
    said = run.config.study | {"licence": "CC-BY-4.0", "published": "2026-01-01"}
    config = run.config | {"report": run.config.report | {"smallest_cell": smallest}, "study": said}
    withheld, written, figures = [], [], {}
    for result in run.results:
        figures[result.name] = {}
        for name, table in result.tables.items():
            path = folder / "tables/moderation" / result.name / f"{name}.tsv"
            write_table(table, path)
            written.append(path)
            if not participants and not is_shareable(path):
                path.unlink()
            elif not participants and few_people(path, smallest):
                withheld.append(path.relative_to(folder / "tables").as_posix())
        tables = {n: read_as(t, folder) for n, t in result.tables.items()}
        for name, figure in plot_model(tables, result.entry).items():
            save(figure, folder / f"report/figures/models/{result.name}/{name}.svg")
            figures[result.name][name] = (folder / f"report/figures/models/{result.name}/{name}.svg").read_text()
    import dataclasses

    results = tuple(
        dataclasses.replace(r, figures=figures[r.name], tables={n: read_as(t, folder) for n, t in r.tables.items()})
        for r in run.results
    )
    forest = folder / "report/figures/moderation/forest.svg"
    ordered = sorted(results, key=lambda r: not r.entry["primary"])
    save(plot_forest(forest_data(ordered), {r.name: r.title for r in ordered}), forest)
    drawn = run.figures | {"moderation": {"forest": forest.read_text()}}
    for stage in ("cohort", "methylation"):
        for name, text in run.figures[stage].items():
            (folder / f"report/figures/{stage}").mkdir(parents=True, exist_ok=True)
            (folder / f"report/figures/{stage}/{name}.svg").write_text(text)
    run = dataclasses.replace(run, config=config, results=results, figures=drawn)
    arguments, more = page_blocks(run)
    (folder / "report/report.html").write_text(render(*arguments, **more))
    (folder / "report/report.json").write_text(dump_page(*arguments, **more))
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    outputs = checksum_table(("models", p) for p in written if p.exists())
    outputs = pd.concat([outputs, checksum_table(("report", p) for p in sorted((folder / "report").rglob("*.*")))])
    outputs["file"] = [f.replace(f"{folder}/tables/", "").replace(f"{folder}/", "") for f in outputs["file"]]
    plans = pd.concat([r.tables["plan"] for r in results])
    crate = folder / CRATE
    crate.parent.mkdir(parents=True)
    crate.write_text(run_crate(config, checksums, outputs, plans, versions(), "c" * 64, None))
    whole = {name: read_table(folder / "tables" / name) for name in withheld}
    for name in withheld:
        (folder / "tables" / name).unlink()
        if Path(name).name not in COMPLEMENTS:
            write_table(without_counts(whole[name], Cells(smallest)), folder / "tables" / name)
    call_withheld(folder, {n: LEFT_OUT if Path(n).name in COMPLEMENTS else WITHOUT_COUNTS for n in withheld})
    return folder


def call_withheld(folder, names):
    """Say of these tables, beside others, what was done: name to `LEFT_OUT` or `WITHOUT_COUNTS`."""
    rows = {**withheld_tables(folder), **names}
    write_table(pd.DataFrame(sorted(rows.items()), columns=["table", "what"]), folder / "withheld.tsv")


def read_as(table, folder):
    """The table as it is read back from a file."""
    write_table(table, folder / "scratch.tsv")
    back = read_table(folder / "scratch.tsv", text=("moderator", "contrast", "comparison", "reference"))
    (folder / "scratch.tsv").unlink()
    return back


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return {"folder": tmp_path_factory.mktemp("bundles")}


@pytest.fixture
def honest(run, checksums, cache):
    if "shared" not in cache:
        cache["shared"] = bundle(cache["folder"] / "shared", run, checksums)
    return cache["shared"]


def table_path(folder, name, model=MODEL):
    return folder / f"tables/moderation/{model}/{name}.tsv"


def change(folder, name, edit, model=MODEL):
    path = table_path(folder, name, model)
    table = read_table(path, text=("moderator", "contrast", "comparison", "reference"))
    edit(table)
    write_table(table, path)


def agree(folder):
    """Make the crate's checksums agree with what is there now."""
    path = folder / CRATE
    crate = json.loads(path.read_text())
    for entity in crate["@graph"]:
        if entity["@id"].startswith("#output-"):
            name = entity["name"]
            file = folder / (name if name.startswith("report/") else f"tables/{name}")
            if file.is_file():
                entity["value"] = f"sha256:{sha256(file)}"
    path.write_text(json.dumps(crate))


def halve(table, rows=slice(None)):
    """Halve the standard errors, with t, p and interval as they follow."""
    from scipy import stats

    at = table.index[rows]
    table.loc[at, "se"] /= 2
    table.loc[at, "t"] = table.loc[at, "estimate"] / table.loc[at, "se"]
    table.loc[at, "p"] = 2 * stats.t.sf(table.loc[at, "t"].abs(), table.loc[at, "df"])
    reach = stats.t.ppf(0.975, table.loc[at, "df"]) * table.loc[at, "se"]
    table.loc[at, "low"], table.loc[at, "high"] = table.loc[at, "estimate"] - reach, table.loc[at, "estimate"] + reach


def edited(folder, name, pattern, new):
    path = folder / name
    text = path.read_text()
    changed, n = re.subn(pattern, new, text, count=1)
    assert n == 1 and changed != text, (name, pattern)
    path.write_text(changed)


def in_config(folder, edit):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    edit(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def drop_from_crate(folder, name):
    path = folder / CRATE
    crate = json.loads(path.read_text())
    crate["@graph"] = [e for e in crate["@graph"] if e.get("name") != name]
    path.write_text(json.dumps(crate))


def warnings_out(folder):
    table_path(folder, "warnings").unlink()
    drop_from_crate(folder, f"moderation/{MODEL}/warnings.tsv")


def everywhere_halved(folder):
    for name in ("coefficients", "slopes", "slope_differences"):
        change(folder, name, halve)


def page_and_blocks(folder):
    for name in ("report/report.html", "report/report.json"):
        edited(folder, name, r"95% CI of this difference from [−\d.]+ to", "95% CI of this difference from 0.01 to")


def strip_of_page(folder):
    """The page and its stored blocks say of other treatments what the tables do not."""
    for name in ("report/report.html", "report/report.json"):
        edited(folder, name, r"\d+ of \d+ say the same", "90 of 90 say the same")


def other_estimate(folder):
    def edit(table):
        own = table["term"].str.contains(":")
        table.loc[own, ["estimate", "low", "high"]] += 0.3
        table.loc[own, "t"] = table.loc[own, "estimate"] / table.loc[own, "se"]

    change(folder, "coefficients", edit)


def other_n(folder):
    def edit(table):
        table.loc[table["statistic"] == "n", "value"] += 20

    change(folder, "fit", edit)


def wider_region(folder):
    change(folder, "region", lambda t: t.loc[t.index[:1], ["critical_t"]].__imul__(0.5) is None)


def set_column(name, column, value):
    def manipulate(folder):
        change(folder, name, lambda t: t.__setitem__(column, value))

    return manipulate


def called_withheld(folder):
    table_path(folder, "warnings").unlink()
    call_withheld(folder, {f"moderation/{MODEL}/warnings.tsv": LEFT_OUT})


def called_without_counts(folder):
    """A table gone that the bundle says it has without its counts."""
    table_path(folder, "warnings").unlink()
    call_withheld(folder, {f"moderation/{MODEL}/warnings.tsv": WITHOUT_COUNTS})


def halved_without_counts(folder):
    """The interaction's SE halved, in a table that the bundle calls without counts, of which it has none."""
    change(folder, "slope_differences", halve)
    call_withheld(folder, {f"moderation/{MODEL}/slope_differences.tsv": WITHOUT_COUNTS})


def model_called_withheld(folder):
    """A model taken out whole, as if its complete cases were few fewer, though the page gives their share."""
    gone = {}
    for path in sorted((folder / f"tables/moderation/{MODEL}").glob("*.tsv")):
        if path.stem not in ("plan", "refused"):
            gone[f"moderation/{MODEL}/{path.name}"] = LEFT_OUT
            path.unlink()
    call_withheld(folder, gone)


def of_page_and_blocks(pattern, new):
    """The same change in the page's blocks and, where it then stands, in the page."""

    def manipulate(folder):
        path = folder / "report/report.json"
        text = path.read_text()
        changed, n = re.subn(pattern, new, text, count=1)
        assert n == 1 and changed != text, pattern
        path.write_text(changed)
        page = load_page(changed, lambda file: (folder / file).read_text())
        (folder / "report/report.html").write_text(drawn(page))

    return manipulate


def names_exchanged(folder):
    """The arms' names exchanged beside the lines of the figure, and the page drawn with it."""
    path = folder / f"report/figures/models/{MODEL}/slopes.svg"
    text = path.read_text()
    swapped = text.replace("control (n", "@@ (n").replace("treatment (n", "control (n").replace("@@ (n", "treatment (n")
    assert swapped != text
    path.write_text(swapped)
    page = load_page((folder / "report/report.json").read_text(), lambda file: (folder / file).read_text())
    (folder / "report/report.html").write_text(drawn(page))


MANIPULATIONS = {
    "a table taken out and called withheld": called_withheld,
    "a table taken out and called without counts": called_without_counts,
    "SE halved in a table called without counts": halved_without_counts,
    "a model taken out and called withheld": model_called_withheld,
    "the lines in numbers, page and blocks alike": of_page_and_blocks(
        r'("Slope in control",\s+")[^"]+"', r'\g<1>0.05 [0.01, 0.09]"'
    ),
    "a verdict of the strip": of_page_and_blocks(r'("verdict": )"warn"', r'\1"pass"'),
    "the sentence on power": of_page_and_blocks(r"with 80% power", "with 95% power"),
    "arms exchanged beside the lines of a figure": names_exchanged,
    "a p value on the page": lambda f: edited(f, "report/report.html", r"<i>p</i> = \.\d+", "<i>p</i> = .001"),
    "a count of participants on the page": lambda f: edited(f, "report/report.html", r"40 children", "60 children"),
    "page and stored blocks alike": page_and_blocks,
    "warnings taken out, of the crate too": warnings_out,
    "a table taken out": lambda f: table_path(f, "sensitivity").unlink(),
    "SE of the interaction halved with t, p and interval": lambda f: change(f, "slope_differences", halve),
    "SE halved in coefficients, slopes and differences": everywhere_halved,
    "another estimate": other_estimate,
    "HC3 to OLS in the config": lambda f: in_config(f, lambda c: c["models"][MODEL].update(covariance="OLS")),
    "a covariate more in the config": lambda f: in_config(f, lambda c: c["models"][MODEL].update(covariates=["sex"])),
    "another alpha in the config": lambda f: in_config(f, lambda c: c["moderation"].update(alpha=0.1)),
    "another n": other_n,
    "a confirmatory plan": lambda f: change(f, "plan", lambda t: t.__setitem__("status", "confirmatory")),
    "a figure edited": lambda f: edited(f, f"report/figures/models/{MODEL}/power.svg", r"simulated at", "measured at"),
    "a table that nobody wrote": lambda f: write_table(pd.DataFrame({"p": [0.01]}), table_path(f, "more")),
    "fewer versions": lambda f: write_table(
        read_table(table_path(f, "multiverse")).iloc[:5], table_path(f, "multiverse")
    ),
    "a resampling p": set_column("resampling", "p", 0.004),
    "power": set_column("power", "power", 0.9),
    "another verdict": set_column("verdict", "verdict", "buffered"),
    "a narrower interval in the verdict": set_column("verdict", "difference_low", 0.01),
    "a verdict taken out": lambda f: table_path(f, "verdict").unlink(),
    "a check of the strip": lambda f: change(f, "robustness", lambda t: t.loc.__setitem__((t.index[-1], "p"), 0.9)),
    "the strip on the page": strip_of_page,
}


def test_the_honest_bundle_agrees_with_itself(honest):
    faults, lines = check_folder(honest)
    assert faults == []
    compared = {line.split(":")[0]: int(re.search(r"of (\d+)", line)[1]) for line in lines if " of " in line}
    assert compared["claims"] > 15 and compared["tables"] > 40 and compared["pages"] == 1 and compared["figures"] >= 5
    assert len(list(crate_outputs(honest))) > 30


@pytest.fixture
def few(run):
    """A smallest count that withholds one of the checks of robustness."""
    table = run.results[0].tables["robustness"]
    table = table[table["check"].isin(PEOPLE_CHECKS)]
    return int(min(n for n in [*table["count"], *(table["total"] - table["count"])] if n > 0)) + 1


@pytest.fixture
def honest_withheld(run, checksums, cache, few):
    if "withheld" not in cache:
        cache["withheld"] = bundle(cache["folder"] / "withheld", run, checksums, smallest=few)
    return cache["withheld"]


def test_the_honest_bundle_with_small_cells_withheld_agrees_with_itself(honest_withheld, few):
    faults, _ = check_folder(honest_withheld, figures=False)
    assert faults == []
    without = {Path(name).stem for name, why in withheld_tables(honest_withheld).items() if why == WITHOUT_COUNTS}
    assert "robustness" in without
    assert not any(few_people(p, few) for p in (honest_withheld / "tables").rglob("*.tsv"))


# Those that use what a bundle may withhold, and two that do not.
WITHHOLDING = [what for what in MANIPULATIONS if "called" in what]
AT_FEW = [*WITHHOLDING, "SE halved in coefficients, slopes and differences", "another verdict"]


@pytest.mark.parametrize(
    ("what", "smallest"), [*((what, 0) for what in MANIPULATIONS), *((what, 9) for what in AT_FEW)]
)
def test_a_manipulation_is_reported_though_checksums_agree(honest, honest_withheld, tmp_path, what, smallest):
    folder = shutil.copytree(honest_withheld if smallest else honest, tmp_path / "b")
    MANIPULATIONS[what](folder)
    agree(folder)
    faults, _ = check_folder(folder, figures="figure" in what)
    assert faults, what


def test_a_table_whose_n_tells_who_lacks_a_timepoint_stays_out_of_a_shared_bundle(tmp_path):
    path = tmp_path / "change.tsv"
    write_table(pd.DataFrame({"measure": ["m"], "quantity": ["mean change"], "arm": ["a"], "n": [39]}), path)
    assert is_shareable(path) and few_people(path, 5) and not few_people(path, 0)
