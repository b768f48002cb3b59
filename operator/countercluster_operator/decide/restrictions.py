"""What a CounterCluster may name, by the settings of whoever runs the operator. Pure.

Whoever may create CounterClusters lets the operator make pods. These settings bound what of a pod
they choose:

1. A setting that is absent or empty allows everything, `none` allows nothing, else it is a list of
   words, comma separated.
2. A word of ALLOWED_IMAGES is the beginning of an image, up to the end of a part: `ghcr.io/acme`
   allows `ghcr.io/acme/node:1` and neither `ghcr.io/acmes/node:1` nor `ghcr.io.example.com/x`;
   `host` never stands for `host:5000/x`. The text is compared as it is. What the operator itself
   brings (RELATED_IMAGE_NODE, RELATED_IMAGE_REDIS) is always allowed. An image that was chosen
   earlier is judged like any other.
3. A word of labels, annotations and node selectors is `key` or `key=value`; of tolerations also
   `key:Effect` and `key=value:Effect`. A toleration is allowed when one word covers all that it
   tolerates. `*` at the end of a part stands for any rest.
4. What is refused keeps the object that it would go into from being applied: the StatefulSet,
   Redis's Deployment, or what monitoring needs. All else goes on, and a cluster that runs goes on
   with the object that there is (`as_it_runs`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from countercluster_operator import names
from countercluster_operator.model import Cluster, PodTemplate
from countercluster_operator.world.observed import Observed

Words = tuple[str, ...] | None
"""None: everything."""
USUAL = frozenset({"cpu", "memory", "ephemeral-storage"})
"""Resources that every pod has."""
NODES = ("StatefulSet",)
REDIS = ("Deployment",)
WATCHING = ("PodMonitor", "PrometheusRule", "ConfigMap")
SHOWN, LENGTH = 8, 120
"""Words that a message names at most, and characters of each."""


class Restrictions(msgspec.Struct, frozen=True):
    images: Words = None  # ALLOWED_IMAGES
    priority_classes: Words = None  # ALLOWED_PRIORITY_CLASSES
    tolerations: Words = None  # ALLOWED_TOLERATIONS
    labels: Words = None  # ALLOWED_LABELS
    annotations: Words = None  # ALLOWED_ANNOTATIONS
    node_selectors: Words = None  # ALLOWED_NODE_SELECTORS
    topology_keys: Words = None  # ALLOWED_TOPOLOGY_KEYS
    storage_classes: Words = None  # ALLOWED_STORAGE_CLASSES
    resources: Words = None  # ALLOWED_RESOURCES
    own_images: frozenset[str] = frozenset()
    """What the operator brings itself."""


class Wish(NamedTuple):
    """One thing that a CounterCluster names. `value` None: any. `effect`: of a toleration, where
    empty means all."""

    text: str
    key: str
    value: str | None = None
    effect: str | None = None


class Rule(NamedTuple):
    """What one field names, the setting that bounds it, and the kinds that are not applied when it
    is refused."""

    path: str
    setting: str
    words: Words
    wishes: list[Wish]
    kinds: tuple[str, ...] = NODES


class Outside(NamedTuple):
    """What is refused: kinds of objects that are not applied, and words for people."""

    kinds: tuple[str, ...]
    text: str


def words(text: str) -> Words:
    """Of one setting. Raises ValueError, which says what is wrong."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        return None
    if "none" in found:
        if len(found) > 1:
            raise ValueError("`none` stands alone")
        return ()
    for word in found:
        key, _, value = word.partition("=")
        middle = any("*" in part.partition(":")[0][:-1] for part in (key, value))
        if middle or not key.partition(":")[0] or any(c.isspace() for c in word):
            raise ValueError(
                f"{word!r}: a word begins with a name, has no blanks, and has `*` at the end of "
                f"a part only"
            )
    return found


def image_words(text: str) -> Words:
    """Raises ValueError."""
    found = words(text)
    wrong = next((word for word in found or () if "*" in word and word != "*"), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r}: a word is the beginning of an image, and has no `*`")
    return found


def outside(cluster: Cluster, allowed: Restrictions) -> list[Outside]:
    """What of it is refused."""
    spec = cluster.spec
    found = [_image(NODES, "spec.image", spec.image, cluster.image, allowed)]
    if spec.cache.enabled:
        found.append(
            _image(REDIS, "spec.cache.image", spec.cache.image, cluster.cache_image, allowed)
        )
    return [one for one in (*found, *map(_refused, _rules(cluster, allowed))) if one is not None]


def _rules(cluster: Cluster, allowed: Restrictions) -> Iterator[Rule]:
    spec = cluster.spec
    yield from _of_pods(spec.pod_template, allowed)
    classes, kinds = _plain(spec.storage.storage_class_name), _plain(*_resources(spec.resources))
    path = "spec.storage.storageClassName"
    yield Rule(path, "ALLOWED_STORAGE_CLASSES", allowed.storage_classes, classes)
    yield Rule("spec.resources", "ALLOWED_RESOURCES", allowed.resources, kinds)
    if spec.monitoring.enabled:
        labels = _pairs(spec.monitoring.labels)
        yield Rule("spec.monitoring.labels", "ALLOWED_LABELS", allowed.labels, labels, WATCHING)


def _of_pods(template: PodTemplate, allowed: Restrictions) -> Iterator[Rule]:
    annotations = {k: v for k, v in template.annotations.items() if k != names.RESTARTED}
    keys = (str(c.get("topologyKey", "")) for c in template.topology_spread_constraints)
    for field, setting, words, wishes in (
        (
            "priorityClassName",
            "ALLOWED_PRIORITY_CLASSES",
            allowed.priority_classes,
            _plain(template.priority_class_name),
        ),
        (
            "tolerations",
            "ALLOWED_TOLERATIONS",
            allowed.tolerations,
            [_toleration(t) for t in template.tolerations],
        ),
        ("labels", "ALLOWED_LABELS", allowed.labels, _pairs(template.labels)),
        ("annotations", "ALLOWED_ANNOTATIONS", allowed.annotations, _pairs(annotations)),
        (
            "nodeSelector",
            "ALLOWED_NODE_SELECTORS",
            allowed.node_selectors,
            _pairs(template.node_selector),
        ),
        (
            "topologySpreadConstraints",
            "ALLOWED_TOPOLOGY_KEYS",
            allowed.topology_keys,
            _plain(*keys),
        ),
    ):
        yield Rule(f"spec.podTemplate.{field}", setting, words, wishes)


def _refused(rule: Rule) -> Outside | None:
    if rule.words is None:
        return None
    refused = [
        wish.text for wish in rule.wishes if not any(_covers(word, wish) for word in rule.words)
    ]
    return (
        Outside(rule.kinds, _in_words(rule.path, refused, rule.setting, rule.words))
        if refused
        else None
    )


def _in_words(path: str, refused: list[str], setting: str, listed: tuple[str, ...]) -> str:
    """The word, the setting and the remedy."""
    choice = f"allows {_list(listed)}: take one of these" if listed else "allows none: leave it out"
    return (
        f"{path}: {_list(refused)} is not allowed; the operator's setting {setting} {choice}, "
        f"or ask whoever runs the operator"
    )


def _list(found: Iterable[str]) -> str:
    short = [word if len(word) <= LENGTH else f"{word[:LENGTH]}…" for word in found]
    more = f" and {len(short) - SHOWN} more" if len(short) > SHOWN else ""
    return f"{', '.join(short[:SHOWN])}{more}"


def _image(
    kinds: tuple[str, ...], path: str, said: str, image: str, allowed: Restrictions
) -> Outside | None:
    if (
        allowed.images is None
        or image in allowed.own_images
        or any(begins(image, word) for word in allowed.images)
    ):
        return None
    where = path if said else f"{path} is empty, and what was chosen for it earlier"
    return Outside(kinds, _in_words(where, [image], "ALLOWED_IMAGES", allowed.images))


def begins(image: str, word: str) -> bool:
    """Rule 2. After a `:` or `@` there is a tag or a digest, so no further part: `host:5000/x` is
    another registry than `host`."""
    if word == "*":
        return True
    if not image.startswith(word) or any(part in ("", ".", "..") for part in image.split("/")):
        return False
    rest = image[len(word.rstrip("/:@")) :]
    return not rest or rest[0] == "/" or (rest[0] in ":@" and "/" not in rest)


def _covers(word: str, wish: Wish) -> bool:
    """Rule 3."""
    effect = ""
    if wish.effect is not None:
        word, _, effect = word.partition(":")
    key, given, value = word.partition("=")
    if not _matches(key, wish.key) or (effect and effect != wish.effect):
        return False
    return not given or (wish.value is not None and _matches(value, wish.value))


def _matches(pattern: str, text: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _plain(*found: str) -> list[Wish]:
    return [Wish(text, text) for text in found if text]


def _pairs(found: Mapping[str, str]) -> list[Wish]:
    return [Wish(f"{key}={value}", key, value) for key, value in found.items()]


def _toleration(found: dict[str, Any]) -> Wish:
    """Without a key it tolerates every taint, with Exists every value, without an effect all
    effects."""
    key, effect = str(found.get("key") or ""), str(found.get("effect") or "")
    value = None if found.get("operator") == "Exists" else str(found.get("value") or "")
    text = f"{key or '*'}{'' if value is None else f'={value}'}{f':{effect}' if effect else ''}"
    return Wish(text, key, value, effect)


def _resources(found: dict[str, Any]) -> list[str]:
    named = {name for part in ("requests", "limits") for name in found.get(part) or {}}
    return sorted(named - USUAL)


def as_it_runs(
    cluster: Cluster, seen: Observed, old: dict[str, Any], withheld: Collection[str]
) -> Cluster:
    """What is withheld is as it is, whatever the spec says: the images, and with the StatefulSet
    the size. `old`: the status."""
    if "Deployment" in withheld:
        cluster = msgspec.structs.replace(cluster, cache_image=old.get("cacheImage", ""))
    if "StatefulSet" not in withheld:
        return cluster
    cluster = msgspec.structs.replace(cluster, image=old.get("image", ""))
    if seen.set_replicas is None:
        return cluster
    asleep = seen.set_replicas == 0
    replicas = (seen.target or cluster.spec.replicas) if asleep else seen.set_replicas
    return msgspec.structs.replace(
        cluster, spec=msgspec.structs.replace(cluster.spec, replicas=replicas, hibernated=asleep)
    )
