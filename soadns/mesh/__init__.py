"""What replicas write to their cluster, where that is switched on: who may write, what has moved, filters."""
