"""The group coordinator: state, decisions, replay, wire forms, questions."""
