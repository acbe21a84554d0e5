"""How work runs: stages that are done once, several processes, live progress."""
