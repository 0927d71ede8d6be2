#!/bin/bash
# Apptainer from a Debian sid root of its own (@root@), for a machine whose Debian has none. Needs root.
# A private mount namespace gets that root; the machine's folders keep their paths in it.
exec unshare --mount --propagation private /bin/bash -c '
  root=@root@ here=$PWD
  mount --bind "$root" "$root"
  for folder in /proc /sys /dev /tmp /root /home /var/tmp /opt $(printf "%s\n" "$here" "@code@" | cut -d/ -f1-2 | sort -u); do
    # not over the /var of the root, where Apptainer keeps what it needs
    if [ -d "$folder" ] && [ "$folder" != /var ]; then mkdir -p "$root$folder"; mount --rbind "$folder" "$root$folder"; fi
  done
  for file in /etc/resolv.conf /etc/hosts /etc/passwd /etc/group; do
    if [ -e "$file" ]; then touch "$root$file"; mount --bind "$file" "$root$file"; fi
  done
  mkdir -p "$root/host" && cd "$root" && pivot_root . host && cd "$here"
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin LD_LIBRARY_PATH=
  exec apptainer "$@"' apptainer "$@"
