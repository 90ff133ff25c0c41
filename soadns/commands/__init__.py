"""The verbs of the command line: what they are told, whom they ask, and what they write.

What they print is made in ``soadns.text``; ``soadns.cli`` runs one.
"""
