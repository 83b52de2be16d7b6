"""Consumer groups for clients: GroupService, the members' streams, and what is watched."""
