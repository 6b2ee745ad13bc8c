# Two stages: the first builds, the second is shipped and has no tool that builds or installs.
#   docker build -t emr-serverless-spark-exporter .
#   docker run --read-only --cap-drop=ALL -p 127.0.0.1:9825:9825 emr-serverless-spark-exporter demo

# Both stages name their base: podman caches no layer upon a stage that only gives it a name, and
# Dependabot updates no digest of an ARG.
FROM docker.io/library/python:3.13-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The exact packages that the tests ran with, by their hashes.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /build \
 && /build/bin/pip install -q --require-hashes -r requirements-build.lock \
 && python -m venv --without-pip /opt/exporter \
 && pip --python /opt/exporter install -q --require-hashes -r requirements.lock

# The wheel goes to a folder of its own, so that an upgrade brings a small layer.
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
# The git commit, which the exporter tells on its page and by --version.
ARG REVISION=""
RUN sed -i "s/^__revision__ = \"\"/__revision__ = \"$REVISION\"/" exporter/__init__.py \
 && /build/bin/hatchling build -t wheel -d /wheel \
 && pip --python /opt/exporter install -q --root /installed --no-deps --no-index /wheel/*.whl


FROM docker.io/library/python:3.13-slim-bookworm

# glibc keeps what is free for each thread and in ever larger pieces; this gives it back.
ENV PATH=/opt/exporter/bin:/usr/local/bin:/usr/bin:/bin \
    MALLOC_ARENA_MAX=2 \
    MALLOC_MMAP_THRESHOLD_=524288

RUN pip uninstall -qy pip --root-user-action=ignore \
 && rm -rf /usr/local/lib/python3.*/ensurepip \
 && install -d -o 65532 -g 65532 -m 0750 /var/lib/emr-exporter
COPY --from=build /opt/exporter /opt/exporter
COPY --from=build /installed/opt/exporter /opt/exporter
# The base image has Python's own modules without bytecode, and none can be written later: import
# once what a start imports.
RUN python -c "import exporter.app, exporter.cli.commands, exporter.demo, exporter.healthcheck, psycopg"

# Where `ledger.path` puts the ledger by default. The temporary files of the demo find their place
# here too: nothing else is written.
WORKDIR /var/lib/emr-exporter
VOLUME /var/lib/emr-exporter
ENV EMR_EXPORTER_WEB__LISTEN_ADDRESS=:9825
EXPOSE 9825
# A number, as Kubernetes' runAsNonRoot wants it.
USER 65532:65532

STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
  CMD ["python", "-I", "-m", "exporter.healthcheck"]
ENTRYPOINT ["emr-serverless-spark-exporter"]
CMD ["serve"]

ARG VERSION="" REVISION=""
LABEL org.opencontainers.image.title="emr-serverless-spark-exporter" \
      org.opencontainers.image.description="Prometheus exporter for Spark sessions on Alibaba Cloud EMR Serverless" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
