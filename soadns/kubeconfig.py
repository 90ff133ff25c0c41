"""Where an API server is and who asks it: a kubeconfig or the pod's service account, read by ``kubernetes.aio``.

A kubeconfig may have others asked for credentials: a program (``exec``, the ``cmd-path`` of gcp) or an OIDC issuer.
Either may hang, so that all of it has an end, after which it is said what did not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import traceback
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config
from kubernetes.aio.config.kube_config import KubeConfigLoader

from soadns import yamlfile

CREDENTIALS_S = 30.0
"""Seconds until whatever gives credentials must have answered."""


class KubeConfigError(ValueError):
    """The kubeconfig or the service account can not be used; the message says which and why."""


async def load(kubeconfig: str, context: str) -> Any:
    """A client of the API server with credentials of this moment.

    :param kubeconfig: path of a kubeconfig file; ``''`` takes the pod's service account.
    :param context: context of the kubeconfig; ``''`` takes its current one.
    :raises KubeConfigError: naming the file and what is wrong with it.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = 0  # every watch holds a connection: no limit
    try:
        if kubeconfig:
            await _read(kubeconfig, context, configuration)
        else:
            load_incluster_config(client_configuration=configuration)
        return ApiClient(configuration)
    except yamlfile.YamlError as error:
        raise KubeConfigError(str(error)) from None
    except KubeConfigError:
        raise
    except (
        ConfigException, aiohttp.ClientError, OSError, ValueError, LookupError, TypeError, AttributeError,
    ) as error:  # fmt: skip
        # The loader raises the last three for files of another shape.
        said = str(error).rstrip(".")
        if isinstance(error, OSError) and not isinstance(error, aiohttp.ClientError):
            said = error.strerror or said
        hint = "" if kubeconfig else "; outside a pod set kubernetes[].kubeconfig to a file"
        where = kubeconfig or "in-cluster configuration"
        raise KubeConfigError(f"{where}: {said or type(error).__name__}{hint}") from error


async def _read(kubeconfig: str, context: str, configuration: Configuration) -> None:
    with open(kubeconfig, "rb") as file:  # noqa: ASYNC230 - a small file
        documents = yamlfile.load_all(file.read(), where=kubeconfig)
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise KubeConfigError(f"{kubeconfig}: not a kubeconfig (one YAML mapping is needed)")
    config: dict[str, Any] = documents[0]
    loader = KubeConfigLoader(
        config_dict=config,
        active_context=context or None,
        config_base_path=os.path.dirname(os.path.abspath(kubeconfig)),  # noqa: ASYNC240 - no I/O
    )
    try:
        async with asyncio.timeout(CREDENTIALS_S):
            try:
                await loader.load_and_set(configuration)
            except asyncio.CancelledError as error:
                _end_processes(error)
                raise
    except TimeoutError:
        giver = _giver(config, context)
        raise KubeConfigError(
            f"{kubeconfig}: {giver} gave no credentials within {CREDENTIALS_S:g} s"
        ) from None


def _giver(config: dict[str, Any], context: str) -> str:
    """Who is asked for the credentials of a kubeconfig that was understood, for people."""
    with contextlib.suppress(LookupError, TypeError, AttributeError, StopIteration):
        chosen = context or config["current-context"]
        name = next(each["context"]["user"] for each in config["contexts"] if each["name"] == chosen)
        user = next(each["user"] for each in config["users"] if each["name"] == name)
        if provider := user.get("auth-provider"):
            given = provider.get("config") or {}
            return str(given.get("cmd-path") or given.get("idp-issuer-url") or provider["name"])
        return str(user["exec"]["command"])
    return "its user"


def _end_processes(error: asyncio.CancelledError) -> None:
    """End what the loader has started and was waiting for: it leaves it running, and hands it to nobody."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, asyncio.subprocess.Process) and value.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    value.kill()
