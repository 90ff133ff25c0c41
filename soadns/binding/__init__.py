"""What was observed becomes what names answer: store, evidence, choice, clocks, guard, owner names.

Pure, all of it: no socket, thread, file, log or clock of its own; events and the time go in, outcomes and
transitions come out. From bottom to top: ``observations`` (what each source said), ``registrations``, ``sites``
with their ``siteclocks``, ``services``, ``endpoints`` and ``rosters``, which ``store`` joins (indexes and counts
per zone), ``evidence`` (what speaks for whom), ``choice`` and ``bind`` (one name's step), ``answers``,
``publication`` with its ``owners``, ``memory``, ``hearing`` and ``guard`` (what it answers, where, what it
remembers, whom it hears, what may go), ``zone`` and ``estate`` (all of it over time), ``restoring`` (after a
restart). The rules for operators are in ``docs/binding.md``.
"""
