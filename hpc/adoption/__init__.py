"""Take the labels that another engine gave, as outputs of a run."""
