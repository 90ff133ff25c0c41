"""``python -m tests.situations``: prints the tables of ``docs/situations.md``."""

from tests.situations.tables import many_names, one_name

print(one_name())
print(many_names())
