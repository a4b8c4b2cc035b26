"""Ties to other libraries: each module needs one optional dependency, and uses public names of ours alone."""
