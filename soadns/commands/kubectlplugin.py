"""``kubectl soadns VERB ...``: the command line of a laptop, answered by a replica in the cluster.

kubectl runs the program ``kubectl-soadns`` that it finds on the path. That looks for a replica that is ready, has
kubectl forward a port of this host to its API, and runs the verb with ``--url``. Whatever takes credentials is
kubectl's: what it may not, this may not either.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from soadns.cli import main as verb_main
from soadns.commands import arguments
from soadns.commands.console import UNREACHABLE, USAGE, fail

SELECTOR = "app.kubernetes.io/name=soadns"
"""As the chart labels its pods."""
NAMESPACE = "soadns"
API_PORT = 8053
FORWARDED_S = 30.0
"""How long kubectl may take until it forwards."""
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> ")


class PluginError(Exception):
    """No replica can be asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where replicas are, in kubectl's words."""

    namespace: str
    selector: str
    pod: str
    port: int
    kubectl: tuple[str, ...]
    """kubectl, with the options that say which cluster."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb against a replica; returns the verb's exit status, or 3 where no replica can be asked."""
    parser = _parser()
    options = parser.parse_args(argv)
    if not options.verb:
        parser.print_help()
        return USAGE
    if "--url" not in _options_of(options.verb[0]):
        return fail(
            USAGE, f"{options.verb[0]} asks no running soadns; the verbs that do: {', '.join(asking())}"
        )
    if any(word == "--url" or word.startswith("--url=") for word in options.verb):
        return fail(USAGE, "--url is what kubectl soadns is for: it finds a replica by itself")
    cluster = [f"--{name}={value}" for name in ("kubeconfig", "context") if (value := getattr(options, name))]
    target = Target(options.namespace, options.selector, options.pod, options.api_port, ("kubectl", *cluster))
    try:
        with forwarded(target, target.pod or ready_pod(target)) as url:
            return verb_main([*options.verb, "--url", url])
    except PluginError as error:
        return fail(UNREACHABLE, str(error))


def asking() -> list[str]:
    """The verbs that ask a running soadns."""
    return [verb.name for verb in arguments.VERBS if "--url" in _options_of(verb.name)]


def _options_of(name: str) -> set[str]:
    return {
        text
        for verb in arguments.VERBS
        if verb.name == name
        for option in verb.options
        for text in option.names
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubectl soadns",
        description="Ask a replica of soadns in the cluster. VERB and what follows it are soadns's own.",
        epilog="examples:\n  kubectl soadns explain com.alipay.user.UserService\n"
        "  kubectl soadns --context prod --namespace names list --conflicts",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-n", "--namespace", default=NAMESPACE, help="of the replicas (%(default)s)")
    parser.add_argument("-l", "--selector", default=SELECTOR, help="labels of the replicas (%(default)s)")
    parser.add_argument("--pod", default="", help="this replica, ready or not")
    parser.add_argument(
        "--api-port", type=int, default=API_PORT, metavar="PORT", help="of their http.listen (%(default)s)"
    )
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="kubectl's")
    parser.add_argument("--context", default="", metavar="NAME", help="kubectl's")
    parser.add_argument("verb", nargs=argparse.REMAINDER, metavar="VERB ...", help="what soadns is asked")
    return parser


def ready_pod(target: Target) -> str:
    """The name of a replica that is ready. Raises PluginError."""
    command = [
        *target.kubectl,
        "get",
        "pods",
        f"--namespace={target.namespace}",
        f"--selector={target.selector}",
    ]
    done = _run([*command, "--output=json"])
    if done.returncode:
        raise PluginError(f"kubectl can not list pods: {done.stderr.strip()}")
    pods = sorted(json.loads(done.stdout)["items"], key=lambda pod: pod["metadata"]["name"])
    if not pods:
        where = f"{target.selector} in namespace {target.namespace}"
        raise PluginError(f"there is no pod with {where}. Name others with --namespace, --selector")
    found = [pod["metadata"]["name"] for pod in pods if _is_ready(pod)]
    if not found:
        said = ", ".join(
            f"{pod['metadata']['name']} ({pod['status'].get('phase', 'unknown')})" for pod in pods
        )
        raise PluginError(f"no replica is ready: {said}. To ask one of them all the same: --pod NAME")
    return str(found[0])


def _is_ready(pod: dict[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod["status"].get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@contextlib.contextmanager
def forwarded(target: Target, pod: str) -> Iterator[str]:
    """The URL by which a replica's API is reached from here, as long as the context lasts. Raises PluginError."""
    command = [*target.kubectl, "port-forward", f"--namespace={target.namespace}", "--address=127.0.0.1"]
    try:
        process = subprocess.Popen(  # noqa: S603 - kubectl, with what its user typed
            [*command, f"pod/{pod}", f":{target.port}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    except OSError as error:
        raise PluginError(f"kubectl can not be run: {error.strerror}") from None
    # Neither a kubectl that says nothing nor one that says much keeps anybody waiting.
    late = threading.Timer(FORWARDED_S, process.kill)
    late.start()
    try:
        assert process.stdout is not None
        found = next(filter(None, map(_FORWARDING.match, process.stdout)), None)
        late.cancel()
        if found is None:
            _, said = process.communicate()
            raise PluginError(f"kubectl does not forward to {pod}: {said.strip() or 'it said nothing'}")
        # It says a line for each connection, and stops when nobody reads them.
        threading.Thread(target=deque, args=(process.stdout, 0), daemon=True).start()
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        late.cancel()
        process.terminate()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - likewise
    except OSError as error:
        raise PluginError(f"kubectl can not be run: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
