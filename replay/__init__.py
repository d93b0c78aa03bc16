"""Going over what lies in the topics again: recomputing a range and comparing it (`coby verify`)."""
