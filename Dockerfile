# syntax=docker/dockerfile:1
# A Flink image with Watchgate in it: for the Kubernetes operator (integration/deploy/flinkdeployment.yaml) and for
# compose (integration/deploy/compose.yaml). Build from the root of the project: docker build -t watchgate .

# The wheel.
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE* ./
COPY schemas schemas
COPY operators operators
COPY models models
COPY jobs jobs
COPY integration integration
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /dist

# The Kafka connector's jar, checked against the committed sum.
FROM maven:3.9-eclipse-temurin-17 AS jars
WORKDIR /jars
COPY integration/pom.xml integration/jars.sha256 ./
RUN mvn --batch-mode --quiet dependency:copy-dependencies -DincludeGroupIds=org.apache.flink -DincludeArtifactIds=flink-sql-connector-kafka -DexcludeTransitive=true -DoutputDirectory=/jars/lib \
 && cd lib && grep flink-sql-connector-kafka ../jars.sha256 | sha256sum --check --strict

# Python 3.11, as in the tests, whatever the base image brings: this one runs on any glibc and has libpython beside it.
FROM flink:2.3.0-scala_2.12-java17 AS python
USER root
COPY --from=ghcr.io/astral-sh/uv:0.9.11 /uv /usr/local/bin/uv
ENV UV_PYTHON_INSTALL_DIR=/opt/python UV_LINK_MODE=copy UV_NO_CACHE=1
COPY constraints.txt /build/
COPY --from=wheel /dist /build/dist
RUN apt-get update && apt-get install --yes --no-install-recommends gcc g++ \
 && uv python install 3.11 \
 && uv venv --python 3.11 /opt/watchgate \
 && uv pip install --python /opt/watchgate/bin/python --constraint /build/constraints.txt "$(ls /build/dist/*.whl)[flink]" \
 # The image has Flink already: the package's copy of its jars would only be a second one.
 && rm -rf /opt/watchgate/lib/python3.11/site-packages/pyflink/lib /opt/watchgate/lib/python3.11/site-packages/pyflink/opt

FROM flink:2.3.0-scala_2.12-java17
USER root
COPY --from=python /opt/python /opt/python
COPY --from=python /opt/watchgate /opt/watchgate
COPY --from=jars /jars/lib/ /opt/flink/lib/
# In lib and not only in opt: the embedded Python's native library can be loaded by one class loader of a JVM only.
RUN cp /opt/flink/opt/flink-python-*.jar /opt/flink/lib/ && chown -R flink:flink /opt/flink/lib
ENV PATH=/opt/watchgate/bin:$PATH \
    PYTHONPATH=/opt/watchgate/lib/python3.11/site-packages \
    FLINK_HOME=/opt/flink
USER flink
