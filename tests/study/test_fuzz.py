"""Whatever a file holds, reading it ends in a table or in an `InputError`; nothing else comes out of any parser.

Each parser is given arbitrary bytes, and files that were right before lines, cells and bytes of them were damaged.
A run is the same every time and short; ``HYPOTHESIS_PROFILE=long`` (make fuzz) looks further, at new examples.
"""

import gzip
import importlib.util
import json
import os
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hpaxis import schemas
from hpaxis.config import check_config
from hpaxis.cortisol.check import check_plate
from hpaxis.cortisol.finished import read_finished
from hpaxis.cortisol.kits import kit_named, read_kits
from hpaxis.cortisol.layout import read_layout
from hpaxis.cortisol.readers import choose_read, read_reader_file
from hpaxis.methylation.assays.instrument_export import read_export
from hpaxis.methylation.counting.reads import check_read_files, read_chunks
from hpaxis.methylation.panels.panel import make_panel, panel_folder, read_panel
from hpaxis.moderation.lock import read_lock
from hpaxis.names import is_name
from hpaxis.problems import InputError
from hpaxis.sheets import read_sheet, sheet_schema
from hpaxis.shipped import KITS
from hpaxis.study import read_study

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"


def fuzzed(examples):
    """Settings of a test: the same examples each time, or many new ones in the long profile."""
    return settings(
        max_examples=20 * examples if LONG else examples,
        derandomize=not LONG,
        database=None,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


# What damage writes: what other tools write, and what attackers do.
TOKENS = (
    b"", b"\t", b"\n", b"\r", b"\x00", b"\xff", b"\xef\xbb\xbf", b'"', b"'", b",", b";", b"NA", b"nan", b"inf", b"-inf",
    b"1e400", b"-1", b"0", b"1e-400", b"1_000", b"0x10", b"9" * 400, b"A" * 70000, b"=1+1", b"$(id)", b"../x", b"<b>",
    b"@", b">", b"+", b"#", b"{}", b"[]", b"null", "١٢".encode(), "²".encode(), "\u202e".encode(), "\u2028".encode(),
    "\x85".encode(), b"A1", b"P24", b"Q25", b"Plate:", b"~End", b"##BLOCKS= 1", b"450", b"1,000", b"1,5", b"OVRFLW",
)  # fmt: skip


@st.composite
def damaged(draw, whole):
    """Bytes of ``whole`` after one to four blows: to bytes, to cells, to lines, or an early end."""
    data = whole
    for _ in range(draw(st.integers(1, 4))):
        blow = draw(st.sampled_from(("bytes", "cell", "line", "double", "swap", "cut", "token")))
        lines = data.split(b"\n")
        at = draw(st.integers(0, len(lines) - 1))
        if blow == "cut":
            data = data[: draw(st.integers(0, len(data)))]
        elif blow in ("bytes", "token"):
            start = draw(st.integers(0, len(data)))
            new = draw(st.binary(max_size=6) if blow == "bytes" else st.sampled_from(TOKENS))
            data = data[:start] + new + data[start + draw(st.integers(0, 6)) :]
        else:
            if blow == "cell":
                mark = b"," if lines[at].count(b",") > lines[at].count(b"\t") else b"\t"
                cells = lines[at].split(mark)
                cells[draw(st.integers(0, len(cells) - 1))] = draw(st.sampled_from(TOKENS))
                lines[at] = mark.join(cells)
            elif blow == "line":
                del lines[at]
            elif blow == "double":
                lines.insert(at, lines[at])
            else:
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            data = b"\n".join(lines)
    return data


def files(whole):
    """Mostly damaged copies of a right file, and some of arbitrary bytes."""
    return st.one_of(damaged(whole), damaged(whole), damaged(whole), st.binary(max_size=300))


TRIED = Counter()


@pytest.fixture(scope="module", autouse=True)
def told(request):
    """Print at the end how many files were tried."""
    yield
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{TRIED['refused']} damaged files refused, {TRIED['read']} read in spite of the damage")


def survives(parse):
    """Run ``parse``; the only exception it may raise is `InputError`, in lines that each tell one problem."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            parse()
            TRIED["read"] += 1
        except InputError as error:
            TRIED["refused"] += 1
            assert error.problems
            for problem in error.problems:
                line = str(problem)
                assert line.isprintable(), line
                assert len(line) < 2000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


SHEETS = {
    "hair": b"hair_id\tparticipant_id\ttimepoint\tmass_mg\tdilution\nH1\t001\tm12\t21.5\t1\nH2\t002\tm12\tNA\t2\n",
    "libraries": (
        b"library_id\tparticipant_id\ttimepoint\tkind\tassay\tpanel\tfastq_1\tplate\twell\tinput_ng\n"
        b"L1\t001\tm12\tstudy\tamplicon\tnr3c1_exon1f\tL1.fastq.gz\tB1\tA1\t100\n"
        b"C1\tNA\tNA\tcontrol_0\tamplicon\tnr3c1_exon1f\tC1.fastq.gz\tB1\tA2\t100\n"
    ),
    "participants": (
        b"participant_id\tdyad_id\trole\tarm\tmissing\tage\tsex\n"
        b"001\td1\tchild\ta\tNA\t20\tmale\n002\td1\tparent\ta\thair\t400\tfemale\n"
    ),
    "plates": b"plate_id\tkit\treader_file\tlayout_file\nP1\tgeneric_competitive_elisa\tP1.txt\tP1_layout.tsv\n",
}


# What longer runs came upon.
FOUND = {
    "participants.tsv": b"A" * 140000,
    "grid.tsv": b"A" * 140000,
    "mars.csv": b"User: USER,Test run no.: 12\nTest name: ELISA\nAbsorbance\nWell Row\nA,1",
    "reference.fa": b">g\nACGTTACGGTCAACGTTTACGATCGATTACG\n",
}


def test_what_longer_runs_came_upon(folder):
    for name, data in FOUND.items():
        (folder / name).write_bytes(data)
    assert read_sheet(folder / "participants.tsv", sheet_schema("participants"))[1]
    for name, parse in (("grid.tsv", read_layout), ("grid.tsv", read_reader_file), ("mars.csv", read_reader_file)):
        with pytest.raises(InputError):
            parse(folder / name)
    (folder / "primers.tsv").write_bytes(b"amplicon\tforward_primer\treverse_primer\ng\tAT\x00T\tNA\n")
    with pytest.raises(InputError) as refused:
        make_panel(folder / "reference.fa", folder / "primers.tsv")
    assert [(p.row, p.column) for p in refused.value.problems] == [(2, "forward_primer"), (2, "reverse_primer")]


@pytest.mark.parametrize("name", SHEETS)
def test_sheets(folder, name):
    schema = sheet_schema(name, {"age": "number", "sex": "category"} if name == "participants" else None)

    @fuzzed(60)
    @given(files(SHEETS[name]))
    def check(data):
        path = folder / "sheet.tsv"
        path.write_bytes(data)

        def parse():
            table, problems = read_sheet(path, schema)
            assert list(table.columns) == ["row", *schema["properties"]]
            if problems:
                raise InputError(problems)

        survives(parse)

    check()


@pytest.mark.parametrize("name", ["kits", "finished"])
def test_kits_and_finished_concentrations(folder, name):
    finished = b"hair_id\tcortisol_pg_per_mg\tcv_percent\tlloq_pg_per_mg\nH1\t5.1\t8\t0.5\nH2\t<0.5\tNA\t0.5\n"
    kit = kit_named("lc_ms_ms")
    parse = {"kits": read_kits, "finished": lambda path: read_finished(path, kit, "P1")}[name]

    @fuzzed(60)
    @given(files({"kits": KITS.read_bytes(), "finished": finished}[name]))
    def check(data):
        path = folder / f"{name}.tsv"
        path.write_bytes(data)
        survives(lambda: parse(path))

    check()


# Layouts and plates.

_spec = importlib.util.spec_from_file_location("exports", Path(__file__).parents[1] / "cortisol" / "exports.py")
exports = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(exports)
WELLS = exports.signals()
READER_FILES = {
    "gen5": exports.gen5(WELLS, layout=dict.fromkeys(WELLS, "SPL1")),
    "gen5 kinetic": exports.gen5_kinetic({"0:00:00": WELLS, "0:05:00": WELLS}),
    "softmax": exports.softmax({"P1": [[WELLS]]}, group=[("A1", 4000), ("B1", 2000)]),
    "softmax by time": exports.softmax({"P1": [[WELLS, WELLS]]}, "TimeFormat", ("450", "650"), ("00:00:00",)),
    "mars": exports.mars({"Raw Data (450)": WELLS}),
    "mars table": exports.mars_table([("Raw Data (450)", WELLS)]),
    "magellan": "\n".join("\t".join(map(str, row)) for row in exports.magellan_rows(WELLS)),
    "grid": "\n".join(exports.grid_lines(WELLS)),
}


@pytest.mark.parametrize("name", READER_FILES)
def test_reader_files(folder, name):
    whole = READER_FILES[name].encode()

    @fuzzed(25)
    @given(files(whole), st.sampled_from([None, "450", "450-650", "650", "Raw Data (450)"]))
    def check(data, reading):
        path = folder / "reader.txt"
        path.write_bytes(data)
        survives(lambda: choose_read(read_reader_file(path), str(path), "P1", reading=reading))

    path = folder / "right.txt"
    path.write_bytes(whole)
    assert read_reader_file(path)
    check()


def test_workbooks(folder):
    path = exports.workbook(folder / "right.xlsx", {"Plate": exports.grid_rows(WELLS)})
    whole = path.read_bytes()
    assert read_reader_file(path)

    @fuzzed(40)
    @given(files(whole))
    def check(data):
        damaged = folder / "damaged.xlsx"
        damaged.write_bytes(data)
        survives(lambda: read_reader_file(damaged))

    check()


LAYOUTS = {
    "table": (
        "well\trole\tsample\tdilution\tnominal\nA1\tb0\tNA\tNA\tNA\nA2\tnsb\tNA\tNA\tNA\nB1\tstandard\tS1\tNA\tNA\n"
        "B2\tstandard\tS2\tNA\t2000\nC1\tsample\tH1\t2\tNA\nC2\tcontrol\tQC1\tNA\tNA\nC3\tspiked\tH1\t1\t100\n"
    ),
    "grid": "\n".join([
        *exports.grid_lines({"A1": "standard", "A2": "sample", "B1": "b0"}, "\t", corner="role"),
        "",
        *exports.grid_lines({"A1": "S1", "A2": "H1"}, "\t", corner="sample"),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(folder, name):
    kit = kit_named("generic_competitive_elisa")

    @fuzzed(60)
    @given(files(LAYOUTS[name].encode()))
    def check(data):
        path = folder / "layout.tsv"
        path.write_bytes(data)
        survives(lambda: read_layout(path, "P1", kit))

    path = folder / "right_layout.tsv"
    path.write_text(LAYOUTS[name])
    assert len(read_layout(path, "P1", kit)) >= 3
    check()


def test_a_plate_with_its_layout(folder):
    reader, layout = folder / "P1.txt", folder / "P1_layout.tsv"
    hair = pd.DataFrame({"hair_id": ["H1"], "dilution": [1.0]})
    settings = schemas.with_defaults({}, schemas.load("config/cortisol"))
    row = SimpleNamespace(row=2, plate_id="P1", kit="generic_competitive_elisa", reader_file=reader, layout_file=layout)

    @fuzzed(40)
    @given(damaged(READER_FILES["gen5"].encode()), damaged(LAYOUTS["table"].encode()))
    def check(reader_bytes, layout_bytes):
        reader.write_bytes(reader_bytes)
        layout.write_bytes(layout_bytes)

        def parse():
            if problems := check_plate(row, hair, settings):
                raise InputError(problems)

        survives(parse)

    check()


# Pyrosequencers' exports.

PYROSEQUENCER = {
    "wide": (
        b"Well;Assay;Sample ID;Pos. 1 Meth. (%);Pos. 1 Quality;Pos. 2 Meth. (%);Pos. 2 Quality\n"
        b"A1;NR3C1;L1;3,4;Passed;12,1;Check\nA2;NR3C1;L2;;Failed;9,0;Passed\n"
    ),
    "long": b"sample\tCpG\tpercent\tquality\nL1\tcpg1\t3.4\tPassed\nL1\tcpg2\t12\tCheck\nL2\tcpg1\tNA\tFailed\n",
}


@pytest.mark.parametrize("name", PYROSEQUENCER)
def test_pyrosequencers_exports(folder, name):
    path = folder / "pyrosequencer.txt"
    path.write_bytes(PYROSEQUENCER[name])
    assert len(read_export(path, known=("cpg1", "cpg2"))) >= 3

    @fuzzed(60)
    @given(files(PYROSEQUENCER[name]))
    def check(data):
        path.write_bytes(data)

        def parse():
            table = read_export(path, known=("cpg1", "cpg2"))
            assert all(is_name(text) for column in ("well", "assay") for text in table[column].dropna())

        survives(parse)

    check()


# Reads and panels.

FASTQ = b"".join(b"@r%d/1 extra\nACGTTGCA%s\n+\nIIIIFFFF%s\n" % (i, b"T" * i, b"#" * i) for i in range(8))


@pytest.mark.parametrize("packed", [False, True])
def test_reads(folder, packed):
    one, two = folder / "R1.fastq.gz", folder / "R2.fastq.gz"

    def whole(data):
        return gzip.compress(data, mtime=0) if packed else data

    @fuzzed(60)
    @given(files(whole(FASTQ)), st.one_of(st.just(whole(FASTQ)), files(whole(FASTQ))), st.integers(0, 20))
    def check(first, second, pad):
        one.write_bytes(first)
        two.write_bytes(second)

        def parse():
            for paths in ([one], [one, two]):
                if problems := check_read_files(paths):
                    raise InputError(problems)
                assert sum(len(reads[0]) for reads in read_chunks(paths, pad, 64)) > 0

        survives(parse)

    check()


def test_panels(folder):
    shipped = {path.name: path.read_bytes() for path in sorted(panel_folder("nr3c1_exon1f").iterdir())}
    copy = folder / "panel"
    copy.mkdir()
    for name, data in shipped.items():
        (copy / name).write_bytes(data)
    read_panel(copy)
    tables = sorted(name for name in shipped if name.endswith((".tsv", ".fa")))

    @fuzzed(60)
    @given(st.data())
    def check(data):
        name = data.draw(st.sampled_from(tables))
        (copy / name).write_bytes(data.draw(files(shipped[name])))
        survives(lambda: read_panel(copy))
        (copy / name).write_bytes(shipped[name])

    check()


def test_references_and_primers(folder):
    fasta = b">geneA chr1\nACGTTACGGTCAACGTTTACGATCGATTACG\nACGATT\n>chr5:100-111\nACGTACGTACGT\n"
    primers = b"amplicon\tforward_primer\treverse_primer\ngeneA\tATGTT\tAATCATC\n"
    reference, table = folder / "reference.fa", folder / "primers.tsv"

    @fuzzed(40)
    @given(files(fasta), files(primers), st.booleans())
    def check(one, two, given):
        reference.write_bytes(one)
        table.write_bytes(two)
        survives(lambda: make_panel(reference, table if given else None))

    check()


# Config and lock.

KEYS = ("sheets", "arms", "models", "seed", "study", "cohort", "columns", "libraries", "outcome", "keep", "kits")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(KEYS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


def places(value, path=()):
    """Every key path of a nested config."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))


def test_configs(root, folder):
    right = yaml.safe_load((root / "config" / "config.yaml").read_text())
    right["sheets"] = {name: str(folder / f"{name}.tsv") for name in SHEETS}
    for name, data in SHEETS.items():
        (folder / f"{name}.tsv").write_bytes(data)

    @fuzzed(60)
    @given(st.data())
    def check(data):
        config = json.loads(json.dumps(right))
        for _ in range(data.draw(st.integers(1, 3))):
            *path, last = data.draw(st.sampled_from([p for p in places(config) if p]))
            part = config
            for key in path:
                part = part[key]
            part[data.draw(st.sampled_from([last, "new", 7]))] = data.draw(VALUES)

        def parse():
            _, problems = read_study(config)
            if problems:
                raise InputError(problems)

        survives(parse)

    check()


def test_configs_of_any_shape():
    @fuzzed(60)
    @given(VALUES)
    def check(config):
        def parse():
            if problems := check_config(config):
                raise InputError(problems)

        survives(parse)

    check()


def test_locks(folder):
    whole = json.dumps({"models": {"competence": "a" * 64}}).encode()

    @fuzzed(60)
    @given(files(whole) | VALUES.map(lambda value: json.dumps(value, default=str, skipkeys=True).encode()))
    def check(data):
        path = folder / "plan.lock"
        path.write_bytes(data)

        def parse():
            locked = read_lock(path)
            assert all(isinstance(name, str) for name in locked)

        survives(parse)

    check()
