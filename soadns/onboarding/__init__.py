"""What applications are told to call by name, and what the survey says of the whole estate."""
