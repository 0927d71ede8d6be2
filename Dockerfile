# What reviewers run: the lock's versions and the code, read by an ordinary user, without network.
#   podman build -t hpaxis .
#   podman run --rm --network none --userns keep-id -v "$PWD":/study -w /study hpaxis \
#     snakemake -s /opt/hpaxis/workflow/Snakefile --configfile my_study.yaml --cores 4
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
ENV LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp/matplotlib XDG_CACHE_HOME=/tmp/cache
COPY requirements.lock /opt/hpaxis/
RUN python3 -m venv /opt/environment \
 && /opt/environment/bin/pip install --no-cache-dir --quiet --require-hashes -r /opt/hpaxis/requirements.lock \
 && /opt/environment/bin/python -m compileall -q /opt/environment/lib
COPY Snakefile pyproject.toml environment.yml README.md LICENSE CITATION.cff /opt/hpaxis/
COPY config /opt/hpaxis/config
COPY resources /opt/hpaxis/resources
COPY workflow /opt/hpaxis/workflow
COPY scripts /opt/hpaxis/scripts
RUN chmod -R a+rX,go-w /opt/hpaxis
ENV PATH=/opt/environment/bin:$PATH PYTHONPATH=/opt/hpaxis/scripts
WORKDIR /study
CMD ["snakemake", "-s", "/opt/hpaxis/workflow/Snakefile", "--cores", "all"]
