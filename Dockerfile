# One image for Airflow's processes, the streams, the batch jobs and the MCP sidecar; the command decides.
FROM python:3.11-slim-bookworm

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
    && mkdir .headwater jars && chown headwater .headwater jars

ENV PYTHONPATH=/opt/headwater/include:/opt/headwater/plugins \
    HEADWATER_PROJECT_DIR=/opt/headwater \
    HEADWATER_DOWNLOADS_DIR=/opt/headwater/jars \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/headwater/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/headwater/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False
USER headwater
# Spark's jars (184 MB), held to the hashes of the lock; without them the first job of each container would fetch them.
RUN python -c "from headwater.embedded import downloads, java; from headwater.settings import get_settings as settings; \
    downloads.ensure(settings(), ('spark',), java.ensure_java(settings()).executable)"
ENTRYPOINT ["tini", "--"]
CMD ["headwater", "--help"]
