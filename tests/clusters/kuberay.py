"""The fields of KubeRay's RayJob and of Kubernetes that clusters/kubernetes.yaml may use, with their types.

KubeRay's definitions have far more fields. A field that is not written here is refused, so that a misspelt one is
found; a server may drop it silently.
"""

from __future__ import annotations

import re
from typing import Any

QUANTITY = re.compile(r"\d+(\.\d+)?(m|[KMGT]i?)?")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
VERSION = re.compile(r"2\.\d+\.\d+")
IMAGE = re.compile(r"[\w./-]+:[\w.-]+")
FOLDER = re.compile(r"/[\w/-]+")
TEXT = re.compile(r".+")
NUMBER = re.compile(r"\d+")

Form = Any  # a type, a pattern for texts, a set of values, {field: form}, {"*": form} for free keys, [form] for lists

RESOURCES: Form = {
    "requests": {"cpu": QUANTITY, "memory": QUANTITY, "storage": QUANTITY},
    "limits": {"cpu": QUANTITY, "memory": QUANTITY, "nvidia.com/gpu": int},
}

POD: Form = {
    "spec": {
        "securityContext": {"fsGroup": int},
        "tolerations": [{"key": TEXT, "operator": {"Exists", "Equal"}, "effect": {"NoSchedule", "NoExecute"}}],
        "containers": [
            {
                "name": NAME,
                "image": IMAGE,
                "resources": RESOURCES,
                "volumeMounts": [{"name": NAME, "mountPath": FOLDER}],
            }
        ],
        "volumes": [{"name": NAME, "persistentVolumeClaim": {"claimName": NAME}}],
    }
}

START: Form = {"num-cpus": NUMBER, "num-gpus": NUMBER, "object-store-memory": NUMBER}
"""KubeRay takes texts here, even for numbers."""

RAYJOB: Form = {
    "apiVersion": {"ray.io/v1"},
    "kind": {"RayJob"},
    "metadata": {"name": NAME},
    "spec": {
        "entrypoint": TEXT,
        "backoffLimit": int,
        "shutdownAfterJobFinishes": bool,
        "ttlSecondsAfterFinished": int,
        "rayClusterSpec": {
            "rayVersion": VERSION,
            "authOptions": {"mode": {"disabled", "token"}},
            "headGroupSpec": {"rayStartParams": START, "template": POD},
            "workerGroupSpecs": [
                {
                    "groupName": NAME,
                    "replicas": int,
                    "minReplicas": int,
                    "maxReplicas": int,
                    "rayStartParams": START,
                    "template": POD,
                }
            ],
        },
    },
}

CLAIM: Form = {
    "apiVersion": {"v1"},
    "kind": {"PersistentVolumeClaim"},
    "metadata": {"name": NAME},
    "spec": {
        "accessModes": [{"ReadWriteOnce", "ReadWriteMany"}],
        "resources": RESOURCES,
    },
}

REQUIRED = {
    "spec.entrypoint",
    "spec.rayClusterSpec.headGroupSpec.rayStartParams",
    "spec.rayClusterSpec.headGroupSpec.template.spec.containers",
    "spec.rayClusterSpec.workerGroupSpecs.0.groupName",
    "spec.rayClusterSpec.workerGroupSpecs.0.template.spec.containers",
}


def check_rayjob(job: Any) -> None:
    """Assert that a RayJob has only known fields of the right types, and all required ones."""
    missing = {path for path in REQUIRED if not _has(job, path)}
    assert not missing, f"missing: {missing}"
    _check(job, RAYJOB, "RayJob")


def check_claim(claim: Any) -> None:
    """Assert the same of a volume claim."""
    _check(claim, CLAIM, "PersistentVolumeClaim")


def _check(value: Any, form: Form, path: str) -> None:
    if isinstance(form, dict):
        assert isinstance(value, dict), f"{path}: a mapping was expected"
        unknown = value.keys() - form.keys()
        assert not unknown, f"{path}: unknown fields {sorted(unknown)}"
        for key, entry in value.items():
            _check(entry, form[key], f"{path}.{key}")
    elif isinstance(form, list):
        assert isinstance(value, list), f"{path}: a list was expected"
        assert value, f"{path}: is empty"
        for number, entry in enumerate(value):
            _check(entry, form[0], f"{path}.{number}")
    elif isinstance(form, set):
        assert value in form, f"{path}: {value!r} is none of {sorted(form)}"
    elif isinstance(form, re.Pattern):
        assert isinstance(value, str), f"{path}: a text was expected, not {value!r}"
        assert form.fullmatch(value), f"{path}: {value!r} is not of the form {form.pattern}"
    else:
        assert type(value) is form, f"{path}: {form.__name__} was expected, not {value!r}"


def _has(value: Any, path: str) -> bool:
    for key in path.split("."):
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError):
            return False
    return bool(value) or value == {}
