"""How gRPC is set up: every option that matters, in one place, none left to a default.

| choice | why |
|---|---|
| `so_reuseport` off | else two servers bind one port, and each gets half of the connections |
| compression off | payloads are compressed by their producers; and no inflation before a check |
| retries off | who calls decides what is safe to repeat; the buffer of sent messages goes too |
| keepalive | a peer whose machine vanished is noticed, also when nothing is sent |
| backoff at most 1 s | a node that came back is found within a second |
| own connections | two channels to one address share nothing, and closing one closes its sockets |
| no proxy | nodes talk to nodes, whatever the environment says |
"""

from __future__ import annotations

MESSAGE_BYTES_MAX = 64 << 20
"""Largest message unless the caller says otherwise."""
MESSAGE_SLACK_BYTES = 64 << 10
"""On top of the largest message, so that its sender need not count every header byte."""
STREAMS_PER_CONNECTION_MAX = 1_000
CALLS_MAX = 10_000
"""Calls under way on one server; a further one ends with RESOURCE_EXHAUSTED."""
METADATA_BYTES_MAX = 16 << 10
KEEPALIVE_INTERVAL_MS = 10_000
KEEPALIVE_TIMEOUT_MS = 5_000
PING_INTERVAL_MIN_MS = 5_000
BACKOFF_FIRST_MS = 100
BACKOFF_MAX_MS = 1_000
CONNECT_TIMEOUT_MS = 1_000
IDENTITY_ONLY = 1
"""Bit set of compression algorithms."""

Options = tuple[tuple[str, int | str], ...]


def _common(message_bytes_max: int) -> Options:
    return (
        ("grpc.max_receive_message_length", message_bytes_max + MESSAGE_SLACK_BYTES),
        ("grpc.max_send_message_length", message_bytes_max + MESSAGE_SLACK_BYTES),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", 2 * METADATA_BYTES_MAX),
        ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
        ("grpc.keepalive_time_ms", KEEPALIVE_INTERVAL_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )


def server_options(message_bytes_max: int) -> Options:
    """Options of a server that takes and sends messages up to so many bytes."""
    return (
        *_common(message_bytes_max),
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
        ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MIN_MS),
    )


def channel_options(message_bytes_max: int) -> Options:
    """Options of a channel that takes and sends messages up to so many bytes."""
    return (
        *_common(message_bytes_max),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", BACKOFF_FIRST_MS),
        ("grpc.max_reconnect_backoff_ms", BACKOFF_MAX_MS),
        # Despite its name: how long one attempt to connect may take.
        ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS),
    )
