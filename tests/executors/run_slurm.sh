#!/usr/bin/env bash
# Run a study locally and through a real one-node SLURM, and compare the results byte for byte.
# `make test-slurm` takes the demo; `STUDY=folder make test-slurm` a study that `hpaxis simulate --out folder` wrote.
# `LOSE=yes` takes the worker node away three times on the way: set down by the administrator, power cut, and power cut
# together with Snakemake itself; then the run must go on, or end in the same bytes when it is started again.
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

begin() {  # begin WAY OPTIONS...: the study in a folder of its own, or again where it was
  local folder=$work/$1
  mkdir -p "$folder"
  [ -e "$folder/$(basename "$study")" ] || cp -r "$study" "$folder/"
  exec "$bin/snakemake" --directory "$folder" --configfile "$folder/$(basename "$study")/config.yaml" \
    --cores 2 --quiet rules "${@:2}"
}

run() {
  local start=$SECONDS
  (begin "$@")
  echo "$1: $((SECONDS - start)) s"
}

working() {  # wait until jobs run on the node and another few files are there; fails when Snakemake has ended
  local there more=${1:-15}
  there=$(find "$work/slurm/results" -type f 2>/dev/null | wc -l)
  while kill -0 "$snakemake" 2>/dev/null; do
    if [ -n "$(squeue -h -t R)" ] && [ "$(find "$work/slurm/results" -type f 2>/dev/null | wc -l)" -ge $((there + more)) ]; then
      sleep 2
      return
    fi
    sleep 0.5
  done
  return 1
}

lose() {  # the slurm run with its node lost on the way
  local node start=$SECONDS
  node=$(hostname -s)
  set +e  # commands fail here: that is the point
  (begin slurm "${options[@]}") & snakemake=$!
  working && {
    scontrol update nodename="$node" state=down reason=test
    sleep 20
    echo "node down, then up: $(squeue -h -o %T | sort | uniq -c | xargs)"
    scontrol update nodename="$node" state=resume 2>/dev/null  # unless it came back by itself
  }
  working && {
    tests/executors/one_node_slurm.sh cut "$work/slurm-node"
    sleep 25
    echo "power cut, then boot: node $(sinfo -h -o %t), jobs $(squeue -h -o %T | sort | uniq -c | xargs)"
    tests/executors/one_node_slurm.sh boot "$work/slurm-node"
  }
  working && {
    tests/executors/one_node_slurm.sh cut "$work/slurm-node"
    kill -9 "$snakemake"
    echo "power cut, Snakemake killed"
    squeue -h -o %A | xargs -r scancel
    sleep 25
    tests/executors/one_node_slurm.sh boot "$work/slurm-node"
  }
  wait "$snakemake" && echo "the run went on by itself" || echo "the run ended; started again"
  "$bin/snakemake" --directory "$work/slurm" --configfile "$work/slurm/$(basename "$study")/config.yaml" --unlock --quiet
  set -e
  (begin slurm "${options[@]}")
  echo "slurm, node lost: $((SECONDS - start)) s"
}

run local
# Without accounting, sacct would hang for ever: squeue tells how jobs are.
options=(--profile profiles/slurm --jobs 4 --slurm-status-command squeue --slurm-no-account
  --slurm-init-seconds-before-status-checks 2 --seconds-between-status-checks 2
  --default-resources slurm_partition=debug "mem_mb=1000 * attempt" "runtime=30 * attempt")
if [ -n "${LOSE:-}" ]; then lose; else run slurm "${options[@]}"; fi
"$bin/python" tests/executors/same_bytes.py "$work/local/results" "$work/slurm/results"
