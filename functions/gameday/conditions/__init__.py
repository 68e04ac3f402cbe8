"""The conditions: one file for each kind, with its enable, disable and evidence."""
