"""Pictures that stand in for data sets of photographs, drawn here."""
