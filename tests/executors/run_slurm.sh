#!/usr/bin/env bash
# Run the demo locally and through a real one-node SLURM, and compare the results byte for byte.
# Needs root on Debian (it installs slurm-wlm and munge): `make test-slurm`.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$PWD/${VENV:-.venv}/bin
work=$(mktemp -d /tmp/hpaxis-slurm.XXXXXX)
command -v slurmctld >/dev/null && command -v munged >/dev/null || {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
}
trap 'tests/executors/one_node_slurm.sh down "$work/slurm"' EXIT
tests/executors/one_node_slurm.sh up "$work/slurm"

for way in local slurm; do
  mkdir -p "$work/$way"
  cp -r config "$work/$way/"
done
start=$(date +%s)
"$bin/snakemake" --directory "$work/local" --cores 2 --quiet rules
middle=$(date +%s)
# Without accounting, sacct would hang for ever.
"$bin/snakemake" --directory "$work/slurm" --profile profiles/slurm --jobs 4 --quiet rules \
  --slurm-status-command squeue --slurm-no-account --default-resources slurm_partition=debug mem_mb=1000 runtime=15 \
  --slurm-init-seconds-before-status-checks 2 --seconds-between-status-checks 2
end=$(date +%s)
echo "local $((middle - start)) s, SLURM $((end - middle)) s"
"$bin/python" tests/executors/same_bytes.py "$work/local/results" "$work/slurm/results"
