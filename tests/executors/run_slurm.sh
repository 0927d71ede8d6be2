#!/usr/bin/env bash
# Run a study locally and through a real one-node SLURM, and compare the results byte for byte.
# `make test-slurm` takes the demo; `STUDY=folder make test-slurm` a study that `make simulate OUT=folder` wrote.
# Needs root on Debian (it installs slurm-wlm and munge).
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$(realpath "${VENV:-.venv}")/bin
study=${STUDY:-config}
work=$(mktemp -d /tmp/hpaxis-slurm.XXXXXX)
command -v slurmctld >/dev/null && command -v munged >/dev/null || {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
}
trap 'tests/executors/one_node_slurm.sh down "$work/slurm-node"' EXIT
tests/executors/one_node_slurm.sh up "$work/slurm-node"

run() {  # run WAY OPTIONS...: the study in a folder of its own
  local folder=$work/$1 start=$SECONDS
  mkdir -p "$folder"
  cp -r "$study" "$folder/"
  "$bin/snakemake" --directory "$folder" --configfile "$folder/$(basename "$study")/config.yaml" \
    --cores 2 --quiet rules "${@:2}"
  echo "$1: $((SECONDS - start)) s"
}

run local
# Without accounting, sacct would hang for ever: squeue tells how jobs are.
run slurm --profile profiles/slurm --jobs 4 --slurm-status-command squeue --slurm-no-account \
  --slurm-init-seconds-before-status-checks 2 --seconds-between-status-checks 2 \
  --default-resources slurm_partition=debug "mem_mb=1000 * attempt" "runtime=30 * attempt"
"$bin/python" tests/executors/same_bytes.py "$work/local/results" "$work/slurm/results"
