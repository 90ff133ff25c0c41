"""What was observed becomes what names answer: store, evidence, choice, clocks, guard, owner names.

Pure, all of it: no socket, thread, file, log or clock of its own; events and the time go in, outcomes and
transitions come out. From bottom to top: ``observations`` (what each source said), ``store`` with ``sites`` and
``rosters`` (indexes and counts per zone), ``evidence`` (what speaks for whom), ``choice`` and ``bind`` (one name's
step), ``answers``, ``owners`` and ``guard`` (what it answers, where, and what may go), ``zone`` and ``estate`` (all of
it over time). The rules for operators are in ``docs/binding.md``.
"""
