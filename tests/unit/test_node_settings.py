"""Every setting of a node: what is wrong is refused by name, with its value and what is allowed,
before anything is done."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from counter_node.admin.commands import Admin, Refused, node_id
from counter_node.counters.replies import Failure
from counter_node.resp.server_commands import ADMINISTRATION
from counter_node.settings import HELP, Settings, SettingsError, address, load

CONTRACT = Path(__file__).parents[2] / "docs" / "internals" / "node-interface.md"
FIELDS = msgspec.structs.fields(Settings)
NUMBERS = [f.name for f in FIELDS if f.type is int]
TEXTS = [f.name for f in FIELDS if f.type is str]
ADDRESSES = ("advertise_peer", "advertise_resp", "cache")
WRONG_NUMBERS = (
    "NaN",
    "inf",
    "-1",
    "1.5",
    "1_000",
    "0x10",
    " 5 ",
    "²",
    "many",
    str(1 << 63),
    "1" + "0" * 30,
    "9" * 5_000,
)
WRONG_ADDRESSES = (
    "garbage",
    ":1",
    "host:",
    "host:0",
    "host:65536",
    "host:²",
    "host:+1",
    "host:" + "1" * 5_000,
    "a\nb:1",
)
NEEDED = {"COUNTER_CLUSTER_ID": "ns/clicks", "COUNTER_DATA_DIR": "/data"}


def loaded(**values: str) -> Settings:
    return load(
        [], {**NEEDED, **{f"COUNTER_{name.upper()}": value for name, value in values.items()}}
    )


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_makes_no_sense_is_refused_by_name_with_its_value_and_the_limits(
    name: str,
) -> None:
    for value in WRONG_NUMBERS:
        with pytest.raises(SettingsError) as caught:
            loaded(**{name: value})
        text = str(caught.value)
        assert text.startswith(f"COUNTER_{name.upper()} is "), text
        assert len(text) < 300


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_a_log_or_a_certificate_could_not_hold_is_refused(name: str) -> None:
    for value in ("a\x00b", "a\nb", "a\x1b[31mb", "a\udcffb"):
        with pytest.raises(SettingsError, match=f"COUNTER_{name.upper()} is "):
            loaded(**{name: value})


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_is_host_and_port(name: str) -> None:
    for value in WRONG_ADDRESSES:
        with pytest.raises(SettingsError, match=f"COUNTER_{name.upper()} is "):
            loaded(**{name: value})
    assert getattr(loaded(**{name: "[::1]:7000"}), name) == "[::1]:7000"
    assert address("[::1]:7000") == ("::1", 7000)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "log_level",
            "loud",
            "COUNTER_LOG_LEVEL is 'loud'; one of debug, info, warning, error, critical",
        ),
        ("lease_reads", "maybe", "COUNTER_LEASE_READS is 'maybe'; true or false"),
        ("resp_port", "abc", "COUNTER_RESP_PORT is 'abc'; a whole number is needed"),
        ("resp_port", "0", "COUNTER_RESP_PORT is 0; 1 to 65535"),
        (
            "patience_ms",
            "4000",
            "COUNTER_PATIENCE_MS is 4000; 100 to 3999; stock clients give up at 5 s and would "
            "repeat the command",
        ),
        ("election_ticks", "3000000", "COUNTER_ELECTION_TICKS is 3000000; 3 to 100000"),
        (
            "client_bytes",
            "5",
            "COUNTER_CLIENT_BYTES is 5; at least 1 MiB, and 0 means a part of the container's "
            "memory",
        ),
        (
            "segment_bytes",
            str(8 << 20),
            "COUNTER_SEGMENT_BYTES is 8388608; at least 65536 more than max_entry_bytes (8388608): "
            "on a full disk a deletion of that size would fit nowhere",
        ),
        ("admin_port", "6379", "COUNTER_ADMIN_PORT is 6379; COUNTER_RESP_PORT is the same"),
        ("cluster_port", "7000", "COUNTER_CLUSTER_PORT is 7000; COUNTER_PEER_PORT is the same"),
        ("cluster_id", "x" * 513, f"COUNTER_CLUSTER_ID is '{'x' * 79}…; 513 bytes; at most 512"),
        ("name", "ü" * 127, f"COUNTER_NAME is '{'ü' * 79}…; 254 bytes; at most 253"),
        (
            "advertise_peer",
            "x" * 253 + ":70000",
            f"COUNTER_ADVERTISE_PEER is '{'x' * 79}…; host:port is needed, with a port of 1 to "
            f"65535",
        ),
    ],
)
def test_what_is_allowed_is_named(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(**{name: value})
    assert str(caught.value) == words


@pytest.mark.parametrize("name", sorted({f.name for f in FIELDS} - {"cluster_id", "data_dir"}))
def test_a_variable_that_is_empty_is_not_set(name: str) -> None:
    """As for the operator; an argument says what it says."""
    assert loaded(**{name: ""}) == loaded()
    if name in NUMBERS:
        with pytest.raises(SettingsError):
            load([f"--{name.replace('_', '-')}="], NEEDED)


@pytest.mark.parametrize(("entry_mib", "segment_mib"), [(1, 16), (8, 16), (16, 32)])
def test_the_largest_entry_fits_into_what_is_kept_for_a_full_disk(
    entry_mib: int, segment_mib: int
) -> None:
    found = loaded(max_entry_bytes=str(entry_mib << 20))
    assert found.segment_bytes == segment_mib << 20
    assert loaded(max_entry_bytes=str(1 << 19), segment_bytes=str(1 << 20)).segment_bytes == 1 << 20


def test_what_the_operator_may_set_is_taken(tmp_path: Any) -> None:
    """The most that the CounterCluster resource allows."""
    most = {
        "tick_ms": 1_000, "election_ticks": 100, "snapshot_bytes": 1024 << 20,
        "max_keys": 100_000_000, "max_producers": 10_000_000,
        "max_bytes": 1_048_576 << 20, "patience_ms": 3_999, "max_entry_bytes": 16 << 20,
        "max_pipeline_bytes": 1024 << 20,
        "client_bytes": 65_536 << 20, "unready_close_s": 3_600, "name": "x" * 253,
        "cluster_id": "n" * 63 + "/" + "c" * 253,
    }  # fmt: skip
    found = loaded(**{name: str(value) for name, value in most.items()})
    assert {name: getattr(found, name) for name in most} == most
    assert set(HELP) == {f.name for f in FIELDS}


def test_an_id_of_a_node_is_sixteen_hex_digits_and_nothing_that_python_reads_as_a_number() -> None:
    assert node_id(b"00000000000000Ff") == 255
    for text in (
        b"",
        b"ff",
        b"-000000000000001",
        b"+000000000000001",
        b"0x00000000000001",
        b" 00000000000001 ",
        b"0000_0000_0000_1",
        b"f" * 17,
    ):
        with pytest.raises(Refused, match="is not 16 hex digits"):
            node_id(text)


def test_an_administrator_is_answered_also_where_the_node_has_a_fault() -> None:
    """Here one without any part: every look at it fails."""
    nobody: Any = object()
    answer = asyncio.run(Admin(nobody).execute([b"RAFT.STATUS"]))
    assert isinstance(answer, Failure)
    assert answer.startswith(b"UNKNOWN an error of the node's own, AttributeError")


def test_the_admin_port_answers_the_commands_of_its_table() -> None:
    nobody: Any = object()
    answered = {name: words for name, (words, _) in Admin(nobody)._commands.items()}
    table = {c.name.removeprefix("raft.").upper(): c.syntax.split() for c in ADMINISTRATION}
    assert answered == {name: len(words) for name, words in table.items()}


@pytest.mark.parametrize("name", [field.name for field in FIELDS])
def test_a_setting_has_its_row_in_the_contract(name: str) -> None:
    """Four had none until 2026-11-28."""
    settings = CONTRACT.read_text().partition("| setting | default |")[2].partition("\n\n")[0]
    names = {word for row in settings.splitlines() for word in re.findall("`([A-Z_]+)`", row[:99])}
    assert name.upper() in names
