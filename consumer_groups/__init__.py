"""Consumer groups: the coordinator and its assignors, as pure state machines."""
