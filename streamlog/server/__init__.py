"""One node, composed from its parts."""
