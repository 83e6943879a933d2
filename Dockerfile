# Two images of one base: `headwater` for Airflow's processes, the streams, the batch jobs, the MCP sidecar and the API
# (the command decides), and `connect`, a Kafka Connect worker for change data capture.
FROM python:3.11-slim-bookworm AS base

# Spark needs a full JRE with the module jdk.incubator.vector.
RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 headwater

WORKDIR /opt/headwater
COPY requirements.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY include ./include
COPY dags ./dags
COPY plugins ./plugins
COPY spark_jobs ./spark_jobs
COPY schemas ./schemas
# pip fetches the build backend (hatchling) by itself; what the package needs is installed above.
RUN pip install --no-cache-dir --no-deps . \
    && mkdir -p .headwater/audit jars && chown headwater .headwater .headwater/audit jars

ENV PYTHONPATH=/opt/headwater/include:/opt/headwater/plugins \
    HEADWATER_PROJECT_DIR=/opt/headwater \
    HEADWATER_DOWNLOADS_DIR=/opt/headwater/jars \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/headwater/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/headwater/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False
USER headwater
ENTRYPOINT ["tini", "--"]

FROM base AS connect
# Kafka Connect, Debezium and the Avro converter, held to the hashes of the lock and unpacked: the container writes
# nothing but below HEADWATER_HOME and /tmp.
RUN python -c "from headwater.embedded import connect, downloads, java; from headwater.settings import get_settings as settings; \
    downloads.ensure(settings(), connect.SERVICE.downloads, java.ensure_java(settings()).executable); connect.unpack(settings())"
EXPOSE 8083
CMD ["python", "-m", "headwater.cdc"]

FROM base AS headwater
# Spark's jars (184 MB), held to the hashes of the lock; without them the first job of each container would fetch them.
RUN python -c "from headwater.embedded import downloads, java; from headwater.settings import get_settings as settings; \
    downloads.ensure(settings(), ('spark',), java.ensure_java(settings()).executable)"
CMD ["headwater", "--help"]
