"""Small libraries are counted several to a job: the bytes are those of a job each, and a lost job comes back."""

import hashlib

import yaml

TARGETS = ("counts", "patterns", "reads", "conversion", "cycles", "sites", "private/alleles")


def test_a_batch_writes_the_bytes_of_single_jobs(study, tmp_path):
    checkout = study.copy_to(tmp_path / "checkout")
    config = yaml.safe_load((checkout.folder / "study" / "config.yaml").read_text(encoding="utf-8"))
    sheet = (checkout.folder / "study" / "libraries.tsv").read_text(encoding="utf-8").splitlines()
    names = [line.split("\t")[0] for line in sheet[1:7]]
    (checkout.folder / "six.tsv").write_text("\n".join(sheet[:7]) + "\n", encoding="utf-8")
    people = (checkout.folder / "study" / "participants.tsv").read_text(encoding="utf-8").splitlines()
    own = [line for line in people[1:] if line.split("\t")[0] in {row.split("\t")[1] for row in sheet[1:7]}]
    (checkout.folder / "people.tsv").write_text("\n".join([people[0], *own]) + "\n", encoding="utf-8")
    config["sheets"] = {"libraries": "six.tsv", "participants": "people.tsv"}
    made = {}
    for most in (12, 1):
        config["methylation"] = {**config.get("methylation", {}), "libraries_per_job": most}
        (checkout.folder / "six.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        wanted = [f"results/methylation/{t}/{n}.tsv" for t in TARGETS for n in names]
        wanted += [f"results/methylation/bam/{n}.bam" for n in names]
        done = checkout.snakemake("--configfile", "six.yaml", "--forceall", "--", *wanted, in_process=True)
        assert ("count_amplicon_reads_batch_001" in done.stdout + done.stderr) == (most == 12)
        made[most] = {path: hashlib.sha256((checkout.folder / path).read_bytes()).hexdigest() for path in wanted}
    assert made[12] == made[1]
