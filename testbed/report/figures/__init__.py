"""The figures of a report, a module each."""
