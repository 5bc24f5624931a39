"""The images and manifests of a service: schemas, what they promise each other, and a real build.

The build needs buildah, and an image of Debian with Python to start from; see `base_image`.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from PIL import Image

from helpers.paths import ROOT
from helpers.waiting import PATIENCE, answers, until
from vit_keras.serving.client import Client
from vit_keras.serving.options import ServiceOptions

kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="needs kubernetes-validate: pip install kubernetes-validate"
)

DEPLOY = ROOT / "deploy"
MANIFESTS = [
    document
    for file in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
]
DEPLOYMENT = next(one for one in MANIFESTS if one["kind"] == "Deployment")
POD = DEPLOYMENT["spec"]["template"]["spec"]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: one["kind"])
def test_a_manifest_has_the_schema_of_kubernetes(manifest):
    kubernetes_validate.validate(manifest, "1.37", strict=True)


@pytest.mark.parametrize(
    ("schema", "file"),
    [("compose-spec", DEPLOY / "compose.yaml")]
    + [("github-workflows", DEPLOY / "retrain.yaml")]
    + [("github-workflows", file) for file in (ROOT / ".github/workflows").glob("*.y*ml")],
    ids=lambda one: one if isinstance(one, str) else one.name,
)
def test_a_file_has_the_schema_of_its_program(schema, file):
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_cluster_selects_is_what_it_starts():
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    by_kind = {one["kind"]: one["spec"] for one in MANIFESTS}
    assert by_kind["Service"]["selector"].items() <= labels.items()
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert by_kind[kind]["selector"]["matchLabels"].items() <= labels.items()
    assert by_kind["NetworkPolicy"]["podSelector"]["matchLabels"].items() <= labels.items()
    target = by_kind["HorizontalPodAutoscaler"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", DEPLOYMENT["metadata"]["name"])


def test_a_pod_ends_later_than_what_it_has_begun():
    [container] = POD["containers"]
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] > waits + ServiceOptions().timeout + 1


def test_nothing_has_more_rights_than_it_needs():
    [container] = POD["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["securityContext"]["runAsNonRoot"]
    users = set(re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE))
    assert users == {str(POD["securityContext"]["runAsUser"])}
    serve = COMPOSE["services"]["serve"]
    assert serve["read_only"]
    assert serve["cap_drop"] == ["ALL"]
    published = [port for one in COMPOSE["services"].values() for port in one.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_probes_ask_what_the_service_answers():
    app = pytest.importorskip("vit_keras.serving.app", reason="needs the extra `serve`")
    [container] = POD["containers"]
    asked = {
        container[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    asked |= set(re.findall(r"127\.0\.0\.1:8000(/\w+)", DOCKERFILE))
    assert asked == {"/healthz", "/readyz"}
    source = Path(app.__file__).read_text(encoding="utf-8")
    assert all(f'@app.get("{path}"' in source for path in asked)
    assert container["ports"] == [{"name": "http", "containerPort": 8000}]


# Imports what a service imports while other packages cannot be imported.
SERVE = """
import sys
from importlib.machinery import PathFinder
absent = set(sys.argv[1].split())
class Present(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else super().find_spec(name, path, target)
sys.meta_path[:] = [Present if finder is PathFinder else finder for finder in sys.meta_path]
import vit_keras.cli.main
import vit_keras.cli.serve
import vit_keras.registry.models
import vit_keras.serving.app
import vit_keras.serving.served_model
import mlflow, onnxruntime, uvicorn
from vit_keras.tracking import store
store.client("http://127.0.0.1:9")
"""


def needed(names):
    """The distributions with these names, and all that they need."""
    found, left = set(), set(names)
    while left:
        name = left.pop()
        found.add(re.sub("[-_.]+", "-", name).lower())
        for requirement in map(Requirement, metadata.requires(name) or ()):
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": ""}):
                left |= {re.sub("[-_.]+", "-", requirement.name).lower()} - found
    return found


def test_the_service_imports_nothing_that_its_image_lacks():
    pytest.importorskip("mlflow", reason="needs the extra `tracking`")
    names = (DEPLOY / "serve-packages.txt").read_text().splitlines()
    packages = needed(name for name in names if not name.startswith("#"))
    absent = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not packages & {re.sub("[-_.]+", "-", owner).lower() for owner in owners}
    }
    done = subprocess.run(
        [sys.executable, "-c", SERVE, " ".join(absent - {"vit_keras"})],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not {"keras", "tensorflow", "jax"} & packages


@pytest.fixture(scope="session")
def base_image():
    """Debian's Python as `localhost/debian-python`: VIT_KERAS_BASE_IMAGE names another one."""
    if shutil.which("buildah") is None:
        pytest.skip("needs buildah: apt-get install buildah")
    name = os.environ.get("VIT_KERAS_BASE_IMAGE")
    if name is None:
        pytest.skip("set VIT_KERAS_BASE_IMAGE to an image with Python; see docs/guides/deploy.md")
    return name


def buildah(*words):
    environment = {"BUILDAH_ISOLATION": "chroot", **os.environ}
    done = subprocess.run(
        ["buildah", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


# As a container runtime starts it: another user without any right, and nothing can be written.
START = """
set -e
mount --bind "$1" "$1"
mount --bind "$2" "$1/model"
mount -o remount,ro,bind "$1/model"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/tmp"
mount -t tmpfs tmpfs "$1/dev"
mknod -m 666 "$1/dev/null" c 1 3
mknod -m 666 "$1/dev/urandom" c 1 9
mount -o remount,ro,bind "$1"
exec chroot "$1" setpriv --reuid 10001 --regid 10001 --clear-groups --bounding-set=-all \
    --inh-caps=-all --no-new-privs /usr/bin/env -i PATH=/opt/venv/bin:/usr/bin:/bin HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache vit-keras serve /model --port 8321
"""


@pytest.mark.slow
def test_the_built_image_answers_without_any_right(base_image, tmp_path):
    from helpers.exported_runs import exported_digits

    if os.geteuid() != 0:
        pytest.skip("mounts file systems, as root")
    mounts = [
        word
        for path in ("/etc/ssl/certs", "/etc/pip.conf")
        if os.path.exists(path)
        for word in ("--volume", f"{path}:{path}:ro")
    ]
    arguments = ["--build-arg", f"BASE={base_image}", "--layers", "--format", "docker", *mounts]
    buildah(
        "bud",
        "--target",
        "serve",
        "--tag",
        "vit-keras-serve",
        *arguments,
        "-f",
        DEPLOY / "Dockerfile",
        ".",
    )
    container = buildah("from", "vit-keras-serve")
    try:
        root = buildah("mount", container)
        Path(root, "model").mkdir()
        run = exported_digits(tmp_path)
        command = ["unshare", "--mount", "bash", "-c", START, "start", root, run]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
            wait_until_ready("http://127.0.0.1:8321/readyz", service)
            status = Path(f"/proc/{service.pid}/status").read_text()
            assert re.search(r"^Uid:\t10001", status, re.MULTILINE)
            assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
            Image.new("L", (8, 8)).save(tmp_path / "black.png")
            [found] = Client("http://127.0.0.1:8321").predict([tmp_path / "black.png"])
            assert found["top"]
            service.terminate()
            # By the signal itself, which uvicorn raises again when all is answered.
            assert service.wait(PATIENCE) == -signal.SIGTERM
    finally:
        buildah("rm", container)


def wait_until_ready(url, service):
    def is_ready():
        assert service.poll() is None, service.stderr.read()
        return answers(url)

    until(is_ready)
