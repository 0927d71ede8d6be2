"""Reruns follow imports: what a job depends on is found from what its script imports, and nothing else replans it."""

import ast
import re

import inprocess
import pytest
import yaml

from hpaxis.designs.catalogue import CONFIG, write_design
from hpaxis.imports import files_of, imported, keys_of
from hpaxis.schemas import config_schema, with_defaults


@pytest.fixture(scope="module")
def jobs(root):
    """Every job of the demo: (rule, inputs and the files that its script runs, outputs)."""
    done = inprocess.snakemake("--dry-run", "--forceall", "--nolock", "--cores", "1", folder=root)
    assert done.returncode == 0, done.stderr
    blocks = re.split(r"^(?:local)?rule (\w+):\n", done.stdout, flags=re.MULTILINE)[1:]
    rules = [re.sub(r"_batch_\d+$", "", rule) for rule in blocks[::2]]
    return [
        (rule, names_of(text, "input") | code(root, rule), names_of(text, "output") | names_of(text, "benchmark"))
        for rule, text in zip(rules, blocks[1::2])
    ]


def code(root, rule):
    script = root / "scripts" / f"{rule}.py"
    return {path.relative_to(root).as_posix() for path in files_of(script)} if script.is_file() else set()


def names_of(text, key):
    found = re.search(rf"^    {key}: (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r" \(.*\)$", "", name) for name in found[1].split(", ")} if found else set()


def replanned(jobs, edited):
    """The rules of the jobs that an edited file replans: those that read it, and all that read what they write."""
    stale, done = {edited}, []
    for rule, inputs, outputs in order(jobs):
        if inputs & stale:
            stale |= outputs
            done.append(rule)
    return done


def order(jobs):
    """The jobs, each after those whose outputs it reads."""
    made = {name for _, _, outputs in jobs for name in outputs}
    waiting, known = list(jobs), set()
    while waiting:
        ready = [job for job in waiting if not (job[1] & made) - known]
        assert ready
        yield from ready
        known |= {name for _, _, outputs in ready for name in outputs}
        waiting = [job for job in waiting if job not in ready]


# What a comment added to a file replans in the demo: at least and at most so many jobs, and all
# jobs of some rules.
EDITS = [
    ("scripts/hpaxis/labels.py", 1, 20, {"write_report", "present_models"}),
    ("scripts/hpaxis/figures.py", 1, 20, {"plot_cohort", "plot_cortisol", "plot_methylation"}),
    ("scripts/hpaxis/methylation/figures/calibration.py", 1, 8, {"plot_methylation"}),
    ("scripts/hpaxis/methylation/figures/multiqc.py", 1, 6, {"write_multiqc"}),
    ("scripts/hpaxis/methylation/counting/molecules.py", 20, 60, {"count_amplicon_reads", "fit_model"}),
    ("scripts/hpaxis/methylation/panels/genome_check.py", 0, 0, set()),
    ("scripts/hpaxis/methylation/levels/verdicts.py", 1, 35, {"estimate_methylation", "write_report"}),
    ("scripts/hpaxis/cortisol/curve.py", 3, 35, {"quantify_plates", "collect_cortisol", "fit_model"}),
    ("scripts/hpaxis/cohort/join.py", 1, 30, {"build_cohort", "fit_model"}),
    ("scripts/hpaxis/moderation/region.py", 7, 20, {"fit_model", "present_models"}),
    ("scripts/hpaxis/simulation/reads.py", 20, 60, {"simulate_reads", "count_amplicon_reads"}),
    ("scripts/hpaxis/study/check.py", 0, 0, set()),
    ("scripts/hpaxis/cli.py", 0, 0, set()),
    ("scripts/hpaxis/report/page.css", 3, 5, {"write_report", "write_quality", "write_bench"}),
    ("scripts/hpaxis/tables.py", 20, 60, {"count_amplicon_reads", "write_crate"}),
    ("workflow/schemas/cortisol_finished.yaml", 3, 35, {"collect_cortisol"}),
]


@pytest.mark.parametrize(("edited", "least", "most", "rules"), EDITS, ids=[edit[0] for edit in EDITS])
def test_an_edit_replans_what_imports_it_and_nothing_else(jobs, root, edited, least, most, rules):
    assert (root / edited).is_file()
    done = replanned(jobs, edited)
    assert least <= len(done) <= most, len(done)
    assert [rule for rule in rules if done.count(rule) < sum(name == rule for name, _, _ in jobs)] == []
    assert rules <= set(done)


def test_snakemake_itself_plans_what_the_table_says(checkouts, tmp_path):
    """One edit in a checkout whose outputs are all there, moved since: only what imports the module is planned."""
    checkout = checkouts(tmp_path / "first")
    write_design("hair", checkout.folder / "study")
    checkout.snakemake(*AIMED, in_process=True)
    checkout.folder = checkout.folder.rename(tmp_path / "moved")
    assert planned(checkout) == []
    with (checkout.folder / "scripts/hpaxis/cortisol/quality.py").open("a") as file:
        file.write("# a comment\n")
    assert planned(checkout) == ["collect_cortisol", "quantify_plates"]


AIMED = ("--directory", "study", "--configfile", f"study/{CONFIG}", "--", "collect_cortisol")


def planned(checkout):
    plan = checkout.snakemake("--dry-run", *AIMED).stdout
    return sorted(re.findall(r"^(?:local)?rule (\w+?)(?:_batch_\d+)?:", plan, flags=re.MULTILINE))


def scripts_and_rules(root):
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((root / "workflow" / "rules").glob("*.smk")))
    for block in re.split(r"^(?=rule )", text, flags=re.MULTILINE):
        if script := re.search(r"scripts/(\w+)\.py", block):
            yield script[1], block


def test_every_rule_depends_on_the_code_of_its_own_script(root):
    rules = dict(scripts_and_rules(root))
    assert len(rules) > 20 and all(re.search(rf"^rule {name}:|{name}_batch_", block) for name, block in rules.items())
    assert [name for name, block in rules.items() if f'code=code_of("{name}")' not in block] == []


def run(tree):
    """Yield the nodes that run: not what stands under `if TYPE_CHECKING`, which only the type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from (node, *run(node))


def test_imports_are_those_that_the_parser_sees(root):
    modules = [*(root / "scripts").glob("*.py"), *(root / "scripts" / "hpaxis").rglob("*.py")]
    assert len(modules) > 150
    for path in modules:
        text = path.read_text(encoding="utf-8")
        seen = set()
        for node in run(ast.parse(text)):
            if isinstance(node, ast.Import):
                seen |= {(alias.name, ()) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                seen.add((node.module, tuple(alias.name for alias in node.names)))
        assert seen <= set(imported(text)), path


def test_an_import_for_the_type_checker_is_not_followed():
    text = "import re\n\nif TYPE_CHECKING:\n    from a import (\n        b,\n    )\n\n    import c\n\nfrom d import e\n"
    assert list(imported(text)) == [("re", ()), ("d", ("e",))]


def test_a_module_imported_inside_a_function_and_its_packages_count(root):
    found = {path.relative_to(root).as_posix() for path in files_of(root / "scripts" / "count_amplicon_reads.py")}
    assert {"scripts/hpaxis/__init__.py", "scripts/hpaxis/methylation/counting/__init__.py", "scripts/job.py"} <= found
    assert not any("figures" in name or "cortisol" in name for name in found)


@pytest.mark.parametrize(
    ("script", "section", "given", "kept_out"),
    [
        ("quantify_plates", "cortisol", {"duplicate_cv_warn_percent", "control_ranges"},
         {"usual_low_pg_per_mg", "usual_high_pg_per_mg", "low_mass_mg", "failed_plates"}),
        ("estimate_methylation", "methylation", {"conversion_warn", "depth_fail", "failed_molecules_fail"},
         {"libraries_per_job", "small_library_mb"}),
    ],
)  # fmt: skip
def test_a_job_is_given_the_keys_that_its_code_names(root, script, section, given, kept_out):
    settings = with_defaults({}, config_schema())[section]
    found = keys_of(root / "scripts" / f"{script}.py", settings)
    assert all(value == settings[key] for key, value in found.items() if not isinstance(value, dict))
    assert given <= found.keys() and kept_out <= settings.keys() - found.keys()


@pytest.mark.parametrize(
    ("script", "given", "kept_out"),
    [
        ("write_bench", {"study.title", "methylation.depth_fail"}, {"seed", "study.question", "moderation.alpha"}),
        ("write_quality", {"report.smallest_cell", "arms", "methylation.snp_action"},
         {"methylation.small_library_mb", "moderation.draws", "cortisol.mass_sd_mg", "report.cell_mix"}),
        ("describe_cohort", {"models", "cohort.columns", "report.smallest_cell"}, {"study", "moderation.draws"}),
        ("write_validation", {"cortisol.recovery_low_percent"}, {"cortisol.low_mass_mg", "report.smallest_cell"}),
    ],
)  # fmt: skip
def test_a_page_is_given_the_keys_of_all_sections_that_its_code_reads(root, script, given, kept_out):
    found = keys_of(root / "scripts" / f"{script}.py", with_defaults({}, config_schema()))
    flat = {f"{name}.{key}" for name, part in found.items() if isinstance(part, dict) for key in part} | set(found)
    assert given <= flat and not kept_out & flat


def test_one_changed_key_reruns_what_reads_it(root):
    """The cortisol stage's usual range is collect_cortisol's alone: plates are not evaluated again for it."""
    plans = []
    for low in (1.0, 2.0):
        config = yaml.safe_load((root / "config" / "config.yaml").read_text(encoding="utf-8"))
        config.setdefault("cortisol", {})["usual_low_pg_per_mg"] = low
        settings = with_defaults(config, config_schema())["cortisol"]
        plans.append({
            script: keys_of(root / "scripts" / f"{script}.py", settings)
            for script in ("quantify_plates", "collect_cortisol")
        })  # fmt: skip
    assert plans[0]["quantify_plates"] == plans[1]["quantify_plates"]
    assert plans[0]["collect_cortisol"] != plans[1]["collect_cortisol"]
