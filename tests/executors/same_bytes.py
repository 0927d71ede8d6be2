"""Compare two results folders byte for byte: `same_bytes.py A B`. Exits 1 and lists what differs."""

import hashlib
import json
import sys
from pathlib import Path

# What Snakemake itself dates or times; the second is the empty file whose date it takes for a folder's, and which a
# run on results that turn read-only may leave out: then it takes the folder's own.
DATED = ("snakemake_report.html", ".snakemake_timestamp")


def content(path):
    """Return a file's bytes; of the crate without its note on git, which only one of two checkouts may have."""
    if path.name != "ro-crate-metadata.json":
        return path.read_bytes()
    crate = json.loads(path.read_bytes())
    kept = [entity for entity in crate["@graph"] if entity["@id"] != "#git"]
    for entity in kept:
        if isinstance(entity.get("identifier"), list):
            entity["identifier"] = [part for part in entity["identifier"] if part != {"@id": "#git"}]
    return json.dumps(kept, sort_keys=True).encode("utf-8")


def digests(folder):
    """Return relative path to SHA-256 of every file below a folder."""
    folder = Path(folder)
    return {
        str(p.relative_to(folder)): hashlib.sha256(content(p)).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in DATED
    }


def differences(one, other):
    """Return a line for each file that only one folder has, or whose bytes differ."""
    a, b = digests(one), digests(other)
    lines = [f"only in {one}: {name}" for name in sorted(a.keys() - b.keys())]
    lines += [f"only in {other}: {name}" for name in sorted(b.keys() - a.keys())]
    lines += [f"differs: {name}" for name in sorted(a.keys() & b.keys()) if a[name] != b[name]]
    return lines


if __name__ == "__main__":
    one, other = sys.argv[1:]
    found = differences(one, other)
    print("\n".join(found) or f"{len(digests(one))} files, all the same bytes")
    sys.exit(bool(found) or not digests(one))
