"""What must hold of a simulated cluster, after every turn and in the end."""
