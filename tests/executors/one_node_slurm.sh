#!/usr/bin/env bash
# One-node SLURM on loopback for a test: `one_node_slurm.sh up FOLDER` and `... down FOLDER`.
# `cut FOLDER` is a power cut of the worker node (its daemon and every process of its jobs, at once), `boot FOLDER` its return.
# Needs root and Debian's slurm-wlm and munge. No systemd, cgroups or accounting.
set -euo pipefail
action=$1 folder=$2 node=$(hostname -s)

down() {
  local pid
  for pid in slurmd.pid slurmctld.pid munged.pid; do
    if [ -s "$folder/$pid" ]; then kill "$(cat "$folder/$pid")" 2>/dev/null || true; fi
  done
  # A link of ours only: a site's own configuration is not touched.
  if [ "$(readlink /etc/slurm/slurm.conf 2>/dev/null)" = "$folder/slurm.conf" ]; then rm /etc/slurm/slurm.conf; fi
}

cut() {
  local jobs parents
  # A process may end while it is looked at.
  jobs=$(scontrol listpids 2>/dev/null | awk 'NR > 1 && $1 > 1 {print $1}' || true)
  parents=$(for pid in $jobs; do ps -o ppid= -p "$pid" || true; done | sort -u)
  kill -9 "$(cat "$folder/slurmd.pid")"
  for pid in $parents; do
    if [ "$(ps -o comm= -p "$pid")" = slurmstepd ]; then kill -9 "$pid" || true; fi
  done
  for pid in $jobs; do kill -9 "$pid" 2>/dev/null || true; done
  echo "cut: $(echo "$jobs" | wc -w) processes of jobs" >&2
}

boot() { slurmd; }

up() {
  mkdir -p "$folder"/{state,spool,log} /run/munge /etc/slurm
  chmod 755 "$folder"
  if [ -e /etc/slurm/slurm.conf ] && [ ! -L /etc/slurm/slurm.conf ]; then
    echo "/etc/slurm/slurm.conf exists: this machine has a cluster of its own" >&2
    exit 1
  fi
  (umask 077 && head -c 1024 /dev/urandom > "$folder/munge.key")
  munged --force --key-file="$folder/munge.key" --pid-file="$folder/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/munged.seed"
  cat > "$folder/slurm.conf" <<CONF
ClusterName=hpaxis
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
SlurmdTimeout=10
MinJobAge=3600
SchedulerParameters=sched_interval=2,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(awk '/MemTotal/{print int($2/1024*.9)}' /proc/meminfo)
PartitionName=debug Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
  # The job step drops SLURM_CONF, so the configuration must stand at the default path.
  ln -sfn "$folder/slurm.conf" /etc/slurm/slurm.conf
  slurmctld
  slurmd
  for _ in $(seq 60); do
    if sinfo -h -o %t 2>/dev/null | grep -q idle; then sinfo; return; fi
    sleep 0.5
  done
  echo "the node did not come up; see $folder/log" >&2
  exit 1
}

"$action"
