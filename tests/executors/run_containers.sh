#!/usr/bin/env bash
# Build the image from the lock and run a study in it three ways; compare the results byte for byte with a local run.
#   podman run           as an ordinary user, without network, root file system read-only
#   apptainer exec       the same image as a SIF, in the real Apptainer
#   snakemake --sdm apptainer   Snakemake outside, each rule in the SIF
# `make test-containers` takes the demo; `STUDY=folder make test-containers` a study of `hpaxis simulate --out folder`.
# Needs root on Debian, 6 GB of disk, and the registries only for packages: no image is pulled.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH=$PATH:/usr/sbin:/sbin  # pivot_root and others, which a bare PATH lacks
bin=$(realpath "${VENV:-.venv}")/bin
study=${STUDY:-config}
name=$(basename "$study")
work=$(realpath "${WORK:-$(mktemp -d /var/tmp/hpaxis-containers.XXXXXX)}")  # give WORK to keep what was built
image=localhost/hpaxis:test
mkdir -p "$work"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -1)

need() { command -v "$1" >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${@:2}" >/dev/null; }
need podman podman buildah runc uidmap
need mmdebstrap mmdebstrap
need mksquashfs squashfs-tools

# A podman that also works inside a container or a small machine: no systemd, no cgroups of its own.
mkdir -p "$work/podman"
cat > "$work/podman/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
cat > "$work/podman/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$work/podman/store"
runroot = "$work/podman/runroot"
CONF
export CONTAINERS_CONF=$work/podman/containers.conf CONTAINERS_STORAGE_CONF=$work/podman/storage.conf
export XDG_RUNTIME_DIR=$work/podman/run BUILDAH_ISOLATION=chroot
mkdir -p "$XDG_RUNTIME_DIR"

base() {  # what python:3.11-slim-bookworm would give: Debian with Python
  [ -s "$work/base.tar" ] || mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,procps,ca-certificates \
    bookworm "$work/base.tar" "$mirror"
  podman image exists localhost/base:bookworm || podman import -q "$work/base.tar" localhost/base:bookworm >/dev/null
}

build() {  # packages are fetched and checked outside: pip sees no index in the build (chroot isolation has no network of its own)
  if [ ! -d "$work/wheels" ]; then
    "$bin/python" -m pip download -q --no-deps --require-hashes -r requirements.lock -d "$work/wheels.part"
    "$bin/python" -m pip download -q --no-deps wheel -d "$work/wheels.part"  # to build what is published as source only
    mv "$work/wheels.part" "$work/wheels"
  fi
  printf '[global]\nno-index = true\nfind-links = /wheels\n' > "$work/pip.conf"
  podman build -q --network host --build-arg BASE=localhost/base:bookworm -v "$work/wheels:/wheels:ro" \
    -v "$work/pip.conf:/etc/pip.conf:ro" -t "$image" . >/dev/null
}

sif() {
  [ -x "$work/apptainer/usr/bin/apptainer" ] || mmdebstrap --quiet --variant=minbase \
    --aptopt='Acquire::Check-Valid-Until "false"' --include=apptainer,procps,ca-certificates,squashfs-tools \
    sid "$work/apptainer" "$mirror"
  mkdir -p "$work/bin"
  sed "s|@root@|$work/apptainer|; s|@code@|$PWD|" tests/executors/apptainer.sh > "$work/bin/apptainer"
  chmod +x "$work/bin/apptainer"
  rm -f "$work/image.tar"
  podman save -q --format oci-archive -o "$work/image.tar" "$image"
  "$work/bin/apptainer" --quiet build --force "$work/hpaxis.sif" "oci-archive:$work/image.tar"
}

folder() {  # folder WAY: a fresh folder with the study, owned by an ordinary user
  rm -rf "${work:?}/runs/$1"
  mkdir -p "$work/runs/$1"
  cp -r "$study" "$work/runs/$1/$name"
  chown -R 1000:1000 "$work/runs/$1"
  echo "$work/runs/$1"
}

timed() {  # timed WAY COMMAND...
  local start=$SECONDS
  "${@:2}" > "$work/$1.log" 2>&1 || { tail -40 "$work/$1.log"; echo "$1 failed"; exit 1; }
  echo "$1: $((SECONDS - start)) s"
}

timed base base
timed build build
timed sif sif
arguments=(--configfile "$name/config.yaml" --cores 2 --quiet rules)
inside=(snakemake -s /opt/hpaxis/workflow/Snakefile "${arguments[@]}")

timed local "$bin/snakemake" --directory "$(folder local)" --configfile "$work/runs/local/$name/config.yaml" --cores 2
timed podman podman run --rm --network none --read-only --tmpfs /tmp --user 1000:1000 \
  -v "$(folder podman):/study" -w /study "$image" "${inside[@]}"
here=$(folder apptainer)
timed apptainer "$work/bin/apptainer" exec --drop-caps CAP_SYS_RESOURCE --containall --net --network none \
  --bind "$here:/study" --pwd /study "$work/hpaxis.sif" "${inside[@]}"
here=$(folder each_rule)
ln -s "$work/hpaxis.sif" "$here/hpaxis.sif"
PATH=$work/bin:$PATH timed each_rule "$bin/snakemake" --directory "$here" --configfile "$here/$name/config.yaml" --cores 2 \
  --sdm apptainer --apptainer-args "--drop-caps CAP_SYS_RESOURCE --bind $PWD:$PWD:ro --bind $work"
for way in podman apptainer each_rule; do
  echo "$way: $("$bin/python" tests/executors/same_bytes.py "$work/runs/local/results" "$work/runs/$way/results")"
done
