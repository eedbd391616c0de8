"""What runs: every network and pair of a study, trained and measured."""
