"""The reviewer's bundles of a whole run: what they hold, and that one with participants runs again to equal bytes."""

import re
import subprocess
import sys
import zipfile

import docx
import pytest

from hpaxis.tables import read_table

pytestmark = pytest.mark.workflow
CONFIG = ("--configfile", "study/config.yaml")
BUNDLES = {kind: f"results/bundle/{kind}.zip" for kind in ("shared", "participants")}


@pytest.fixture(scope="module")
def bundled(finished, tmp_path_factory):
    """The finished run, in a copy, with both bundles."""
    checkout = finished.copy_to(tmp_path_factory.mktemp("bundled") / "checkout")
    checkout.snakemake(*CONFIG, "--", *BUNDLES.values(), "results/writeup", in_process=True)
    return checkout


def verify(checkout, path):
    command = [sys.executable, "-m", "hpaxis", "verify", str(path)]
    done = subprocess.run(command, cwd=checkout.folder, capture_output=True, text=True, timeout=500)
    return done.returncode, done.stdout + done.stderr


def test_a_shared_bundle_holds_no_participant_and_no_read(bundled, canaries):
    sheets = {name: read_table(bundled.folder / f"study/{name}.tsv") for name in ("participants", "libraries", "hair")}
    own = sheets["libraries"].dropna(subset=["participant_id"])["library_id"]
    ids = [*sheets["participants"]["participant_id"], *own, *sheets["hair"]["hair_id"]]
    banned = re.compile(rf"(?<![\w.])({'|'.join(ids)})(?!\w)|{'|'.join(map(re.escape, canaries))}|[ACGTN]{{30}}")
    with zipfile.ZipFile(bundled.folder / BUNDLES["shared"]) as archive:
        texts = {name: archive.read(name).decode("utf-8") for name in archive.namelist()}
    assert {name: found[0] for name, text in texts.items() if (found := banned.search(text))} == {}
    assert {"config.yaml", "report/report.html", "counts/molecules.tsv", "manifest.tsv"} <= texts.keys()
    assert "tables/moderation/competence/coefficients.tsv" in texts
    assert not any(name.startswith(("sheets/", "plates/")) for name in texts)


def test_a_shared_bundle_is_verified_as_far_as_it_goes(bundled):
    code, said = verify(bundled, BUNDLES["shared"])
    assert code == 0, said
    assert "all files are as listed" in said
    assert "neither cohort nor models can be computed anew" in said


def test_a_participants_bundle_runs_again_to_the_same_bytes(bundled):
    code, said = verify(bundled, BUNDLES["participants"])
    assert code == 0, said
    again, of = map(int, re.search(r"(\d+) of (\d+) tables are equal to the byte", said).groups())
    assert again == of > 40
    with zipfile.ZipFile(bundled.folder / BUNDLES["participants"]) as archive:
        assert not any(name.endswith((".bam", ".gz")) for name in archive.namelist())


def test_the_write_up_is_there_and_its_word_files_open(bundled):
    folder = bundled.folder / "results/writeup"
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {"README.md", "references.bib", "preregistration.md", "figures/slopes_single.pdf"} <= names
    for name in (name for name in names if name.endswith(".pdf")):
        assert b"/CreationDate" not in (folder / name).read_bytes(), name
    word = [name for name in names if name.endswith(".docx")]
    assert len(word) >= 5
    for name in word:
        document = docx.Document(str(folder / name))
        assert document.paragraphs or document.tables, name
