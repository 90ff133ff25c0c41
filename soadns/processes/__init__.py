"""The first process and what it passes on: sockets, the journal, and who must run. Standard library only."""
