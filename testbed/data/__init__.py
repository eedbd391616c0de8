"""Where samples come from: data families, each a section of a study, and the data sets that they make."""
