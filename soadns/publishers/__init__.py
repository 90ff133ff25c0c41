"""Names in the forms that other name servers and tools read."""
