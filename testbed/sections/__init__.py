"""The tables of a study, each a frozen section that is checked when it is made."""
