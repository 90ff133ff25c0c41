"""What the command line prints, as text for tired people at night. Pure: shapes of ``docs/http.md`` in, lines out."""
