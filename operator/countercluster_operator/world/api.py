"""The one Kubernetes client: the official one, its asynchronous face, reduced to the few verbs that
the operator may use.

At most `AT_ONCE` requests are under way: an API server answers one client's requests in turn, and
more of them would only make each wait longer, until it is given up. The Lease and the question
whether the API server is there (`urgent`) wait for nobody."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import ResourceNotFoundError

from countercluster_operator import names

TIMEOUT_S = 15
"""From when a request is sent."""
AT_ONCE = 32
PAGE, FEW = 500, 20
"""Objects of one answer to a list; and where tenants decide how large each is, up to 1.5 MB: 120
Secrets of 0.9 MB took 521 MiB within seconds of a start when they were read in one."""
UNREACHABLE = (ApiException, aiohttp.ClientError, OSError, TimeoutError)
"""What a call may raise when there is nothing wrong with this program."""
MISSING_S = 60.0
"""After this a kind that the API server did not have is asked for again."""


TERMINATING = "NamespaceTerminating"
"""The API server's cause when it takes nothing new into a namespace that is being deleted."""


def is_terminating(error: ApiException) -> bool:
    """The namespace is being deleted: that is no failure, and no refusal."""
    details = (_status_of(error) or {}).get("details") or {}
    return error.status == 403 and any(
        cause.get("reason") == TERMINATING for cause in details.get("causes") or []
    )


def _status_of(error: ApiException) -> dict[str, Any] | None:
    """The Status object by which the API server itself answers; None for what is only a page."""
    try:
        found = json.loads(error.body or "")
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None


Page = list[dict[str, Any]]
Keys = list[tuple[str, str]]
"""Namespaces and names."""


class TooMuch(Exception):
    """A list is longer than what is read of it."""


class UnknownKind(Exception):
    """The API server does not have this kind: its CustomResourceDefinition is not installed."""


class Kubernetes:
    def __init__(
        self,
        api: client.ApiClient,
        dynamic: Any,
        may_write: Callable[[], None] = lambda: None,
        places: asyncio.Semaphore | None = None,
    ) -> None:
        """`may_write` is asked right before each write and raises where there must be none.
        `places`: for requests under way; None: at once."""
        self._places = places
        self._api = api
        self._dynamic = dynamic
        self._resources: dict[tuple[str, str], Any] = {}
        self._missing: dict[tuple[str, str], float] = {}  # kinds that were not there, and when
        self._discovery = (
            asyncio.Lock()
        )  # a search in vain makes the discoverer forget everything for a moment
        self.may_write = may_write
        self.calls: Counter[str] = Counter()  # by verb

    def guarded(self, may_write: Callable[[], None]) -> Kubernetes:
        """The same client, with another opinion on writing."""
        return self._like(Kubernetes(self._api, self._dynamic, may_write, self._places))

    def urgent(self) -> Kubernetes:
        """The same client, whose requests wait for no others."""
        return self._like(Kubernetes(self._api, self._dynamic, self.may_write))

    def _like(self, other: Kubernetes) -> Kubernetes:
        other._resources, other._missing, other._discovery, other.calls = (
            self._resources,
            self._missing,
            self._discovery,
            self.calls,
        )
        return other

    @contextlib.asynccontextmanager
    async def _sent(self) -> AsyncIterator[None]:
        """In its turn, and with an end."""
        async with self._places or contextlib.nullcontext(), asyncio.timeout(TIMEOUT_S):
            yield

    @classmethod
    async def connect(cls, kubeconfig: str | None = None) -> Kubernetes:
        """In a pod by its ServiceAccount, else by `kubeconfig`, else by KUBECONFIG as it was when
        the program began."""
        try:
            config.load_incluster_config()
        except config.ConfigException:
            await config.load_kube_config(kubeconfig)
        api = client.ApiClient()
        try:
            return cls(api, await DynamicClient(api), places=asyncio.Semaphore(AT_ONCE))
        except BaseException:
            await api.close()
            raise

    async def close(self) -> None:
        await self._api.close()

    async def _resource(self, api_version: str, kind: str) -> Any:
        """Raises UnknownKind, at once when it was not there a minute ago: to ask for it means to
        ask for everything."""
        key = (api_version, kind)
        if key in self._resources:
            return self._resources[key]
        async with self._discovery:
            if time.monotonic() - self._missing.get(key, -MISSING_S) < MISSING_S:
                raise UnknownKind(f"{api_version} {kind}")
            try:
                self._resources[key] = await self._dynamic.resources.get(
                    api_version=api_version, kind=kind
                )
            except ResourceNotFoundError:
                self._missing[key] = time.monotonic()
                raise UnknownKind(f"{api_version} {kind}") from None
        return self._resources[key]

    async def clock(self) -> tuple[float, float] | None:
        """The API server's time in ms since 1970, and by how many ms it may be off; None when it
        does not tell. Its header has whole seconds."""
        self.calls["get"] += 1
        began = time.monotonic()
        async with self._sent():
            answer = await client.VersionApi(self._api).get_code_with_http_info()
        half_ms = (time.monotonic() - began) * 500
        headers = {str(k).lower(): v for k, v in dict(answer.headers or {}).items()}
        try:
            served = email.utils.parsedate_to_datetime(headers["date"])
        except (KeyError, TypeError, ValueError):
            return None
        return served.timestamp() * 1000 + 500 + half_ms, 500 + half_ms

    async def get(
        self, api_version: str, kind: str, namespace: str | None, name: str
    ) -> dict[str, Any] | None:
        self.calls["get"] += 1
        try:
            resource = await self._resource(api_version, kind)
        except UnknownKind:
            return None
        try:
            async with self._sent():
                found = await self._dynamic.get(resource, name=name, namespace=namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return _plain(found)

    async def list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None,
        selector: dict[str, str],
        *,
        fields: str | None = None,
        cached: bool = False,
        most_bytes: int = 0,
    ) -> list[dict[str, Any]]:
        """Without a namespace those of all; in pages. `fields`: a field selector. `cached`: from
        the API server's memory, which may be a little behind, and costs etcd nothing; in one
        answer. Raises TooMuch where it is more than `most_bytes` (0: no bound), and reads no
        further."""
        how: dict[str, Any] = {"resource_version": "0"} if cached else {"limit": PAGE}
        text = ",".join(f"{k}={v}" for k, v in selector.items()) or None
        how |= {"namespace": namespace, "label_selector": text, "field_selector": fields}
        items: list[dict[str, Any]] = []
        async with contextlib.aclosing(self._pages(api_version, kind, how, most_bytes)) as pages:
            async for page in pages:
                items += page
        return items

    async def keys(self, api_version: str, kind: str, namespace: str | None) -> Keys:
        """Namespace and name of each; nothing else of them is kept, and few are read at once: an
        object may have a megabyte."""
        found: Keys = []
        async with contextlib.aclosing(
            self._pages(api_version, kind, {"limit": FEW, "namespace": namespace}, 0)
        ) as pages:
            async for page in pages:
                found += [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in page]
        return found

    async def _pages(
        self, api_version: str, kind: str, how: Mapping[str, Any], most_bytes: int
    ) -> AsyncGenerator[Page, None]:
        """Each page is a request that waits for its turn and has an end of its own."""
        self.calls["list"] += 1
        resource, left = await self._resource(api_version, kind), most_bytes or None
        more: dict[str, str] = {}
        while True:
            async with self._sent():
                text = await _bounded(
                    await self._dynamic.get(resource, serialize=False, **how, **more), left
                )
            left = None if left is None else left - len(text)
            found = json.loads(text)
            yield found["items"]
            if not (rest := (found.get("metadata") or {}).get("continue")):
                return
            more = {"_continue": rest}

    async def ping(self) -> None:
        """The cheapest request that there is. Raises what any request may raise."""
        async with self._sent():
            await client.VersionApi(self._api).get_code()

    async def apply(self, manifest: dict[str, Any], *, subresource: str = "") -> dict[str, Any]:
        """Server-side apply, as the one owner of the fields in `manifest`."""
        self.calls["apply"] += 1
        meta = manifest["metadata"]
        resource = await self._resource(manifest["apiVersion"], manifest["kind"])
        if subresource:
            resource = resource.subresources[subresource]
        try:
            async with self._sent():
                self.may_write()
                found = await self._dynamic.server_side_apply(
                    resource,
                    body=manifest,
                    name=meta["name"],
                    namespace=meta["namespace"],
                    field_manager=names.FIELD_MANAGER,
                    force_conflicts=True,
                )
        except ApiException as error:
            if (
                error.status == 404 and _status_of(error) is None
            ):  # no object is missing, but the whole kind: it was uninstalled
                key = (manifest["apiVersion"], manifest["kind"])
                self._resources.pop(key, None)
                self._missing[key] = time.monotonic()
                raise UnknownKind("{} {}".format(*key)) from None
            raise
        return _plain(found)

    async def overwrite(self, manifest: dict[str, Any]) -> None:
        """Puts whole lists in the place of those that there are, which apply would merge with what
        others added (RFC 7386)."""
        self.calls["patch"] += 1
        meta = manifest["metadata"]
        resource = await self._resource(manifest["apiVersion"], manifest["kind"])
        async with self._sent():
            self.may_write()
            await self._dynamic.patch(
                resource,
                body=manifest,
                name=meta["name"],
                namespace=meta.get("namespace"),
                content_type="application/merge-patch+json",
            )

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.calls["create"] += 1
        resource = await self._resource(manifest["apiVersion"], manifest["kind"])
        async with self._sent():
            self.may_write()
            return _plain(
                await self._dynamic.create(
                    resource, body=manifest, namespace=manifest["metadata"]["namespace"]
                )
            )

    async def replace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Fails with a conflict when somebody changed it since it was read."""
        self.calls["replace"] += 1
        meta = manifest["metadata"]
        resource = await self._resource(manifest["apiVersion"], manifest["kind"])
        async with self._sent():
            self.may_write()
            return _plain(
                await self._dynamic.replace(
                    resource, body=manifest, name=meta["name"], namespace=meta["namespace"]
                )
            )

    async def delete(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        name: str,
        uid: str | None = None,
        *,
        orphan: bool = False,
        at_once: bool = False,
    ) -> None:
        """Absent is fine. With `uid` only that very object; pods and claims never without.
        `orphan`: what it owns stays. `at_once`: without waiting for a kubelet's word."""
        assert uid or kind not in ("Pod", "PersistentVolumeClaim"), (
            f"{kind} {name} is deleted without the UID that was decided about"
        )
        self.calls["delete"] += 1
        resource = await self._resource(api_version, kind)
        body: dict[str, Any] = {"propagationPolicy": "Orphan" if orphan else "Background"}
        if at_once:
            body["gracePeriodSeconds"] = 0
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            async with self._sent():
                self.may_write()
                await self._dynamic.delete(resource, name=name, namespace=namespace, body=body)
        except ApiException as error:
            if error.status not in (404, 409):
                raise


async def _bounded(answer: Any, most: int | None) -> bytes:
    """The text of an answer (of aiohttp, unpacked). Raises TooMuch before more than that is
    kept."""
    text = bytearray()
    async for piece in answer.content.iter_any():
        text += piece
        if most is not None and len(text) > most:
            answer.close()  # and the connection with it: what is left is not wanted
            raise TooMuch(f"more than {most:,} bytes")
    return bytes(text)


def _plain(found: Any) -> dict[str, Any]:
    value = found.to_dict() if hasattr(found, "to_dict") else found
    return value if isinstance(value, dict) else dict(json.loads(json.dumps(value)))
