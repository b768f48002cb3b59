"""Makes a CounterCluster through the Kubernetes API and waits until it is Ready.

    python3 examples/deploy.py clicks --namespace default --replicas 3

Run again it changes what is there. Needs a kubeconfig (or a pod's service account) and the operator
in the cluster."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from kubernetes import client, config

GROUP, VERSION, PLURAL = "countercluster.io", "v1alpha1", "counterclusters"


def apply(api: client.CustomObjectsApi, namespace: str, name: str, spec: dict[str, Any]) -> None:
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "CounterCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    try:
        api.create_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, body)
        print(f"CounterCluster {namespace}/{name} created")
    except client.ApiException as error:
        if error.status != 409:
            raise
        api.patch_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name, {"spec": spec})
        print(f"CounterCluster {namespace}/{name} updated")


def wait_ready(
    api: client.CustomObjectsApi, namespace: str, name: str, timeout_s: float
) -> dict[str, Any]:
    """Returns the object once its Ready condition is true for the spec as it is now. Raises
    TimeoutError."""
    deadline = time.monotonic() + timeout_s
    said = ""
    while time.monotonic() < deadline:
        found: Any = api.get_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name)
        status = found.get("status", {})
        ready: dict[str, Any] = next(
            (c for c in status.get("conditions", []) if c["type"] == "Ready"), {}
        )
        if (
            ready.get("status") == "True"
            and status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        ):
            return dict(found)
        message = f"{ready.get('reason', 'no condition yet')}: {ready.get('message', '')}"
        if message != said:
            print(f"  waiting: {message}")
            said = message
        time.sleep(0.5)
    raise TimeoutError(
        f"CounterCluster {namespace}/{name} is not Ready after {timeout_s:g} s; {said}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Makes a CounterCluster and waits until it is Ready."
    )
    parser.add_argument("name", nargs="?", default="clicks")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--replicas", type=int, default=3, help="1 to 7 (default: 3)")
    parser.add_argument("--image", help="another image of the nodes than the operator's own choice")
    parser.add_argument("--timeout", type=float, default=180.0, metavar="S")
    options = parser.parse_args()

    config.load_config()
    api = client.CustomObjectsApi()
    spec: dict[str, Any] = {"replicas": options.replicas}
    if options.image:
        spec["image"] = options.image
    try:
        apply(api, options.namespace, options.name, spec)
        found = wait_ready(api, options.namespace, options.name, options.timeout)
    except client.ApiException as error:
        print(f"refused by the API server: {error.body or error.reason}", file=sys.stderr)
        return 1
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    status = found["status"]
    print(
        f"Ready: {status.get('readyReplicas')} of {options.replicas} nodes, leader "
        f"{status.get('leader')}"
    )
    address, scheme = (
        f"{options.name}.{options.namespace}.svc:6379",
        "rediss" if found["spec"]["tls"]["enabled"] else "redis",
    )
    print(
        f"in the cluster: {scheme}://{address}, with the password and the authority in the "
        f"Secret {options.name}-client (uri, password, ca.crt)"
    )
    print(
        f"from here: kubectl -n {options.namespace} port-forward service/{options.name} "
        f"6379:6379, and"
    )
    print(
        f"           python3 examples/redis_session.py --namespace {options.namespace} --secret "
        f"{options.name}-client --host localhost"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
