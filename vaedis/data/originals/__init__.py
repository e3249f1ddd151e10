"""The benchmark data sets as published: fetched, verified and converted."""
