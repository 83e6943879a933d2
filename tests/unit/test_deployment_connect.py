"""The Kafka Connect worker in docker-compose.yaml and in helm/connect: its shape, as far as no engine is needed."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from headwater.cdc.worker_properties import CONNECTOR_SECRETS
from headwater.embedded import connect
from headwater.settings import Settings

PROJECT = Path(__file__).parents[2]
CHART = PROJECT / "helm" / "connect"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())["services"]["connect"]
SETTINGS = {f"HEADWATER_{name.upper()}" for name in Settings.model_fields}
SECRETS = {*CONNECTOR_SECRETS, "HEADWATER_KAFKA_PASSWORD"} - {"HEADWATER_POSTGRES_PASSWORD"}
"""The worker has a user of its own in the source, and not the platform's password."""


def value(path: str) -> Any:
    """A value of values.yaml; fails where there is none."""
    found: Any = VALUES
    for name in path.split("."):
        found = found[name]
    return found


def rendered() -> dict[str, dict[str, Any]]:
    """The chart's objects by kind. Its templates use values, the release's name and `toYaml | indent` alone."""
    objects = []
    for path in sorted((CHART / "templates").glob("*.yaml")):
        text = path.read_text().replace("{{ .Release.Name }}", "cdc")
        text = re.sub(
            r"\{\{ toYaml \.Values\.(\S+) \| indent (\d+) \}\}",
            lambda m: "\n".join(" " * int(m[2]) + line for line in yaml.safe_dump(value(m[1])).splitlines()),
            text,
        )
        text = re.sub(r"\{\{ \.Values\.(\S+) \}\}", lambda m: str(value(m[1])), text)
        assert "{{" not in text, path
        objects.append(yaml.safe_load(text))
    return {one["kind"]: one for one in objects}


OBJECTS = rendered()
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
WORKER = POD["containers"][0]
ENVIRONMENT = {one["name"]: one for one in WORKER["env"]}


def test_the_chart_has_what_a_worker_needs():
    assert set(OBJECTS) == {"Deployment", "Service", "ServiceAccount", "NetworkPolicy"}
    assert OBJECTS["Deployment"]["spec"]["replicas"] >= 2, "one is lost: another one takes over"
    assert set(ENVIRONMENT) <= SETTINGS
    assert {mount["name"] for mount in WORKER["volumeMounts"]} == {volume["name"] for volume in POD["volumes"]}
    labels = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"],
        OBJECTS["Service"]["spec"]["selector"],
        OBJECTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector == labels
    assert POD["serviceAccountName"] == OBJECTS["ServiceAccount"]["metadata"]["name"]


def test_workers_of_one_group_reach_each_other():
    assert ENVIRONMENT["HEADWATER_BIND_HOST"]["value"] == "0.0.0.0"  # noqa: S104
    address = ENVIRONMENT["HEADWATER_CONNECT_ADVERTISED_HOST"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert address == "status.podIP"
    (port,) = WORKER["ports"]
    assert str(port["containerPort"]) == ENVIRONMENT["HEADWATER_CONNECT_PORT"]["value"]
    (open_port,) = OBJECTS["NetworkPolicy"]["spec"]["ingress"][0]["ports"]
    assert open_port["port"] == port["containerPort"]


def test_a_pod_may_do_nothing_that_it_need_not():
    assert POD["automountServiceAccountToken"] is OBJECTS["ServiceAccount"]["automountServiceAccountToken"] is False
    assert (POD["securityContext"]["runAsNonRoot"], POD["securityContext"]["runAsUser"]) == (True, 10001)
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    rights = WORKER["securityContext"]
    assert rights["capabilities"] == {"drop": ["ALL"]}
    assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
    assert set(WORKER["resources"]["limits"]) == {"memory"}
    assert OBJECTS["Service"]["spec"]["type"] == "ClusterIP"
    sources = OBJECTS["NetworkPolicy"]["spec"]["ingress"][0]["from"]
    assert all(set(source) == {"podSelector"} for source in sources), "the REST interface has no login"
    assert all(source["podSelector"]["matchLabels"] for source in sources), "an empty selector is everybody"


def test_every_secret_of_the_chart_is_a_reference():
    assert set(ENVIRONMENT) >= SECRETS
    for name in (*SECRETS, "HEADWATER_KAFKA_USERNAME"):
        assert set(ENVIRONMENT[name]["valueFrom"]["secretKeyRef"]) >= {"name", "key"}, name
        assert "value" not in ENVIRONMENT[name]
    assert not [name for name, one in ENVIRONMENT.items() if "PASSWORD" in name and "value" in one]


def test_the_service_of_compose_may_do_nothing_that_it_need_not():
    assert "ports" not in COMPOSE, "the REST interface has no login"
    assert (COMPOSE["read_only"], COMPOSE["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in COMPOSE["security_opt"]
    given = COMPOSE["environment"]
    secrets = {name for name in given if name.endswith(("PASSWORD", "SECRET", "_KEY"))}
    assert secrets == {"HEADWATER_CAPTURE_PASSWORD"}, "no secret of the platform, ClickHouse, the lake or Airflow"
    made = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())["configs"]["databases"]["content"]
    assert f"CREATE ROLE {given['HEADWATER_CAPTURE_USER']} LOGIN REPLICATION PASSWORD :'capture';" in made
    assert given["HEADWATER_BIND_HOST"] == "0.0.0.0"  # noqa: S104
    assert given["HEADWATER_CONNECT_ADVERTISED_HOST"] == "connect"


def test_the_image_has_what_the_worker_runs():
    text = (PROJECT / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)
    assert stages[-1][1] == "headwater", "`docker build .` makes the last one"
    assert ("base", "connect") in stages
    stage = text.split("AS connect\n")[1].split("\nFROM ")[0]
    assert 'CMD ["python", "-m", "headwater.cdc"]' in stage
    assert "connect.SERVICE.downloads" in stage
    assert set(connect.SERVICE.downloads) >= {"kafka", "connect", "connect-avro", "connect-debezium"}
    assert COMPOSE["build"]["target"] == "connect"


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
def test_helm_itself_renders_the_chart():
    out = subprocess.run(["helm", "template", "cdc", str(CHART)], capture_output=True, text=True, check=True).stdout
    found = {one["kind"]: one for one in yaml.safe_load_all(out) if one}
    assert found == OBJECTS
