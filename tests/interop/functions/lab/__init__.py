"""The functions under test in Python: one handler, under one library each, or under none."""
