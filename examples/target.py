"""Where the examples find a cluster, and a topic of their own in it."""

from __future__ import annotations

import argparse
import os
import sys

from streamlog.client import CallPolicy, ClientError, TopicExists
from streamlog.client.sync import Admin


def bootstrap(description: str | None) -> str:
    """Addresses of nodes: `--bootstrap`, else STREAMLOG_BOOTSTRAP, else one on this machine."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(
        "--bootstrap",
        default=os.environ.get("STREAMLOG_BOOTSTRAP", "127.0.0.1:9092"),
        help="host:port of one or more nodes, separated by commas",
    )
    return str(parser.parse_args().bootstrap)


def make_topic(addresses: str, name: str, partitions: int) -> None:
    """Create the topic unless it exists. Ends the program when no node answers."""
    try:
        with Admin(addresses, policy=CallPolicy(total_timeout_ms=10_000)) as admin:
            admin.create_topic(name, partitions=partitions)
    except TopicExists:
        pass
    except ClientError as error:
        sys.exit(f"error: {error}; is the cluster running? `streamlog dev` starts one")
