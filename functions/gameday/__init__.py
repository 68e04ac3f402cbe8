"""Everything that one run does, in the order in which data flows."""
