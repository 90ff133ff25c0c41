"""The same packets, asked of soadns and of other name servers that serve the same zone, compared field by field.

``corpus.txt`` is what is asked. ``differences.txt`` lists every difference there is, with its reason: one that is not
listed fails, and one that is listed and no longer there fails too. ``docs/dns.md`` shows the list.
"""
