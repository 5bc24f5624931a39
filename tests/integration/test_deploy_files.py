"""The files of `deploy/` against the schemas of the programs that read them.

The schemas are the parts that our files use, strict about names: of the custom resource RayJob,
ray-operator/config/crd/bases/ray.io_rayjobs.yaml of KubeRay 1.4 with the pod of Kubernetes 1.33;
and of a task, https://docs.skypilot.co/en/latest/reference/yaml-spec.html (SkyPilot 0.10); and
of a workflow, https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax.
"""

import importlib.util
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from helpers.fake_runs import stopped
from helpers.paths import ROOT
from vit_keras import load_config
from vit_keras.runs import run_end

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema: pip install jsonschema")

DEPLOY = ROOT / "deploy"
TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def record(required, **properties):
    names = {"properties": properties, "required": required.split()}
    return {"type": "object", "additionalProperties": False, **names}


def listed(items):
    return {"type": "array", "items": items, "minItems": 1}


CONTAINER = record(
    "name image",
    name=TEXT,
    image=TEXT,
    resources=record("", limits=TEXTS, requests=TEXTS),
    volumeMounts=listed(record("name mountPath", name=TEXT, mountPath=TEXT)),
)
VOLUME = record("name", name=TEXT, persistentVolumeClaim=record("claimName", claimName=TEXT))
POD = record(
    "spec", spec=record("containers", containers=listed(CONTAINER), volumes=listed(VOLUME))
)
WORKERS = record(
    "groupName template",
    groupName=TEXT,
    **dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), COUNT),
    rayStartParams=TEXTS,
    template=POD,
)
RAY_JOB = record(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata={"type": "object"},
    spec=record(
        "entrypoint rayClusterSpec",
        entrypoint=TEXT,
        backoffLimit=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        rayClusterSpec=record(
            "headGroupSpec",
            rayVersion=TEXT,
            headGroupSpec=record("template", rayStartParams=TEXTS, template=POD),
            workerGroupSpecs=listed(WORKERS),
        ),
    ),
)
SKY_TASK = record(
    "",
    **dict.fromkeys(("name", "workdir", "setup", "run"), TEXT),
    num_nodes=COUNT,
    resources=record(
        "",
        accelerators=TEXT,
        use_spot={"type": "boolean"},
        job_recovery=record("", strategy=TEXT, max_restarts_on_errors=COUNT),
    ),
    envs=TEXTS,
    volumes=TEXTS,
)

STEP = record(
    "",
    **dict.fromkeys(("name", "run", "uses", "if"), TEXT),
    **{"with": {"type": "object"}, "env": TEXTS},
)
WORKFLOW = record(
    "name on jobs",
    name=TEXT,
    on=record("schedule", schedule=listed(record("cron", cron=TEXT)), workflow_dispatch={}),
    permissions=TEXTS,
    concurrency=record("group", **{"group": TEXT, "cancel-in-progress": {"type": "boolean"}}),
    jobs={
        "type": "object",
        "additionalProperties": record(
            "runs-on steps",
            **{"runs-on": TEXT, "timeout-minutes": COUNT, "env": TEXTS, "steps": listed(STEP)},
        ),
    },
)


def content(name):
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.mark.parametrize(
    ("name", "schema"), [("rayjob.yaml", RAY_JOB), ("skypilot.yaml", SKY_TASK)]
)
def test_a_file_has_the_schema_of_its_program(name, schema):
    jsonschema.validate(content(name), schema)


def workflow():
    found = content("retrain.yaml")
    found["on"] = found.pop(True)  # which YAML 1.1 takes for a boolean, and GitHub does not
    return found


def test_the_workflow_has_the_schema_of_github():
    jsonschema.validate(workflow(), WORKFLOW)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_workflow_runs_the_pipeline_in_its_folder_on_a_schedule(tmp_path):
    found = workflow()
    assert all(len(one["cron"].split()) == 5 for one in found["on"]["schedule"])
    assert found["concurrency"]["cancel-in-progress"] is False  # a training would be lost
    [job] = found["jobs"].values()
    [script] = [step["run"] for step in job["steps"] if "run" in step]
    command = tmp_path / "vit-keras"
    command.write_text('#!/bin/bash\necho "$PWD $@"; exit 1\n')
    command.chmod(0o755)
    checkout, folder = tmp_path / "checkout", tmp_path / "folder"
    for place in (checkout, folder):
        place.mkdir()
    (checkout / "pipeline.yaml").write_text("name: signs")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "FOLDER": str(folder)}
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True
    )
    assert done.stdout == f"{folder} pipeline pipeline.yaml\n", done.stderr
    assert done.returncode == 1  # as of a challenger that is refused
    assert (folder / "pipeline.yaml").read_text() == "name: signs"


def test_the_job_of_kubernetes_asks_for_what_its_machines_have():
    spec = content("rayjob.yaml")["spec"]
    words = shlex.split(spec["entrypoint"])
    asked = {name: int(words[words.index(name) + 1]) for name in ("--workers", "--gpus", "--cpus")}
    [group] = spec["rayClusterSpec"]["workerGroupSpecs"]
    [container] = group["template"]["spec"]["containers"]
    limits = container["resources"]["limits"]
    gpus = group["replicas"] * int(limits["nvidia.com/gpu"])
    assert asked["--workers"] * asked["--gpus"] == gpus
    assert asked["--workers"] * asked["--cpus"] <= group["replicas"] * int(limits["cpu"])
    config = load_config("data=digits", *[word for word in words if word.startswith("train.")])
    assert config.train.batch_size % gpus == 0
    for template in (group["template"], spec["rayClusterSpec"]["headGroupSpec"]["template"]):
        [mount] = template["spec"]["containers"][0]["volumeMounts"]
        assert [mount["name"]] == [volume["name"] for volume in template["spec"]["volumes"]]
        assert any(word.startswith(f"run.dir={mount['mountPath']}/") for word in words)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_task_of_skypilot_starts_the_process_of_each_machine(tmp_path, monkeypatch):
    task = content("skypilot.yaml")
    command = tmp_path / "vit-keras"
    command.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    command.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        **task["envs"],
        "SETTINGS": "train.epochs=3",
        "SKYPILOT_TASK_ID": "sky-1",
        "SKYPILOT_NUM_NODES": str(task["num_nodes"]),
        "SKYPILOT_NODE_RANK": "1",
        "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
    }

    def words():
        text = task["run"].replace("/shared/", f"{tmp_path}/")
        done = subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[1:]

    run = tmp_path / "runs" / "sky-1"
    started = words()
    assert started[0] == f"run.dir={run}"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    config = load_config("data=digits", *started)
    assert (config.distribute.processes, config.distribute.process_id) == (2, 1)
    assert config.distribute.coordinator == "10.0.0.1:7117"
    stopped(run, 1)
    assert words()[0] == f"run.resume={run}"


@pytest.fixture(scope="module")
def ray_train():
    spec = importlib.util.spec_from_file_location("ray_train", DEPLOY / "ray_train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_workers_of_ray_go_on_with_a_run_that_was_begun(ray_train, tmp_path):
    words = ["train.epochs=2", "distribute.devices=1"]
    run = tmp_path / "run"
    assert ray_train.run_words(run, words) == [*words, f"run.dir={run}"]
    stopped(run, 1)
    assert ray_train.run_words(run, words) == ["distribute.devices=1", f"run.resume={run}"]
    run_end.write_end(run, run_end.FINISHED, "")
    assert ray_train.run_words(run, words) == []


def test_ray_train_needs_the_folder_of_the_run():
    command = [sys.executable, DEPLOY / "ray_train.py", "recipe=digits"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "run.dir=/shared/run" in done.stderr.splitlines()[-1]
