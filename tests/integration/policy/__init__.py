"""A package, so that what its fixtures start and set ends with its last test and not with the session."""
