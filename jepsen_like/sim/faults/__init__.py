"""What goes wrong in a simulation, and the nemesis that lets it."""
