"""Every family of metrics that a node has: its kind, what it says, its labels.
docs/reference/metrics.md is made from these rows (generators/metrics_page.py), and a test keeps it
so. Where the values come from: metrics.py."""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    kind: str  # gauge or counter
    text: str
    labels: tuple[str, ...] = ()


FAMILIES: dict[str, Family] = {
    "counter_build_info": Family(
        "gauge", "Always 1; the versions are labels", ("version", "python")
    ),
    "counter_ready": Family("gauge", "1 when the node is ready"),
    "counter_uptime_seconds": Family("gauge", "Time since the process began"),
    "counter_disk_full": Family(
        "gauge", "1 while writes are refused because the disk is nearly full"
    ),
    "counter_disk_failed": Family(
        "gauge", "1 when the disk failed and the node writes nothing any more"
    ),
    "counter_raft_role": Family(
        "gauge", "1 for the role that the node has, 0 for the others", ("role",)
    ),
    "counter_raft_is_leader": Family("gauge", "1 on the leader"),
    "counter_raft_has_leader": Family("gauge", "1 when the node knows who leads"),
    "counter_raft_term": Family("gauge", "Current term"),
    "counter_raft_commit_index": Family("gauge", "Newest committed index known here"),
    "counter_raft_applied_index": Family("gauge", "Newest applied index"),
    "counter_raft_last_index": Family("gauge", "End of the log"),
    "counter_raft_snapshot_index": Family("gauge", "Newest index that the snapshot in force holds"),
    "counter_raft_members": Family("gauge", "Members of the configuration", ("voter",)),
    "counter_raft_peer_connected": Family(
        "gauge", "1 while the link to this member is up", ("peer",)
    ),
    "counter_raft_peer_lag_entries": Family(
        "gauge",
        "Entries of the leader's log that this member does not have; on the leader only",
        ("peer",),
    ),
    "counter_raft_elections_started": Family(
        "counter", "Times this node stood for election, trial rounds (PreVote) included"
    ),
    "counter_raft_elections_won": Family("counter", "Times this node became the leader"),
    "counter_raft_leader_changes": Family(
        "counter", "Times this node heard of another leader than before"
    ),
    "counter_snapshots_taken": Family("counter", "Snapshots of its own that the node saved"),
    "counter_snapshots_installed": Family(
        "counter", "Snapshots received from a leader and put in force"
    ),
    "counter_snapshots_sent": Family("counter", "Snapshots sent to other members to the end"),
    "counter_log_size_bytes": Family("gauge", "Log on disk after the snapshot, to 64 KiB"),
    "counter_log_limit_bytes": Family("gauge", "Log after which a snapshot is taken"),
    "counter_snapshot_size_bytes": Family(
        "gauge", "The last snapshot that was taken; 0 before the first since the start"
    ),
    "counter_keys": Family("gauge", "Counters in the state"),
    "counter_producers": Family("gauge", "Producers of IDMP that are remembered"),
    "counter_user_keys": Family("gauge", "Counters that belong to a user with a limit", ("user",)),
    "counter_user_keys_limit": Family("gauge", "How many it may have", ("user",)),
    "counter_user_size_bytes": Family(
        "gauge", "What those counters take, as the state counts itself", ("user",)
    ),
    "counter_user_producers_size_bytes": Family(
        "gauge", "What its producers of IDMP take", ("user",)
    ),
    "counter_user_limit_bytes": Family(
        "gauge", "What its counters may take, and what its producers may", ("user",)
    ),
    "counter_user_commands": Family(
        "counter", "Commands that a user with a limit gave to this node", ("user",)
    ),
    "counter_user_commands_limit": Family(
        "gauge", "How many a second it may give to each node", ("user",)
    ),
    "counter_user_refused": Family(
        "counter", "Commands refused for a limit of the user", ("user", "limit")
    ),
    "counter_state_size_bytes": Family(
        "gauge", "What the replicated state takes, as it counts itself (counters/weights.py)"
    ),
    "counter_state_limit_bytes": Family(
        "gauge", "What it may take (max_bytes); past it nothing new is taken. +Inf: no limit"
    ),
    "counter_memory_limit_bytes": Family(
        "gauge", "Memory that the process may use; +Inf where that is not known"
    ),
    "counter_snapshot_refused": Family(
        "gauge", "1 while no snapshot is begun, as the process would not survive it"
    ),
    "counter_keys_limit": Family("gauge", "Counters at most (max_keys)"),
    "counter_producers_limit": Family(
        "gauge",
        "Producers at most (max_producers); a producer is forgotten 24 hours after its last "
        "request",
    ),
    "counter_level": Family(
        "gauge",
        "Level of what may be in the replicated log; lower than that of the newest nodes in the "
        "middle of a roll",
    ),
    "counter_log_time_seconds": Family("gauge", "Log time, a stopwatch that no calendar moves"),
    "counter_log_time_offset_seconds": Family("gauge", "UTC minus log time"),
    "counter_log_time_jumps": Family(
        "counter", "Times log time jumped over a full stop of the cluster"
    ),
    "counter_log_time_jump_seconds": Family("counter", "How far log time jumped, in all"),
    "counter_clock_offset_seconds": Family(
        "gauge", "Member's wall clock minus the calendar in the log; on the leader only", ("node",)
    ),
    "counter_clock_rate": Family(
        "gauge",
        "Log time's rate by the member's running clock, 0 while not known; on the leader only",
        ("node",),
    ),
    "counter_clocks_disagree": Family(
        "gauge", "Members whose wall clock is not what a majority agrees on; on the leader only"
    ),
    "counter_history_info": Family(
        "gauge",
        "Always 1; the history that the state is of, and how it began",
        ("history", "parent", "reason"),
    ),
    "counter_commands": Family("counter", "Commands received"),
    "counter_command_errors": Family(
        "counter",
        "Error replies by their first word; errors inside of EXEC's list are not counted",
        ("error",),
    ),
    "counter_clients_connected": Family("gauge", "Open client connections"),
    "counter_clients_limit": Family("gauge", "Client connections that are accepted at most"),
    "counter_clients_refused": Family("counter", "Connections refused over the limit"),
    "counter_clients_held_bytes": Family(
        "gauge",
        "What clients make the node hold: commands and replies on their way, transactions, "
        "watches, TLS",
    ),
    "counter_clients_held_limit_bytes": Family(
        "gauge", "Past this the connection that holds most is cut"
    ),
    "counter_clients_cut": Family(
        "counter", "Connections cut because the client did not read its replies"
    ),
    "counter_refusals": Family(
        "counter",
        "What was refused to clients, peers and strangers; the reasons: docs/internals/security.md",
        ("reason",),
    ),
    "counter_certificate_not_after_seconds": Family(
        "gauge", "Unix time at which the certificate in use ends; +Inf without TLS"
    ),
    "counter_certificate_reloads": Family("counter", "Certificates read again"),
    "counter_certificate_reload_failures": Family(
        "counter", "New certificates that could not be used"
    ),
    "counter_users_reloads": Family("counter", "Times the users were read again"),
    "counter_users_reload_failures": Family("counter", "New users that could not be used"),
    "counter_gateway_gathered_commands": Family(
        "gauge", "Writes that wait for the batch in flight"
    ),
    "counter_gateway_limit_commands": Family(
        "gauge", "Waiting commands at which clients are not read from any more"
    ),
    "counter_cache_connected": Family("gauge", "Redis pods that are reached; on the leader only"),
    "counter_cache_published_index": Family(
        "gauge", "Index that every reached Redis has; on the leader only"
    ),
    "counter_cache_staleness_seconds": Family(
        "gauge",
        "Age of the oldest Redis' last confirmed write, heartbeats included; on the leader only",
    ),
    "counter_cache_refills": Family("counter", "Times a Redis was filled with everything"),
    "counter_cache_failures": Family("counter", "Times a Redis did not answer"),
    "counter_cache_fenced": Family(
        "counter", "Times a newer leader's mark kept this node from writing"
    ),
    "counter_cache_publications": Family("counter", "Times a Redis was brought up to date"),
    "counter_cache_keys": Family("counter", "Counters written to a Redis or deleted there"),
}
HISTOGRAMS = {
    "counter_cache_delay_seconds": Family(
        "histogram", "From the oldest change of a publication to the answer of Redis"
    ),
    "counter_command_duration_seconds": Family(
        "histogram", "From a command's arrival to its reply, by the way it takes", ("kind",)
    ),
    "counter_disk_job_seconds": Family("histogram", "One write to the log with its fdatasync"),
    "counter_loop_lag_seconds": Family("histogram", "How late the clock tick came"),
    "counter_snapshot_seconds": Family("histogram", "Taking and saving a snapshot"),
}
