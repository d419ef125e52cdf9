"""What .ci/kubernetes does, once its tools are there. `--write` renews what is made from others."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import kubernetes_validate
import yaml

VERSIONS = ["1.30", "1.32", "1.34", "1.37"]
ROOT = pathlib.Path("kubernetes")
LAPSED = pathlib.Path(os.environ.get("LAPSED", "target/debug/lapsed")).resolve()
SERVER = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432")
RULE = ROOT / "monitoring/prometheusrule.yaml"
RULE_HEAD = """# Made from monitoring/alerts.yaml by `.ci/kubernetes --write`; change that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: lapsed
spec:
"""


def rule():
    alerts = pathlib.Path("monitoring/alerts.yaml").read_text()
    body = alerts[alerts.index("groups:"):].splitlines()
    return RULE_HEAD + "".join(f"  {line}\n" if line else "\n" for line in body)


def build(folder):
    made = subprocess.run(["kubectl", "kustomize", folder], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(made.stdout))


def with_monitoring():
    """The daemon with its alerts, as the comment in its kustomization says."""
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        text = {"resources": ["../daemon"], "components": ["../monitoring"], "namespace": "lapsed"}
        (pathlib.Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(text))
        return build(folder)


def check_form(name, manifests):
    for version in VERSIONS:
        for manifest in manifests:
            if "monitoring.coreos.com" in manifest["apiVersion"]:
                continue  # Its schema belongs to the operator.
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                what = f"{manifest['kind']}/{manifest['metadata']['name']}"
                raise SystemExit(f"{name}: {what} is wrong for {version}: {error.message}")


def pods(manifests):
    for manifest in manifests:
        spec = manifest.get("spec", {})
        if manifest["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield manifest, spec["template"]["spec"]


KINDS = {
    "daemon": {"Namespace", "ServiceAccount", "NetworkPolicy", "ConfigMap", "Deployment", "Service",
               "PodDisruptionBudget"},
    "cronjob": {"Namespace", "ServiceAccount", "NetworkPolicy", "ConfigMap", "CronJob"},
}
KINDS["daemon with monitoring"] = KINDS["daemon"] | {"ServiceMonitor", "PrometheusRule"}


def check_whole(name, manifests):
    """That everything is there, and that what chooses by labels finds what it is meant for."""
    assert {manifest["kind"] for manifest in manifests} == KINDS[name], name
    labels = {manifest["kind"]: manifest["metadata"].get("labels", {}) for manifest in manifests}
    for manifest, pod in pods(manifests):
        labels["Pod"] = (manifest["spec"].get("jobTemplate", manifest)["spec"]["template"]["metadata"]["labels"])
        assert 2 <= manifest["spec"].get("replicas", 2) <= 4, "replicas"
        # Secrets are files.
        for container in pod["containers"]:
            assert all("value" in entry for entry in container["env"]) and "envFrom" not in container, name
    chosen = {"Service": "Pod", "PodDisruptionBudget": "Pod", "ServiceMonitor": "Service"}
    for manifest in manifests:
        if (kind := manifest["kind"]) in chosen:
            selector = manifest["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            assert selector.items() <= labels[chosen[kind]].items(), f"{name}: {kind} chooses nothing"
        if kind == "ServiceMonitor":
            (service,) = [one for one in manifests if one["kind"] == "Service"]
            ports = {port["name"] for port in service["spec"]["ports"]}
            assert {endpoint["port"] for endpoint in manifest["spec"]["endpoints"]} <= ports, name
        if kind == "NetworkPolicy" and manifest["spec"]["podSelector"]:
            assert manifest["spec"]["podSelector"]["matchLabels"].items() <= labels["Pod"].items(), name


def check_restricted(name, manifests):
    """The Pod Security Standard `restricted`, and that no token of the cluster is at hand."""
    for _, pod in pods(manifests):
        around = pod["securityContext"]
        assert around["runAsNonRoot"] and around["runAsUser"] != 0, name
        assert around["seccompProfile"]["type"] == "RuntimeDefault", name
        assert pod["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        for volume in pod["volumes"]:
            assert volume.keys() <= {"name", "configMap", "secret", "emptyDir"}, volume
        for container in pod["containers"]:
            inside = container["securityContext"]
            assert inside["allowPrivilegeEscalation"] is False, name
            assert inside["readOnlyRootFilesystem"] is True, name
            assert inside["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
            ports = [port for port in container.get("ports", []) if "hostPort" in port]
            assert not ports, name


def psql(statement, database="postgres"):
    """By the program itself there is no way to make a database, and a client may be missing."""
    subprocess.run(["psql", "-q", f"{SERVER}/{database}", "-c", statement], check=True)


class Played:
    """A container as its pod would start it: the files of its volumes, its environment, its
    arguments. Paths lie below a folder, and the database and the mail server are others."""

    def __init__(self, manifests, pod, folder, database):
        (self.container,) = pod["containers"]
        root = pathlib.Path(folder)
        mounts = {mount["name"]: mount["mountPath"] for mount in self.container["volumeMounts"]}
        for volume in pod["volumes"]:
            place = root / mounts[volume["name"]].lstrip("/")
            place.mkdir(parents=True)
            if "configMap" in volume:
                (found,) = [m for m in manifests if m["kind"] == "ConfigMap"
                            and m["metadata"]["name"] == volume["configMap"]["name"]]
                for file, text in found["data"].items():
                    text = text.replace("/run/secrets/", f"{root}/run/secrets/")
                    (place / file).write_text(text)
            else:
                for file in ["database-password", "smtp-password", "master-key"]:
                    (place / file).write_text("5a" * 32)
                    (place / file).chmod(volume["secret"]["defaultMode"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        given = {entry["name"]: entry["value"] for entry in self.container["env"]}
        self.env = {
            name: value.replace("/etc/lapsed", f"{root}/etc/lapsed") for name, value in given.items()
        } | {
            "LAPSED_DATABASE__URL": f"{SERVER}/{database}",
            "LAPSED_HTTP__LISTEN": f"127.0.0.1:{self.port}",
            "LAPSED_SMTP__HOST": "127.0.0.1",
        }

    def start(self, *args):
        command = [LAPSED, *(args or self.container["args"])]
        # Nothing but what the pod gives, and nowhere to write.
        return subprocess.Popen(command, env=self.env, cwd="/", stderr=subprocess.PIPE, text=True)

    def answers(self, probe):
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        get = self.container[probe]["httpGet"]
        assert ports[get["port"]] == 8470
        until = time.monotonic() + 60
        while True:
            try:
                url = f"http://127.0.0.1:{self.port}{get['path']}"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    assert answer.status == 200
                    return
            except OSError as error:
                if until < time.monotonic():
                    raise SystemExit(f"{probe}: {url}: {error}")
                time.sleep(0.05)


def play(manifests):
    for manifest, pod in pods(manifests):
        database = f"lapsed_kubernetes_{os.getpid()}"
        psql(f"CREATE DATABASE {database}")
        try:
            with tempfile.TemporaryDirectory() as folder:
                played = Played(manifests, pod, folder, database)
                check = played.start("config", "check")
                _, said = check.communicate(timeout=60)
                assert check.returncode == 0, said
                process = played.start()
                if manifest["kind"] == "Deployment":
                    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
                        played.answers(probe)
                    process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=pod["terminationGracePeriodSeconds"])
                assert process.returncode == 0, said
                print(f"{manifest['kind']}: `lapsed {' '.join(played.container['args'])}` played")
        finally:
            psql(f"DROP DATABASE {database} WITH (FORCE)")


if "--write" in sys.argv:
    RULE.write_text(rule())
if RULE.read_text() != rule():
    raise SystemExit(f"{RULE} is not as monitoring/alerts.yaml: run `.ci/kubernetes --write`")
overlays = {name: build(ROOT / name) for name in ["daemon", "cronjob"]}
overlays["daemon with monitoring"] = with_monitoring()
for name, manifests in overlays.items():
    check_whole(name, manifests)
    check_form(name, manifests)
    check_restricted(name, manifests)
for name in ["daemon", "cronjob"]:
    play(overlays[name])
print(f"kubernetes: {sum(map(len, overlays.values()))} manifests are in order for {', '.join(VERSIONS)}")
