"""Stand-ins, drawn here, for data sets of photographs that cannot be had."""
