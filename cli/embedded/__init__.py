"""The embedded AWS: a local emulator made to behave like AWS where experiments depend on it."""
